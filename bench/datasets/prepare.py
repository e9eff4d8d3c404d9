"""From the archives that a dataset's authors publish to the folder that its plug-in reads: whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from bench import images
from bench.contracts import UserError
from bench.runtime.archives import Archive, Member, same_to_some
from bench.runtime.folders import files_below
from bench.runtime.progress import track

_LITERAL = frozenset("*?[").isdisjoint


@dataclass(frozen=True)
class Planned:
    """A member and where it goes, below the dataset's folder."""

    archive: Archive
    member: Member
    place: PurePosixPath


@dataclass(frozen=True)
class Plan:
    """What of some archives goes where.

    Attributes:
        files: in the archives' order.
        left_out: names of the members that belong nowhere.
    """

    files: Sequence[Planned]
    left_out: Sequence[str]

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return sum(file.member.size for file in self.files)


def plan(name: str, patterns: Sequence[str], archives: Sequence[Archive]) -> Plan:
    """Where the members go.

    Args:
        name: the dataset's, for errors.
        patterns: see `bench.contracts.Published`.

    Raises:
        UserError: the archives are of another dataset: one of them has nothing of it, or most pictures in them belong
            nowhere; a member could go to several places, or two go to the same.
    """
    files: list[Planned] = []
    left_out: list[PurePosixPath] = []
    taken: set[str] = set()
    fix = f"name the archives of {name}, which hold {', '.join(patterns)}"
    for archive in archives:
        before = len(files)
        for member in archive.members:
            place = placed(member.name, patterns, archive.path)
            if place is None:
                left_out.append(member.name)
                continue
            if same_to_some(place) in taken:
                raise UserError(f"two files for {place}", archive.path, "name each archive once")
            taken.add(same_to_some(place))
            files.append(Planned(archive, member, place))
        if len(files) == before:
            raise UserError(f"nothing of {name!r} among {len(archive.members)} files", archive.path, fix)
    odd = [member for member in left_out if member.suffix.lower() in images.IMAGE_SUFFIXES]
    if len(odd) >= len(files):
        what = f"{len(odd)} pictures that belong nowhere in {name!r}, such as {odd[0]}, beside {len(files)} that do"
        raise UserError(what, ", ".join(str(archive.path) for archive in archives), fix)
    return Plan(files, [str(member) for member in left_out])


def placed(name: PurePosixPath, patterns: Sequence[str], where: Path) -> PurePosixPath | None:
    """The path below the dataset's folder; None for what belongs nowhere.

    Raises:
        UserError: it lacks the folder that tells.

    >>> placed(PurePosixPath("DUTS-TE/DUTS-TE/DUTS-TE-Image/a.jpg"), ["DUTS-TE/DUTS-TE-Image/*.jpg"], Path())
    PurePosixPath('DUTS-TE/DUTS-TE-Image/a.jpg')
    >>> placed(PurePosixPath("a.jpg"), ["images/*.jpg", "masks/*.png"], Path())
    PurePosixPath('images/a.jpg')
    """
    split = [PurePosixPath(pattern).parts for pattern in patterns]
    for pattern in split:
        tail = name.parts[-len(pattern) :]
        if _alike(tail, pattern):
            return PurePosixPath(*tail)
    # A path shorter than the pattern: the archive begins further down.
    lacking = [(pattern[: -len(name.parts)], pattern[-len(name.parts) :]) for pattern in split]
    places = {folders for folders, rest in lacking if all(map(_LITERAL, folders)) and _alike(name.parts, rest)}
    if len(places) > 1:
        could = " or ".join(sorted("/".join(folders) for folders in places))
        raise UserError(f"{name} could belong to {could}", where, f"pack it anew with the folders {could}")
    return PurePosixPath(*places.pop(), *name.parts) if places else None


def _alike(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))


def check_room(plan: Plan, target: Path) -> None:
    """Raises UserError where the disk has not the room for it."""
    there = next(parent for parent in target.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(there).free
    if plan.size > free:
        what = f"{plan.size / 2**20:,.0f} MiB to unpack, and {free / 2**20:,.0f} MiB free"
        raise UserError(what, there, "make room, or name another disk with --root")


def unpack(plan: Plan, folder: Path, description: str) -> None:
    """Write the files below ``folder``. Raises UserError as `bench.runtime.archives.Archive.chunks`, and OSError."""
    for file in track(plan.files, description, len(plan.files)):
        path = folder / file.place
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            for chunk in file.archive.chunks(file.member):
                stream.write(chunk)


def is_unpacked(plan: Plan, folder: Path, description: str) -> bool:
    """Whether ``folder`` holds these files and no other. Raises UserError as `unpack`."""
    there = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files_below(folder)}
    if there != {str(file.place): file.member.size for file in plan.files}:
        return False
    return all(_equal(file, folder) for file in track(plan.files, description, len(plan.files)))


def _equal(file: Planned, folder: Path) -> bool:
    with (folder / file.place).open("rb") as stream:
        return all(stream.read(len(chunk)) == chunk for chunk in file.archive.chunks(file.member))
