"""``name[key=value,...]``, as it is written wherever a plug-in is named."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from bench.contracts import UserError
from bench.runtime.brackets import pieces
from bench.store import SEQUENCE

_SPEC = re.compile(r"\s*([^\[\]\s]+)\s*(?:\[(.*)\])?\s*", re.DOTALL)
_CLOSE = "close its quotes or brackets"


@dataclass(frozen=True)
class Spec:
    """What stands before the brackets and in them.

    Attributes:
        name: of a plug-in, or of a variant of bench.toml.
        parameters: by key; text, but for values that begin with a quote or a square bracket, which are read as TOML.
            One that names a plug-in may have brackets of its own.
        parts: ``key=value`` as written, in order.
    """

    name: str
    parameters: dict[str, Any]
    parts: tuple[str, ...] = ()

    def having(self, key: str, value: Any) -> Spec:
        """The spec with a parameter set over its own."""
        kept = tuple(part for part in self.parts if part.partition("=")[0].strip() != key)
        return Spec(self.name, {**self.parameters, key: value}, (*kept, f"{key}={value}"))

    def __str__(self) -> str:
        return f"{self.name}[{','.join(self.parts)}]" if self.parts else self.name


def parts_of(text: str, where: str) -> list[str]:
    """The specs of a sequence, in order; of what is none, itself alone.

    Raises:
        UserError: a part is missing, or a quote or bracket is not closed.

    >>> parts_of("threshold + gated[refiner=prn+densecrf]", "--refiner")
    ['threshold', 'gated[refiner=prn+densecrf]']
    """
    if SEQUENCE not in text:
        return [text]
    try:
        parts = pieces(text, SEQUENCE)
    except ValueError:
        raise UserError(f"cannot read {text!r}", where, _CLOSE) from None
    if len(parts) == 1:
        return parts
    if not all(part.strip() for part in parts):
        raise UserError(f"a part is missing in {text!r}", where, "write name+name, without blanks or in quotes")
    return [part.strip() for part in parts]


def parse(text: str, where: str) -> Spec:
    """Read ``name[key=value,...]``.

    Args:
        where: the option or key it stands in, for errors.

    Raises:
        UserError: it has another form.

    >>> parse("prn[size=128, mean=[0.5,0.5]]", "--refiner").parameters
    {'size': '128', 'mean': [0.5, 0.5]}
    >>> str(parse("prn[size=96,epochs=3]", "--refiner").having("epochs", 2))
    'prn[size=96,epochs=2]'
    >>> parse("gated[refiner=prn[size=96,epochs=3]]", "--refiner").parameters
    {'refiner': 'prn[size=96,epochs=3]'}
    """
    match = _SPEC.fullmatch(text)
    if match is None:
        raise UserError(f"cannot read {text!r}", where, "write name or name[key=value,key=value]")
    try:
        parts = tuple(part.strip() for part in pieces(match[2] or "") if part.strip())
    except ValueError:
        raise UserError(f"cannot read {text!r}", where, _CLOSE) from None
    parameters: dict[str, Any] = {}
    for part in parts:
        key, equals, value = (side.strip() for side in part.partition("="))
        if not (key and equals and value):
            raise UserError(f"cannot read {part!r} in {text!r}", where, "write name[key=value,key=value]")
        parameters[key] = _value(value, text, where)
    return Spec(match[1], parameters, parts)


def _value(text: str, spec: str, where: str) -> Any:
    if text[0] not in "[\"'":
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raise UserError(f"cannot read the value {text} in {spec!r}", where, _CLOSE) from None
