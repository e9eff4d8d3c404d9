"""CascadePSP (Cheng et al., CVPR 2020): the network of its authors' package, driven and trained by code of ours."""

from bench.refiners.cascadepsp.refiner import CascadePsp

__all__ = ["CascadePsp"]
