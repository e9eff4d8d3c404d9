"""The base networks: each gives a probability map for an image.

One folder a network of ours (``coanet/``: ``base`` is its recipe, ``network`` its modules, ``loss`` its loss where
it has one of its own), one file a network that a library builds (``unet.py``), ``adapters/`` for models a user has,
``parts/`` for what several share.
"""
