"""Specs and variants of bench.toml -> plug-ins with their parameters: ``"prn[size=128]"`` -> a refiner to be made."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ConfigDict, ValidationError, create_model

from bench.config import Kind, Settings, nearest
from bench.contracts import AsksBase, GoesByName, Plugin, RefersToFiles, SearchSpace, Span, UserError
from bench.cross_fitting import FOLDS
from bench.metrics.columns import DEFAULT_OBJECTIVE, OBJECTIVES
from bench.plugins.calls import calling
from bench.plugins.chain import Chain, class_for
from bench.plugins.entry_points import (
    FILLED_IN,
    TUNING,
    Entry,
    SequenceEntry,
    defaults_of,
    hints_of,
    search_space,
    takes_refiner,
    usable,
)
from bench.plugins.spec import Spec, parse, parts_of
from bench.plugins.tuning import Search, Tuned
from bench.redaction import redacted
from bench.runtime.folders import files_below, kind_of
from bench.runtime.reading import changed, digest_of, digests_of
from bench.store import SEQUENCE, VariantName

_ANOTHER = "name a refiner that does not"

DEEPEST = 16
"""How many refiners may stand in one another's brackets: beyond it Python's own limit would end it less clearly."""


CELL = ("dataset", "base", "seed")
"""What the path of a refiner that goes by name may have in braces, see `Variant.placed`."""


@dataclass(frozen=True)
class Variant:
    """A plug-in with its parameters, read once: it can be made here and, pickled, in another process.

    Attributes:
        name: how tables and file names show it: parameters that differ from the default.
        parameters: all parameters, as validated; one that is a refiner, as a variant.
        free: what ``tune=`` would search: the search space without the parameters that were given.
        search: for a refiner with ``tune=``: how that is searched on val; else None.
        filled_in: what the settings give its constructor: a dataset's ``root``.
    """

    entry: Entry
    name: VariantName
    parameters: dict[str, Any] = field(hash=False)
    free: SearchSpace = field(default_factory=dict, hash=False)
    search: Search | None = field(default=None, hash=False)
    filled_in: Mapping[str, Any] = field(default_factory=dict, hash=False)
    _reading: _Reading | None = field(default=None, hash=False, repr=False)

    @property
    def kind(self) -> Kind:
        return self.entry.kind

    @property
    def label(self) -> str:
        """The name in one piece, of paths the last part."""
        return self.name.label()

    @property
    def spec(self) -> str:
        """What a user would write for it."""
        return str(self._reading.spec) if self._reading else self.label

    @property
    def nested(self) -> dict[str, Variant]:
        """The parameters that are refiners; the parts of a sequence, by their numbers from 1."""
        return {key: value for key, value in self.parameters.items() if isinstance(value, Variant)}

    @property
    def entries(self) -> list[Entry]:
        """Its plug-in, and those of refiners in it."""
        return [self.entry, *(entry for one in self.nested.values() for entry in one.entries)]

    @property
    def inside(self) -> dict[str, tuple[str, Variant]]:
        """The refiners in it by the place of their fit in the folder of its own, each with what to call it."""
        return {key: (one.label, one) for key, one in self.nested.items()}

    @property
    def foundations(self) -> list[dict[str, Variant]]:
        """What its fit may take over of fits of others, of the same val and seed: the first of which there is any.

        Each by the place in the folder of its own fit.
        """
        return [self.nested] if self.nested else []

    @property
    def searches(self) -> bool:
        """Whether it, or a part of it, is tuned on val."""
        return self.search is not None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """JSON-able: everything about the variant that changes its numbers, and no name that a user has given it.

        A file or folder counts by its contents, a refiner in it by its identity. Those of a dataset are left out: the
        fingerprints of its splits tell what was read.
        """
        paths = {key: value for key, value in self.parameters.items() if isinstance(value, Path)}
        values = {key: value for key, value in self.parameters.items() if key not in paths}
        values |= {key: variant.identity for key, variant in self.nested.items()}
        if self.kind != "dataset":
            values |= {key: _hash_of(path, self.files[path], self.entry.factory) for key, path in paths.items()}
        version = getattr(self.entry.factory, "version", Plugin.version)
        searched = {} if self.search is None else {"search": self.search.identity()}
        return {"name": self.entry.name, "version": version, "parameters": values, **searched}

    @cached_property
    def files(self) -> Mapping[Path, Mapping[Path, bytes]]:
        """Of each file or folder that a parameter names, or one of a refiner in it: the digests of what is there.

        None of a dataset.
        """
        if self.kind == "dataset":
            return {}
        paths = [path for path in self.parameters.values() if isinstance(path, Path)]
        own = {path: _digests(path) if kind_of(path) else {} for path in paths}
        return own | {path: digests for one in self.nested.values() for path, digests in one.files.items()}

    def check_unchanged(self) -> None:
        """Raises UserError where a file that a parameter names is not what it was when `identity` was first told."""
        now = self._anew()
        for path, before in self.files.items():
            try:
                after = now.files[path]
            except (UserError, OSError):
                raise changed(path) from None
            for file in sorted(before.keys() | after.keys()):
                if before.get(file) != after.get(file):
                    raise changed(file)
        if now.identity != self.identity:
            raise changed(", ".join(map(str, self.files)), "names other files than when the run was planned")

    def _anew(self) -> Variant:
        """The same without what this one, or one in it, remembers of files."""
        return replace(self, parameters=self.parameters | {key: one._anew() for key, one in self.nested.items()})

    def arguments(self, **filled_in: Any) -> dict[str, Any]:
        """The parameters as the constructor takes them: refiners among them are made, each time anew.

        Raises:
            UserError: such a refiner cannot be made, or needs the ground truth or the base.
        """
        return _arguments(self.parameters, filled_in)

    def make(self, **filled_in: Any) -> Any:
        """Construct it. ``device`` and ``seed`` reach the constructors that take them, of refiners in it, too."""
        wanted = inspect.signature(self.entry.factory).parameters
        filled_in = {**self.filled_in, **filled_in}
        given = {name: filled_in[name] for name in FILLED_IN[self.kind] if name in wanted and name in filled_in}

        def construct(found: dict[str, Any]) -> Any:
            arguments = self.arguments(**filled_in)
            with calling(self.spec):
                return self.entry.factory(**{**arguments, **found}, **given)

        if self.search is None:
            return construct({})
        searched = {name: self.parameters[name] for name in self.search.space}
        return Tuned(construct, searched, self.search, filled_in.get("seed", 0))

    def placed(self, **names: str) -> Variant:
        """For one cell: ``{base}`` in the path of a refiner that goes by name, for one, is the base's name.

        It keeps its own name, so that one row has the cells of all bases. Whether anything is there, the refiner says.
        """
        paths = {key: value for key, value in self.parameters.items() if isinstance(value, Path) and _is_open(value)}
        if not paths or not isinstance(self.entry.factory, GoesByName):
            return self
        for key, path in paths.items():
            text = str(path)
            for name, value in names.items():
                text = text.replace(f"{{{name}}}", value)
            paths[key] = Path(text)
        return replace(self, parameters=self.parameters | paths)

    def having(self, key: str, value: Any) -> Variant:
        """With a parameter set over what the name says; itself where ``value`` is None or it has no such parameter.

        Raises:
            UserError: a wrong value.
        """
        if value is None or key not in self.parameters or self._reading is None:
            return self
        return _variant(self.entry, self._reading.having(key, value), self.filled_in)

    def tuned(self, trials: int | None, objective: str | None) -> Variant:
        """A refiner with ``tune=`` where it can be tuned and does not say so itself; else itself."""
        if trials is None or self.search is not None or not self.free or self._reading is None:
            return self
        if not _fitting(self.entry, self.parameters, self.free, self._reading.given):
            return self
        reading = self._reading.having("tune", trials)
        return _variant(self.entry, reading if objective is None else reading.having("objective", objective), {})

    def with_own_weights(self) -> Variant:
        """A refiner with ``weights=train`` where it takes that, and would otherwise use what others trained."""
        choices = get_args(hints_of(self.entry.factory).get("weights"))
        takes_it = any("train" in get_args(choice) for choice in choices)
        return self.having("weights", "train") if takes_it and self.parameters["weights"] is None else self


@dataclass(frozen=True)
class SequenceVariant(Variant):
    """Refiners one after the other, ``a+b``; it has no parameters but those of its parts.

    Attributes:
        parts: two or more, none of them a sequence.
    """

    parts: tuple[Variant, ...] = ()

    @classmethod
    def of(cls, parts: Sequence[Variant]) -> SequenceVariant:
        """Of these parts; those that are sequences give theirs."""
        flat = tuple(inner for part in parts for inner in (getattr(part, "parts", ()) or (part,)))
        numbered = {str(number): part.name for number, part in enumerate(parts, 1)}
        labels = {number: part.label() for number, part in numbered.items()}
        name = VariantName(name=SEQUENCE, parameters=labels, nested=numbered)
        return cls(SequenceEntry(tuple(part.entry for part in flat)), name, {}, parts=flat)

    @property
    def spec(self) -> str:
        return SEQUENCE.join(part.spec for part in self.parts)

    @property
    def nested(self) -> dict[str, Variant]:
        return {str(number): part for number, part in enumerate(self.parts, 1)}

    @property
    def inside(self) -> dict[str, tuple[str, Variant]]:
        """See `bench.plugins.chain.Chain.fit` for the places."""
        return {f"{key}/refiner": (f"part {key}, {part.label}", part) for key, part in self.nested.items()}

    @property
    def foundations(self) -> list[dict[str, Variant]]:
        """The longest beginning that is a cell of its own."""
        longer = [self.parts[:count] for count in range(len(self.parts) - 1, 1, -1)]
        sequences: list[dict[str, Variant]] = [{".": SequenceVariant.of(parts)} for parts in longer]
        return [*sequences, {"1/refiner": self.parts[0]}]

    @property
    def searches(self) -> bool:
        return any(part.searches for part in self.parts)

    @cached_property
    def identity(self) -> dict[str, Any]:
        parameters = {"parts": [part.identity for part in self.parts], "folds": FOLDS}
        return {"name": SEQUENCE, "version": Chain.version, "parameters": parameters}

    def _anew(self) -> Variant:
        return replace(self, parts=tuple(part._anew() for part in self.parts))

    def make(self, **filled_in: Any) -> Chain:
        """Construct its parts, and the whole of them."""
        made = [part.make(**filled_in) for part in self.parts]
        return class_for(made)(made, [part.label for part in self.parts], filled_in.get("seed", 0))

    def having(self, key: str, value: Any) -> Variant:
        """With a parameter set in each part that has it."""
        return self._each(lambda part: part.having(key, value))

    def tuned(self, trials: int | None, objective: str | None) -> Variant:
        """With ``tune=`` in each part that can be tuned and does not say so itself."""
        return self._each(lambda part: part.tuned(trials, objective))

    def with_own_weights(self) -> Variant:
        return self._each(Variant.with_own_weights)

    def _each(self, change: Callable[[Variant], Variant]) -> Variant:
        parts = [change(part) for part in self.parts]
        changed = any(after is not before for after, before in zip(parts, self.parts, strict=True))
        return SequenceVariant.of(parts) if changed else self


@dataclass(frozen=True)
class _Reading:
    """What was written, layer by layer.

    Attributes:
        spec: as the user wrote it.
        own: parameters to show for the variant of bench.toml that it names.
        given: all parameters that are not left to the plug-in; a refiner among them as a variant.
        alias: it names a variant of bench.toml.
        where: the option or key it came from, for errors.
    """

    spec: Spec
    own: dict[str, Any]
    given: dict[str, Any]
    alias: bool
    where: str

    def having(self, key: str, value: Any) -> _Reading:
        own, given = {**self.own, key: value}, {**self.given, key: value}
        return _Reading(self.spec.having(key, value), own, given, self.alias, self.where)


def resolve(kind: Kind, spec: str, settings: Settings, where: str = "", *, weights: Path | None = None) -> Variant:
    """Find the plug-in and validate the parameters of ``name[key=value,...]``.

    Args:
        spec: a plug-in's or a variant's name; parameters given here win over the variant's.
        where: the option or key the spec came from, for errors.
        weights: value of the parameter ``weights``, over the spec's own: what ``--checkpoint`` gives.

    Raises:
        UserError: unknown name or parameter (with the nearest valid one), wrong type, missing extra or file, or
            ``weights`` for a plug-in without that parameter; or a refiner in it cannot stand there.
    """
    return _resolve(kind, spec, settings, _Place(where or f"--{kind}"), weights)


@dataclass(frozen=True)
class _Place:
    """Where a spec stands.

    Attributes:
        option: the option or key that it came from.
        around: what is before it there: ``gated[refiner=`` of each that it is a parameter of.
        definitions: the keys of the settings that it is part of: none of them can be part of it.
    """

    option: str
    around: tuple[str, ...] = ()
    definitions: frozenset[str] = frozenset()

    def of(self, spec: str) -> str:
        """For errors: ``--refiner``, or ``--refiner gated[refiner=prn]``."""
        return f"{self.option} {''.join(self.around)}{spec}{']' * len(self.around)}" if self.around else self.option

    def within(self, name: str, definition: str) -> _Place:
        """That of a part of a sequence that the settings define. Raises UserError where it goes round in a circle."""
        if definition in self.definitions:
            raise UserError(f"{name!r} leads back to itself", definition, "name another refiner there")
        return replace(self, definitions=self.definitions | {definition})

    def inside(self, name: str, key: str, definition: str) -> _Place:
        """That of a parameter; ``definition`` is the key of the settings that gives it, "" for the spec itself.

        Raises:
            UserError: it goes round in a circle, or too deep.
        """
        where = self.of(f"{name}[{key}=...]")
        if definition in self.definitions:
            raise UserError(f"{key}= of {name!r} leads back to itself", definition, "name another refiner there")
        if len(self.around) == DEEPEST:
            raise UserError(f"more than {DEEPEST} refiners in one another", where[:80], "name fewer")
        return _Place(self.option, (*self.around, f"{name}[{key}="), self.definitions | ({definition} - {""}))


def _resolve(kind: Kind, spec: str, settings: Settings, place: _Place, weights: Path | None = None) -> Variant:
    where = place.of(spec)
    if kind == "refiner" and len(specs := parts_of(spec, where)) > 1:
        if weights is not None:
            fix = "name the folder STORE/refiners/KEY that a run left, or give a part its weights="
            raise UserError(f"{spec} is a sequence, and takes no weights file", "--checkpoint", fix)
        parts = [_resolve(kind, part, settings, place) for part in specs]
        for part in parts:
            _check_has_no_names(part.entry.factory, part.label, where)
        return SequenceVariant.of(parts)
    read = parse(spec, where)
    aliases: dict[str, str] = getattr(settings.variants, kind)
    name, given = read.name, read.parameters
    defined: dict[str, str] = {}
    for _ in range(len(aliases) + 1):
        if name not in aliases:
            break
        definition = f"variants.{kind}.{name}"
        if kind == "refiner" and len(parts_of(aliases[name], definition)) > 1:
            if given:
                fix = f"write it out, with the parameters at its parts: {aliases[name]}"
                raise UserError(f"{read.name!r} is a sequence and has no parameters", where, fix)
            sequence = _resolve(kind, aliases[name], settings, place.within(name, definition), weights)
            return replace(sequence, name=VariantName(name=read.name))
        inherited = parse(aliases[name], definition)
        defined |= dict.fromkeys(inherited.parameters.keys() - given.keys(), definition)
        name, given = inherited.name, {**inherited.parameters, **given}
    wide = settings.parameters.get(name, {})
    defined |= {key: f"--set or [parameters]: {name}.{key}" for key in wide.keys() - given.keys()}
    entry = usable(kind, name, where, aliases)
    if place.around:
        _check_stands_alone(entry.factory, name, where)
    given = {**wide, **given}
    for key, hint in hints_of(entry.factory).items():
        if takes_refiner(hint) and isinstance(given.get(key), str):
            inside = place.inside(read.name, key, defined.get(key, ""))
            given[key] = _resolve("refiner", given[key], settings, inside)
    reading = _Reading(read, {**wide, **read.parameters}, given, read.name in aliases, where)
    if weights is not None:
        if "weights" not in defaults_of(entry):
            raise UserError(f"{kind} {name!r} takes no checkpoint", "--checkpoint", "leave that option out")
        reading = reading.having("weights", weights)
    return _variant(entry, reading, {"root": settings.dataset_root(name)} if kind == "dataset" else {})


def digest(identity: dict[str, Any]) -> str:
    """Hex key of a JSON-able identity."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _variant(entry: Entry, reading: _Reading, filled_in: Mapping[str, Any]) -> Variant:
    given, defaults = dict(reading.given), defaults_of(entry)
    asked = {key: given.pop(key) for key in TUNING & given.keys() if entry.kind == "refiner" and key not in defaults}
    free = {name: choices for name, choices in search_space(entry).items() if name not in given}
    parameters = _validate(entry, given, defaults, reading.where)
    search = _search(entry.name, asked, _fitting(entry, parameters, free, given), reading.where) if asked else None
    shown = reading.own if reading.alias else {k: v for k, v in parameters.items() if v != defaults[k]}
    texts = {key: _show(parameters[key]) for key in parameters if key in shown}
    if search is not None and (TUNING & reading.own.keys() or not reading.alias):
        texts["tune"] = str(search.trials)
        texts |= {"objective": search.objective} if search.objective != DEFAULT_OBJECTIVE else {}
    paths = {key: str(parameters[key].absolute()) for key in texts if isinstance(parameters.get(key), Path)}
    nested = {key: value.name for key, value in parameters.items() if key in texts and isinstance(value, Variant)}
    name = VariantName(name=reading.spec.name, parameters=texts, paths=paths, nested=nested)
    return Variant(entry, name, parameters, free, search, filled_in, reading)


def _arguments(parameters: Mapping[str, Any], filled_in: Mapping[str, Any]) -> dict[str, Any]:
    """See `Variant.arguments`."""
    found = dict(parameters)
    for key, value in parameters.items():
        if isinstance(value, Variant):
            found[key] = value.make(**filled_in)
            # What is true of a refiner may depend on its parameters.
            _check_stands_alone(found[key], value.label, value._reading.where if value._reading else key)
    return found


def _check_stands_alone(plugin: Any, name: str, where: str) -> None:
    """Raises UserError where a class or a refiner wants what the one that it is a parameter of has not."""
    if getattr(plugin, "uses_ground_truth", False) is True:
        raise UserError(f"{name} sees the ground truth", where, _ANOTHER)
    if isinstance(plugin, AsksBase):
        raise UserError(f"{name} asks the base for maps", where, _ANOTHER)
    _check_has_no_names(plugin, name, where)


def _check_has_no_names(plugin: Any, name: str, where: str) -> None:
    """Raises UserError of what goes by names, in another refiner or a sequence: those are given maps alone."""
    if isinstance(plugin, GoesByName):
        raise UserError(f"{name} goes by the images' names, and stands alone", where, _ANOTHER)


def _fitting(entry: Entry, parameters: Mapping[str, Any], free: SearchSpace, given: Mapping[str, Any]) -> SearchSpace:
    """What of a search space goes with the parameters that were given, found out by making refiners.

    Of a choice, the values that make one with the parameters before it at either end; a span whole or not at all.
    """
    # With the defaults every combination makes a refiner, by contract.
    if not given:
        return free
    try:
        parameters = _arguments(parameters, {})
    except UserError:
        return free
    if not _makes(entry, parameters):
        return free
    found: dict[str, Any] = {}
    for name, values in free.items():
        ends = [{**parameters, **{key: _ends(found[key])[end] for key in found}} for end in (0, 1)]
        tried = _ends(values) if isinstance(values, Span) else values
        good = tuple(value for value in tried if all(_makes(entry, {**one, name: value}) for one in ends))
        if isinstance(values, Span):
            found |= {name: values} if len(good) == len(tried) else {}
        elif good:
            found[name] = good
    return found


def _ends(values: Span | tuple[Any, ...]) -> tuple[Any, Any]:
    return (values.low, values.high) if isinstance(values, Span) else (values[0], values[-1])


def _makes(entry: Entry, parameters: Mapping[str, Any]) -> bool:
    try:
        entry.factory(**parameters)
    except UserError:
        return False
    return True


def _search(name: str, asked: dict[str, Any], free: SearchSpace, where: str) -> Search:
    trials, objective = str(asked.get("tune", "")), asked.get("objective", DEFAULT_OBJECTIVE)
    if not free:
        raise UserError(f"refiner {name!r} has nothing left to tune", where, "leave tune= out, or another parameter")
    if not trials.isdigit() or int(trials) < 1:
        raise UserError(f"cannot tune with {trials or 'no'} trials", where, f"write {name}[tune=40]")
    if objective not in OBJECTIVES:
        raise UserError(f"no such objective {objective!r}", where, nearest(objective, OBJECTIVES))
    return Search(int(trials), objective, free)


def _validate(entry: Entry, given: dict[str, Any], defaults: dict[str, Any], where: str) -> dict[str, Any]:
    """All parameters with their validated values."""
    hints = hints_of(entry.factory)
    for key in given:
        if key not in defaults:
            raise UserError(f"{entry.kind} {entry.name!r} has no parameter {key!r}", where, nearest(key, defaults))
    refiners = {name for name in defaults if takes_refiner(hints[name])}
    fields: dict[str, Any] = {
        # Nothing of a contract can be asked of an instance; a variant is known below.
        name: (Any if name in refiners else hints[name], ... if default is inspect.Parameter.empty else default)
        for name, default in defaults.items()
    }
    for key, value in given.items():
        if not isinstance(value, Variant) and redacted(str(value)) != str(value):
            # A parameter is part of names, manifests, file names and tables.
            fix = "give it by a variable or a file that the library reads, such as HF_TOKEN or .netrc"
            raise UserError(f"{key}= of {entry.name!r} holds a password or a token", where, fix)
    given = {key: _literally(hints[key], value) for key, value in given.items()}
    model = create_model("Parameters", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)
    try:
        checked = model(**given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "missing":
            raise UserError(
                f"{entry.kind} {entry.name!r} needs {key!r}", where, f"write {entry.name}[{key}=...]"
            ) from None
        message = first["msg"].removeprefix("Input should be ")
        raise UserError(f"wrong value {key}={given[key]}", where, f"{key} must be {message}") from None
    parameters = {name: getattr(checked, name) for name in defaults}
    for key, value in parameters.items():
        if key in refiners and not isinstance(value, Variant | None):
            raise UserError(f"wrong value {key}={value}", where, f"{key} must be the name of a refiner")
        # A dataset looks its own paths up, in its root too.
        if entry.kind != "dataset" and isinstance(value, Path) and not kind_of(value):
            if isinstance(entry.factory, GoesByName) and _is_open(value):
                continue  # known once the cell is
            raise UserError(f"no such file or folder for {key}", value, f"correct {key}= of {entry.name!r}")
    return parameters


def _is_open(path: Path) -> bool:
    """Whether a part of it is one of `CELL` in braces."""
    return any(f"{{{name}}}" in str(path) for name in CELL) and not kind_of(path)


def _literally(hint: Any, value: Any) -> Any:
    """``"3"`` as the 3 of ``Literal[1, 3]``: pydantic reads text as a number, but not as a choice of numbers."""
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    return next((choice for choice in choices if value == str(choice)), value)


def _show(value: Any) -> str:
    if isinstance(value, Variant):
        return value.label
    if isinstance(value, Path):
        return value.name
    return json.dumps(value) if isinstance(value, (list, tuple, dict, bool)) else str(value)


def content_hash(path: Path, factory: Any = None) -> str:
    """Hex digest of a file's contents, or of the names and contents of a folder's files; and of the files it names.

    Of a folder those files count that `bench.runtime.folders.files_below` lists: what others leave there, such as a
    ``.DS_Store``, changes nothing, and what a linked folder holds does.

    Args:
        factory: what reads the path: it may know of files that the path refers to.

    Raises:
        UserError: a folder cannot be looked into.
    """
    return _hash_of(path, _digests(path), factory)


def _digests(path: Path) -> dict[Path, bytes]:
    """Of a file, or of a folder's files, in the order of their names."""
    files = [path] if path.is_file() else sorted(file for file in files_below(path) if file.is_file())
    return digests_of(files)


def _hash_of(path: Path, digests: Mapping[Path, bytes], factory: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for file, content in digests.items():
        digest.update(f"{file.relative_to(path)}\0".encode())
        digest.update(content)
    if isinstance(factory, RefersToFiles) and path.is_file():
        for name, file in sorted(factory.referred_files(path).items()):
            digest.update(f"{name}\0".encode())
            digest.update(digest_of(file))
    return digest.hexdigest()
