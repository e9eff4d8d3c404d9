"""D-LinkNet (Zhou, Zhang and Wu, CVPR-W 2018)."""

from bench.bases.dlinknet.base import DLinkNet as DLinkNet
