"""ResUNet-a (Diakogiannis et al., ISPRS Journal 2020)."""

from bases.resunet_a.base import ResUNetA as ResUNetA
