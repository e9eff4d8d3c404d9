"""A gate after any refiner: image by image, is its map to be trusted over the base's?"""

from bench.refiners.gated.refiner import Gated

__all__ = ["Gated"]
