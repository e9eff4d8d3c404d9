"""Pictures of single images of finished cells: ``kept/KEY.json`` lists a cell's, ``kept/DIGEST.webp`` are they.

A picture is named by what it holds: cells of one base share its maps, and cells of one dataset the images. A list is of
the records that it was made for, by their digest; one of a cell that was computed anew counts no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from bench.contracts import KEPT_RULES, UserError
from bench.runtime.files import content_digest
from bench.runtime.sealed import sealed, unsealed
from bench.store.cells import Cells
from bench.store.manifest import Manifest
from bench.store.objects import Objects

FOLDER = "kept"

RULES = tuple(KEPT_RULES)
"""By which an image may be chosen."""

ALL = "all"
"""In place of them, where all images are kept."""

_PICTURE = re.compile(rf"{FOLDER}/([0-9a-f]{{32}})\.webp")
_AGAIN = "run again with --keep-maps, which makes it anew"


@dataclass(frozen=True)
class KeptImage:
    """The pictures of one image of a finished cell, as names of objects in the store: kept/DIGEST.webp.

    All but ``image`` are without loss, see `bench.images.webp`.

    Attributes:
        id: of the image.
        why: of `RULES`; ("all",) where every image was kept.
        image: the RGB picture at its own size, WebP quality 90.
        truth: grey, 8 bits: 0 background, 255 object, 128 void.
        base: grey, 8 bits: round(255 * probability) of the base's own map.
        refined: the same of the refined map.
    """

    id: str
    why: tuple[str, ...]
    image: str
    truth: str
    base: str
    refined: str

    @property
    def pictures(self) -> tuple[str, ...]:
        """The names of all of them."""
        return (self.image, self.truth, self.base, self.refined)

    @classmethod
    def parsed(cls, entry: dict[str, object]) -> KeptImage:
        """Of an entry of a list. Raises ValueError where it is none."""
        try:
            why = entry["why"]
            image = cls(**{**entry, "why": tuple(why)})  # type: ignore[arg-type]
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the entry of an image, {error}") from None
        if not all(isinstance(name, str) and _PICTURE.fullmatch(name) for name in image.pictures):
            raise ValueError(f"a picture of {image.id!r} has no picture's name")
        return image


@dataclass(frozen=True)
class KeptImages:
    """The pictures of one store, and which cell's they are.

    Attributes:
        warn: is told of a damaged list that is passed over.
    """

    objects: Objects
    cells: Cells
    warn: Callable[[UserError], None]

    def of(self, key: str) -> tuple[KeptImage, ...]:
        """Those of the finished cell with that key, in the order of its images; () where none were kept."""
        try:
            records, images = self._read(_list(key))
        except FileNotFoundError:
            return ()
        except UserError as error:
            self.warn(error)
            return ()
        cell = self.cells.of_key(key)
        return images if cell is not None and cell.records == records else ()

    def picture(self, name: str) -> bytes:
        """The content of one. Raises UserError where it is damaged or missing."""
        where = f"{self.objects.address}/{name}"
        found = _PICTURE.fullmatch(name)
        if found is None:
            raise UserError("no picture's name", where, _AGAIN)
        try:
            content = self.objects.read(name)
        except FileNotFoundError:
            raise UserError("the picture is gone", where, _AGAIN) from None
        if content_digest(content) != found[1]:
            raise UserError("a damaged picture, its digest differs", where, "say 'bench store check --repair'")
        return content

    def add(self, content: bytes) -> str:
        """Put a picture into the store; its name. One that is there stays."""
        name = f"{FOLDER}/{content_digest(content)}.webp"
        self.objects.create(name, content)
        return name

    def write(self, cell: Manifest, images: Sequence[KeptImage], check: Callable[[], None]) -> None:
        """Write the list of a finished cell, in place of the one that is there.

        Args:
            check: is called before; what it raises keeps the list out of the store.
        """
        check()
        self._write(_list(cell.key), cell.records, images)

    def there(self) -> set[str]:
        """The names of all pictures."""
        return {name for name in self._names if _PICTURE.fullmatch(name)}

    def garbage(self) -> Iterator[tuple[str, str]]:
        """What is of no use, as words and a name: lists of cells that are gone, and pictures that no list names."""
        current = {
            _list(cell.key): cell.records for cell in self.cells.readable()[0] if cell.status == "done" and cell.records
        }
        wanted: set[str] = set()
        for name in self.lists():
            try:
                records, images = self._read(name)
            except (FileNotFoundError, UserError):
                continue  # a damaged one is for `check`
            if current.get(name) != records:
                yield "pictures' list of a cell that is gone", name
            else:
                wanted |= _pictures(images)
        for name in sorted(self.there() - wanted):
            yield "a picture that no cell has", name

    def lists(self) -> list[str]:
        """The names of all lists."""
        return [name for name in self._names if name.endswith(".json")]

    def damaged(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        """What is not what was written: in words, its name, what mends it."""
        there, wanted = self.there(), set[str]()
        for name in self.lists():
            try:
                wanted |= _pictures(self._read(name)[1])
            except FileNotFoundError:
                continue
            except UserError as error:
                yield error.what, name, partial(self.objects.delete, name)
        for name in sorted(there | wanted):
            try:
                self.picture(name)
            except UserError as error:
                yield error.what, name, partial(self._strike, name)

    def _strike(self, picture: str) -> None:
        """Remove one, and from the lists the images that it is of."""
        for name in self.lists():
            try:
                records, images = self._read(name)
            except (FileNotFoundError, UserError):
                continue
            rest = [image for image in images if picture not in image.pictures]
            if len(rest) < len(images):
                self._write(name, records, rest)
        self.objects.delete(picture)

    @property
    def _names(self) -> list[str]:
        return self.objects.names(f"{FOLDER}/")

    def _write(self, name: str, records: str, images: Sequence[KeptImage]) -> None:
        content = {"records": records, "images": [asdict(image) for image in images]}
        self.objects.replace(name, sealed(content, indent=1).encode())

    def _read(self, name: str) -> tuple[str, tuple[KeptImage, ...]]:
        """The digest of the records that a list is of, and its images."""
        try:
            content = unsealed(self.objects.read(name))
            return content["records"], tuple(map(KeptImage.parsed, content["images"]))
        except (ValueError, KeyError, TypeError) as error:
            where = f"{self.objects.address}/{name}"
            raise UserError(f"a damaged list of pictures, {error}", where, _AGAIN) from None


def _list(key: str) -> str:
    return f"{FOLDER}/{key}.json"


def _pictures(images: Collection[KeptImage]) -> set[str]:
    return {name for image in images for name in image.pictures}
