"""Images, masks and maps on disk: what is read is read rightly or refused in one line; writing, resizing.

``docs/formats.md`` has the policy as a table.
"""

from __future__ import annotations

from bench.images.decode import SUFFIXES as IMAGE_SUFFIXES
from bench.images.decode import stored_size
from bench.images.expected import expecting
from bench.images.maps import MAP_SUFFIXES, NOTHING_FOUND, MapFiles, check_map, read_map
from bench.images.masks import ALL_EMPTY, MaskFiles, Truth, binarise, read_grey, read_mask
from bench.images.pictures import read_image
from bench.images.resizing import check_map_size, resize, resize_mask
from bench.images.writing import from_uint16, is_whole, to_uint16, write_map

__all__ = [
    "ALL_EMPTY",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "IMAGE_SUFFIXES",
    "MAP_SUFFIXES",
    "NOTHING_FOUND",
    "MapFiles",
    "MaskFiles",
    "Truth",
    "binarise",
    "check_map",
    "check_map_size",
    "expecting",
    "from_uint16",
    "is_whole",
    "read_grey",
    "read_image",
    "read_map",
    "read_mask",
    "resize",
    "resize_mask",
    "stored_size",
    "to_uint16",
    "write_map",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of RGB in [0, 1]: what networks that start from ImageNet weights are normalised with."""
