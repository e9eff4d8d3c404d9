"""A figure before it is drawn: what it is called, its files' names, the sentence that says what it shows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contracts import UserError
from bench.reports.figures.canvas import FORMS, rendered
from bench.reports.formats.markdown import plain
from bench.runtime.files import OUT, writing
from bench.runtime.progress import note, track

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = "figures.md"
"""Says of each file what it shows."""

_LONGEST = 40
"""Characters of each name that a file's name holds: it ends with a digest of them all in full."""


@dataclass(frozen=True)
class Drawing:
    """One figure.

    Attributes:
        kind: what it shows, e.g. ``examples``.
        names: of what: dataset, base, refiner, as far as it is of one.
        says: what it shows, by which rule, in one sentence or some.
        draw: makes it, see `bench.reports.figures.canvas.rendered`. Raises UserError where a file of the store that
            it needs is damaged.
    """

    kind: str
    names: tuple[str, ...]
    says: str
    draw: Callable[[], Figure]

    @property
    def stem(self) -> str:
        """Of its files: letters, digits and dashes, fit for every file system.

        >>> Drawing("cost", ("ECSSD", "maps[path=a/b]"), "", lambda: None).stem
        'figure-cost-ecssd-maps-path-a-b-edc57a'
        """
        # Where case does not tell files apart, the digest does.
        parts = [re.sub(r"[^a-z0-9]+", "-", name.lower())[:_LONGEST].strip("-") for name in (self.kind, *self.names)]
        digest = hashlib.blake2b("\0".join(self.names).encode(errors="surrogatepass"), digest_size=3).hexdigest()
        return "-".join(["figure", *filter(None, parts), *([digest] if self.names else [])])

    @property
    def title(self) -> str:
        return ", ".join([self.kind, *self.names])


def write(drawings: Sequence[Drawing], folder: Path) -> list[Path]:
    """Each as PDF and PNG, then their captions.

    Returns:
        The files.

    Raises:
        UserError: a file cannot be written; or, once the others are there, some of the figures could not be drawn.
    """
    files, lines, failed = [], [], None
    for drawing in track(drawings, "figures"):
        try:
            contents = rendered(drawing.draw)
        except UserError as error:
            note(f"no figure of {drawing.title}: {error}")
            failed = error
            continue
        files += [_put(folder / f"{drawing.stem}.{form}", contents[form]) for form in FORMS]
        lines.append(f"- `{drawing.stem}`: {plain(drawing.title)}: {plain(drawing.says).rstrip('.')}.")
    said = "# Figures\n\nEach is there as .pdf and .png; gains are over the base's own map.\n\n"
    files.append(_put(folder / CAPTIONS, (said + "\n".join(lines) + "\n").encode()))
    if failed:
        raise failed
    return files


def _put(path: Path, content: bytes) -> Path:
    with writing(path, OUT) as temporary:
        temporary.write_bytes(content)
    return path
