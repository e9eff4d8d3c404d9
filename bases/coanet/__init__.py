"""CoANet (Mei et al., IEEE TIP 2021)."""

from bench.bases.coanet.base import CoANet as CoANet
