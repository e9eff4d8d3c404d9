"""ISDNet (Guo et al., CVPR 2022)."""

from bases.isdnet.base import ISDNet as ISDNet
