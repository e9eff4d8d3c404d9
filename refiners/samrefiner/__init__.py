"""SAMRefiner: a Segment-Anything model asked again, with prompts taken from the map."""

from refiners.samrefiner.refiner import SamRefiner

__all__ = ["SamRefiner"]
