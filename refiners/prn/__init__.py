"""PatchRefineNet: network, pseudo-labels, loss and the refiner that joins them."""

from bench.refiners.prn.refiner import PatchRefineNet

__all__ = ["PatchRefineNet"]
