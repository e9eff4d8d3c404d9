"""Leases, lists of episodes, and what a training says of itself."""

from __future__ import annotations

from tests.fuzz.harness import Kind
from tests.fuzz.stores import door, expected, hurt

KIND = Kind(200, hurt("leases/*", "bases/*/*/*.json", "refiners/*/*"), door, expected)
