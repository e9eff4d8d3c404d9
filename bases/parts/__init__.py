"""What several bases share.

``trained`` is the class of every network trained here: ``parameters`` it takes, the ``definition`` a network gives
(with ``origin`` and ``losses``), the ``pairs`` it learns from, and ``predicting``, at test time, over ``framing``.
``episodes`` makes it few-shot, ``smp`` puts it on segmentation-models-pytorch's encoders. ``blocks``, ``vgg``,
``pooled_norm``, ``saliency_prior`` and ``polyps`` are pieces of networks and recipes.
"""
