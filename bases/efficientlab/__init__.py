"""EfficientLab with first-order meta-learning (Hendryx et al., MetaLearn workshop of NeurIPS 2020)."""

from bench.bases.efficientlab.base import EfficientLab as EfficientLab
