"""ResUNet-a (Diakogiannis et al., ISPRS Journal 2020)."""

from bench.bases.resunet_a.base import ResUNetA as ResUNetA
