"""ResUNet (Zhang, Liu and Wang, GRSL 2018), the network PatchRefineNet's Kvasir table calls ResUnet."""

from bench.bases.resunet.base import ResUNet as ResUNet
