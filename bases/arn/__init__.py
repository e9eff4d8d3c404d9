"""Adapted Relation Network, the baseline of FSS-1000 (Li et al., CVPR 2020)."""

from bench.bases.arn.base import Arn as Arn
