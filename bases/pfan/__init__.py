"""Pyramid Feature Attention Network (Zhao and Wu, CVPR 2019)."""

from bench.bases.pfan.base import Pfan as Pfan
