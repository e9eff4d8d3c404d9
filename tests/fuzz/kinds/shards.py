"""A store's maps: safetensors."""

from __future__ import annotations

from tests.fuzz.harness import Kind
from tests.fuzz.stores import door, expected, hurt

KIND = Kind(200, hurt("bases/*/*/*/*.safetensors"), door, expected)
