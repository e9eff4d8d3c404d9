"""Recurrent fully convolutional network for saliency (Wang et al., ECCV 2016)."""

from bench.bases.rfcn.base import Rfcn as Rfcn
