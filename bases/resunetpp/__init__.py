"""ResUNet++ (Jha et al., ISM 2019)."""

from bases.resunetpp.base import ResUNetPlusPlus as ResUNetPlusPlus
