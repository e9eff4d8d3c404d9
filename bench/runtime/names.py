"""Which files belong together by their names: one set of rules for every command, dataset and base.

A file's id is its path below the folder without its suffix, with ``/`` between the parts and in Unicode's form NFC, in
which an accented letter is one character (a Mac's file names have it as two). A pattern, ``*_mask``, says what else of
the name is no part of the id.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contracts import UserError
from bench.runtime.folders import files_below, kind_of

ENOUGH = 0.5
"""Share of the smaller set that has to find a partner; below it a pattern that finds more is told, as an error."""


LONGEST = 240
"""Bytes of a part of an id: file systems take 255 of a name, and a suffix belongs to it."""


@dataclass(frozen=True)
class Side:
    """One of two sets of files that are matched.

    Attributes:
        files: by id, in the order of their paths.
        place: the folder, or a single file.
        noun: what they are, in the plural.
        option: how a pattern of theirs is given: ``--map-pattern`` or, in brackets, ``map_pattern=``.
        pattern: in use; "" for none.
    """

    files: Mapping[str, Path]
    place: Path
    noun: str
    option: str
    pattern: str = ""

    @property
    def single(self) -> bool:
        """Whether one file was named, and no folder."""
        return self.place.is_file()

    def having(self, pattern: str) -> str:
        """The option with a pattern, ready to be pasted."""
        if self.option.startswith("--"):
            return f"{self.option} '{pattern}'"
        return f"{self.option}{pattern}" if not set(pattern) & set(",[]'") else f'{self.option}"{pattern}"'


@dataclass(frozen=True)
class Match:
    """Two sides, matched.

    Attributes:
        pairs: the two files of each id that both have, in the first side's order.
        first_left, second_left: the files without a partner, by id.
    """

    pairs: Mapping[str, tuple[Path, Path]]
    first_left: Mapping[str, Path]
    second_left: Mapping[str, Path]


def canonical(name: str) -> str:
    """A name in the form in which ids are compared."""
    return unicodedata.normalize("NFC", name)


def check_id(id_: str, where: object) -> None:
    """Raises UserError where an id is no path of a file below a folder, on any common file system."""
    parts = id_.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise UserError(f"the id {id_!r}", where, "use names without empty parts, '.' and '..'")
    if any(unicodedata.category(character) == "Cc" for character in id_):
        raise UserError(f"the id {id_!r}", where, "use names without control characters")
    if any(len(part.encode(errors="surrogateescape")) > LONGEST for part in parts):
        raise UserError(f"the id {id_[:40]!r}..., which is too long", where, f"use names of {LONGEST} bytes at most")


def side(place: Path, suffixes: Sequence[str], noun: str, named_by: str, option: str, pattern: str = "") -> Side:
    """The files of a folder, or one file, by id.

    Args:
        place: looked through as `bench.runtime.folders.files_below`.
        suffixes: of the files that count; lower case, with the dot.
        noun: what they are, in the plural: for errors.
        named_by: what names the place, for errors.
        option: see `Side`.
        pattern: of the names, without their suffixes, with one ``*`` for the part that is the id; files of other names
            are left out. "" takes all names as they are.

    Raises:
        UserError: nothing is there, or nothing of the suffixes or the pattern; two files are of one id; or the pattern
            is none.
    """
    _check(pattern, suffixes, option)
    kind = kind_of(place)
    if kind == "file":
        files = [place] if place.suffix.lower() in suffixes else []
        root = place.parent
    elif kind == "folder":
        files, root = [path for path in files_below(place) if path.suffix.lower() in suffixes], place
    else:
        raise UserError(
            f"a {kind}" if kind else "no such file or folder", place, f"name an existing one with {named_by}"
        )
    if not files:
        fix = f"files of {', '.join(suffixes)} are read"
        raise UserError(f"no {noun} here", place, fix)
    named = [([canonical(part) for part in path.relative_to(root).parts], path) for path in files]
    named.sort(key=lambda pair: pair[0])
    found: dict[str, Path] = {}
    for parts, path in named:
        id_ = _inside("/".join(parts).removesuffix(path.suffix), pattern)
        if id_ is None:
            continue
        other = found.setdefault(id_, path)
        if other is not path:
            raise _two_of_one_name(other, path)
    if not found:
        fix = f"the first is {named[0][1].name}; correct {option.rstrip('=')}, which is of the name without the suffix"
        raise UserError(f"none of {len(files)} {noun} has a name like {pattern!r}", place, fix)
    return Side(found, place, noun, option, pattern)


def match(first: Side, second: Side) -> Match:
    """The files of two sides that have the same id; of two single files, the two, whatever their names.

    Raises:
        UserError: no file has a partner, or less than `ENOUGH` have one and a pattern would find more; or both sides
            are the same files.
    """
    if first.single and second.single:
        ((id_, of_second),) = second.files.items()
        (of_first,) = first.files.values()
        return Match({id_: (of_first, of_second)}, {}, {})
    first_files, second_files = _told_apart(first, second)
    ids = [id_ for id_ in first_files if id_ in second_files]
    if len(ids) < ENOUGH * min(len(first_files), len(second_files)):
        patterns = likely(first_files, second_files)
        if patterns is not None or not ids:
            raise _unlike(first, first_files, second, second_files, len(ids), patterns)
    return Match(
        {id_: (first_files[id_], second_files[id_]) for id_ in ids},
        {id_: path for id_, path in first_files.items() if id_ not in second_files},
        {id_: path for id_, path in second_files.items() if id_ not in first_files},
    )


def need_partners(found: Match, first: Side, second: Side) -> None:
    """Raises UserError where a file of the second side has no partner."""
    if found.second_left:
        id_ = min(found.second_left)
        said = f"{len(found.second_left)} {second.noun} have no {first.noun[:-1]}, e.g. {id_}"
        raise UserError(said, second.place, "give both the same file names")


def likely(first: Collection[str], second: Collection[str], *, second_only: bool = False) -> tuple[str, str] | None:
    """The patterns of two sets of ids, "" for none, under which the most fall together.

    Args:
        second_only: the first set's names are as they have to be.

    Returns:
        None unless more fall together than do as they are, and at least `ENOUGH` of the smaller set.

    >>> likely(["a/1", "a/2"], ["a/1_mask", "a/2_mask"])
    ('', '*_mask')
    >>> likely(["1-img", "2-img"], ["pred1", "pred2"])
    ('*-img', 'pred*')
    """
    readings: dict[str, list[str]] = defaultdict(list)
    for name in first:
        for id_, pattern in [(name, "")] if second_only else _readings(name):
            readings[id_].append(pattern)
    found = Counter(
        (mine, pattern) for name in second for id_, pattern in _readings(name) for mine in readings.get(id_, ())
    )
    as_they_are = found.pop(("", ""), 0)
    best = min(found, key=lambda pair: (-found[pair], sum(map(len, pair)), pair), default=None)
    enough = best is not None and found[best] >= max(as_they_are + 1, ENOUGH * min(len(first), len(second)))
    return best if enough else None


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """What the id may be, with the pattern that would say so: all of the name, or that without words at one end."""
    yield name, ""
    folder, slash, last = name.rpartition("/")
    for at in range(1, len(last)):
        before, after = last[at - 1], last[at]
        if (after in "_-. " or (before.isdigit() and after.isalpha())) and any(map(str.isalpha, last[at:])):
            yield folder + slash + last[:at], f"*{last[at:]}"
        if (before in "_-. " or (before.isalpha() and after.isdigit())) and any(map(str.isalpha, last[:at])):
            yield folder + slash + last[at:], f"{last[:at]}*"


def _check(pattern: str, suffixes: Sequence[str], option: str) -> None:
    if pattern and (pattern.count("*") != 1 or "/" in pattern):
        fix = "write one * for the part of the file name that is the id, as in '*_mask'"
        raise UserError(f"the pattern {pattern!r}", option.rstrip("="), fix)
    if pattern.lower().endswith(tuple(suffixes)):
        raise UserError(f"the pattern {pattern!r}", option.rstrip("="), "leave the suffix out, as in '*_mask'")


def _inside(name: str, pattern: str) -> str | None:
    """The id of a name; None where it is not of the pattern."""
    if not pattern:
        return name
    folder, slash, last = name.rpartition("/")
    before, _, after = canonical(pattern).partition("*")
    fits = len(last) > len(before) + len(after) and last.startswith(before) and last.endswith(after)
    return folder + slash + last[len(before) : len(last) - len(after)] if fits else None


def _two_of_one_name(one: Path, other: Path) -> UserError:
    names = f"{one.name} and {other.name}"
    if one.name != other.name and canonical(one.name) == canonical(other.name):
        names += ", which Unicode writes in two ways"
    elif one.parent != other.parent:
        names = f"{one} and {other}"
    return UserError(f"two files of one name, {names}", other.parent, "keep one of them")


def _told_apart(first: Side, second: Side) -> tuple[dict[str, Path], dict[str, Path]]:
    """The files of both; where they are of one folder, the side without a pattern has not what the other's says."""
    files = dict(first.files), dict(second.files)
    if os.path.realpath(first.place) != os.path.realpath(second.place):
        return files
    if first.pattern == second.pattern:
        fix = f"name two, or tell their files apart with {first.having('...*')} or {second.having('...*')}"
        raise UserError(f"{first.noun} and {second.noun} are the same folder", first.place, fix)
    taken = [set(side.files.values()) if side.pattern else set() for side in (second, first)]
    one, other = (
        {id_: path for id_, path in mine.items() if path not in theirs}
        for mine, theirs in zip(files, taken, strict=True)
    )
    return one, other


def _unlike(
    first: Side,
    first_files: Mapping[str, Path],
    second: Side,
    second_files: Mapping[str, Path],
    matched: int,
    patterns: tuple[str, str] | None,
) -> UserError:
    counts = f"{matched or 'none'} of {len(second_files)} {second.noun}"
    said = f"{counts} {'has' if matched < 2 else 'have'} the name of one of the {first.noun}"
    one, other = min(first_files.keys() - second_files.keys()), min(second_files.keys() - first_files.keys())
    said += f": {other!r}, but {one!r}"
    if patterns is None:
        return UserError(said, second.place, "give both the same file names, but for the suffix, or name a pattern")
    options = [
        side.having(side.pattern.replace("*", pattern) or pattern)
        for side, pattern in zip((first, second), patterns, strict=True)
        if pattern
    ]
    between = " " if second.option.startswith("--") else ","
    return UserError(said, second.place, f"say {between.join(options)}")
