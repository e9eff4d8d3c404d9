"""GLNet (Chen et al., CVPR 2019): the whole image and its patches, each fed by the other."""

from bench.bases.glnet.base import GLNet as GLNet
