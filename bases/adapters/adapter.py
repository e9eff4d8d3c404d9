"""What a network that is there already is to the harness: a base without a training."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from bench.contracts import BaseNetwork, UserError


class Adapter(BaseNetwork):
    """What all adapters share beyond the contract."""

    def __getstate__(self) -> dict[str, Any]:
        """Without what was read from files: another process reads them itself, and a runtime's objects cannot go."""
        read = {name for kind in type(self).__mro__ for name, one in vars(kind).items() if type(one) is cached_property}
        return {name: value for name, value in self.__dict__.items() if name not in read}


def at_least(least: int, **numbers: int) -> None:
    """Raises UserError for the first of the parameters that is smaller."""
    for name, value in numbers.items():
        if value < least:
            raise UserError(f"{name} is {value}", f"{name}=", f"give {least} or more")
