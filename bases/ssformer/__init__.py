"""SSFormer-S (Wang et al., MICCAI 2022)."""

from bench.bases.ssformer.base import SSFormer as SSFormer
