"""ISDNet (Guo et al., CVPR 2022)."""

from bench.bases.isdnet.base import ISDNet as ISDNet
