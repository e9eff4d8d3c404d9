"""Networks that somebody else made, each in one file: opened, fed and understood, for bases and refiners alike.

``onnx``, ``torchscript`` and ``exported`` open a file, as a `bench.network_files.program.Program`; ``inputs`` makes
its tensors of an image and a map, ``outputs`` a map of what it gives. What is a base's or a refiner's own of it stands
in `bench.bases.adapters` and `bench.refiners.adapters`.
"""
