"""SAMRefiner: a Segment-Anything model asked again, with prompts taken from the map."""

from bench.refiners.samrefiner.refiner import SamRefiner

__all__ = ["SamRefiner"]
