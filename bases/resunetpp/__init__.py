"""ResUNet++ (Jha et al., ISM 2019)."""

from bench.bases.resunetpp.base import ResUNetPlusPlus as ResUNetPlusPlus
