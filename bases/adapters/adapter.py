"""What a network that is there already is to the harness: a base without a training."""

from __future__ import annotations

from bench.contracts import BaseNetwork
from bench.network_files.program import Reopens


class Adapter(Reopens, BaseNetwork):
    """What all adapters share beyond the contract."""
