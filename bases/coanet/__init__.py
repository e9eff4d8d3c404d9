"""CoANet (Mei et al., IEEE TIP 2021)."""

from bases.coanet.base import CoANet as CoANet
