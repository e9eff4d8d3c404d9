"""Entry points and variants of bench.toml -> objects: ``"prn[size=128]"`` -> a refiner."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from bench.config import KINDS, Kind, Settings, load, nearest, unknown
from bench.contracts import AsksBase, BaseNetwork, DatasetSource, Refiner, SearchSpace, Tunable, UserError
from bench.isolation import one_line
from bench.metrics.columns import DEFAULT_OBJECTIVE, OBJECTIVES
from bench.tuning import Search, Tuned

DISTRIBUTION = "refinebench"
"""The package that the built-in plug-ins come with."""

FILLED_IN: dict[Kind, tuple[str, ...]] = {
    "dataset": ("root",),
    "base": ("device", "seed"),
    "refiner": ("device", "seed"),
    "metric": (),
}
"""Constructor arguments that the harness gives; they are no parameters of a variant."""

TUNING = {"tune", "objective"}
"""Parameters that every refiner with a search space takes: trials, and the metric that decides between them."""

_SPEC = re.compile(r"\s*([^\[\]\s]+)\s*(?:\[(.*)\])?\s*", re.DOTALL)


@dataclass(frozen=True)
class Plugin:
    """An entry point, loaded where it can be.

    Attributes:
        problem: why it cannot be used, e.g. ``"unavailable: pip install refinebench[densecrf]"``; else "".
    """

    kind: Kind
    name: str
    factory: Any = None
    problem: str = ""

    @property
    def summary(self) -> str:
        """First line of the class's docstring."""
        return (inspect.getdoc(self.factory) or "").partition("\n")[0] if self.factory else ""


@dataclass(frozen=True)
class Variant:
    """A plug-in with its parameters.

    Attributes:
        label: how tables and file names show it: parameters that differ from the default, paths by their last part.
        parameters: all parameters, as validated.
        free: what ``tune=`` would search: the search space without the parameters that were given.
        search: for a refiner with ``tune=``: how that is searched on val; else None.
    """

    kind: Kind
    plugin: Plugin
    label: str
    parameters: dict[str, Any] = field(hash=False)
    free: SearchSpace = field(default_factory=dict, hash=False)
    search: Search | None = field(default=None, hash=False)

    def identity(self) -> dict[str, Any]:
        """JSON-able: everything about the variant that changes its numbers; paths by the hash of their contents."""
        values = {key: _content_hash(v) if isinstance(v, Path) else v for key, v in self.parameters.items()}
        version = getattr(self.plugin.factory, "version", 1)
        searched = {} if self.search is None else {"search": self.search.identity()}
        return {"label": self.label, "name": self.plugin.name, "version": version, "parameters": values, **searched}

    def make(self, **filled_in: Any) -> Any:
        """Construct it. ``device``, ``seed`` and ``root`` reach the constructors that take them."""
        wanted = inspect.signature(self.plugin.factory).parameters
        given = {name: filled_in[name] for name in FILLED_IN[self.kind] if name in wanted and name in filled_in}
        if self.search is None:
            return self.plugin.factory(**self.parameters, **given)
        searched = {name: self.parameters[name] for name in self.search.space}
        return Tuned(
            lambda found: self.plugin.factory(**{**self.parameters, **found}, **given),
            searched,
            self.search,
            filled_in.get("seed", 0),
        )


def plugins(kind: Kind, *, only: str = "", without: Collection[str] = ()) -> dict[str, Plugin]:
    """Plug-ins of a kind by name; one that cannot be imported or lacks a package says so in `Plugin.problem`.

    Args:
        only: load the one of this name; "" loads all.
        without: names to leave out. What an import does, it does to this process: see `bench.catalogue`.
    """
    entries = sorted(entry_points(group=f"bench.{kind}s"))
    return {e.name: _load(kind, e) for e in entries if only in ("", e.name) and e.name not in without}


def foreign(kind: Kind) -> list[str]:
    """Names of the plug-ins of a kind that other packages brought, sorted; nothing is loaded."""
    entries = entry_points(group=f"bench.{kind}s")
    return sorted({entry.name for entry in entries if entry.dist is None or entry.dist.name != DISTRIBUTION})


def _load(kind: Kind, entry: EntryPoint) -> Plugin:
    try:
        factory = entry.load()
        requires, extra = getattr(factory, "requires", ()), getattr(factory, "extra", "")
        missing = [module for module in requires if importlib.util.find_spec(module) is None]
    except (Exception, SystemExit) as error:
        # Whatever a foreign module does on import must not take the harness down.
        return Plugin(kind, entry.name, problem=f"broken: {one_line(error)}")
    if missing:
        package = f"refinebench[{extra}]" if extra else " ".join(missing)
        return Plugin(kind, entry.name, factory, f"unavailable: pip install {package}")
    return Plugin(kind, entry.name, factory)


def resolve(kind: Kind, spec: str, settings: Settings, where: str = "", *, weights: Path | None = None) -> Variant:
    """Find the plug-in and validate the parameters of ``name[key=value,...]``.

    Args:
        spec: a plug-in's or a variant's name; parameters given here win over the variant's.
        where: the option or key the spec came from, for errors.
        weights: value of the parameter ``weights``, over the spec's own: what ``--checkpoint`` gives.

    Raises:
        UserError: unknown name or parameter (with the nearest valid one), wrong type, missing extra or file, or
            ``weights`` for a plug-in without that parameter.
    """
    where = where or f"--{kind}"
    name, own = parse(spec, where)
    aliases: dict[str, str] = getattr(settings.variants, kind)
    chain, given = name, own
    for _ in range(len(aliases) + 1):
        if chain not in aliases:
            break
        chain, inherited = parse(aliases[chain], f"variants.{kind}.{chain}")
        given = {**inherited, **given}
    wide = settings.parameters.get(chain, {})
    own, given = {**wide, **own}, {**wide, **given}
    group = entry_points(group=f"bench.{kind}s")
    if chain not in group.names:
        raise unknown(kind, chain, [*group.names, *aliases], where)
    plugin = _load(kind, group[chain])
    if plugin.problem.startswith("unavailable: "):
        fix = plugin.problem.removeprefix("unavailable: ")
        raise UserError(f"{kind} {chain!r} needs a package that is not installed", where, fix)
    if plugin.problem:
        raise UserError(f"{kind} {chain!r} is {plugin.problem}", where, "repair or uninstall that plug-in")
    defaults = defaults_of(plugin)
    if weights is not None:
        if "weights" not in defaults:
            raise UserError(f"{kind} {chain!r} takes no checkpoint", "--checkpoint", "leave that option out")
        own, given = {**own, "weights": weights}, {**given, "weights": weights}
    asked = {key: given.pop(key) for key in TUNING & given.keys() if kind == "refiner" and key not in defaults}
    free = {name: choices for name, choices in _space(plugin).items() if name not in given}
    search = _search(plugin.name, asked, free, where) if asked else None
    parameters = _validate(plugin, given, defaults, where)
    shown = own if name in aliases else {k: v for k, v in parameters.items() if v != defaults[k]}
    texts = [f"{k}={_show(parameters[k])}" for k in parameters if k in shown]
    if search is not None and (TUNING & own.keys() or name not in aliases):
        texts.append(f"tune={search.trials}")
        texts += [f"objective={search.objective}"] if search.objective != DEFAULT_OBJECTIVE else []
    return Variant(kind, plugin, f"{name}[{','.join(texts)}]" if texts else name, parameters, free, search)


def _space(plugin: Plugin) -> SearchSpace:
    # In a search there is no base to ask.
    tunable = isinstance(plugin.factory, Tunable) and not isinstance(plugin.factory, AsksBase)
    return plugin.factory.search_space if tunable else {}


def _search(name: str, asked: dict[str, Any], free: SearchSpace, where: str) -> Search:
    trials, objective = str(asked.get("tune", "")), asked.get("objective", DEFAULT_OBJECTIVE)
    if not free:
        raise UserError(f"refiner {name!r} has nothing left to tune", where, "leave tune= out, or another parameter")
    if not trials.isdigit() or int(trials) < 1:
        raise UserError(f"cannot tune with {trials or 'no'} trials", where, f"write {name}[tune=40]")
    if objective not in OBJECTIVES:
        raise UserError(f"no such objective {objective!r}", where, nearest(objective, OBJECTIVES))
    return Search(int(trials), objective, free)


def with_parameter(kind: Kind, spec: str, settings: Settings, key: str, value: Any) -> str:
    """The spec with a parameter set over its own; as it is where ``value`` is None or the plug-in has no such one.

    >>> from bench.config import load
    >>> with_parameter("refiner", "prn[size=96,epochs=3]", load(), "epochs", 2)
    'prn[size=96,epochs=2]'
    """
    if value is None or key not in resolve(kind, spec, settings).parameters:
        return spec
    return _with(spec, key, value)


def with_tuning(spec: str, settings: Settings, trials: int | None, objective: str | None) -> str:
    """The refiner's spec with ``tune=`` where it can be tuned and does not say so itself; else as it is.

    >>> from bench.config import load
    >>> with_tuning("prn[size=96]", load(), 20, None), with_tuning("identity", load(), 20, None)
    ('prn[size=96,tune=20]', 'identity')
    """
    if trials is None:
        return spec
    variant = resolve("refiner", spec, settings)
    if variant.search is not None or not variant.free:
        return spec
    tuned = _with(spec, "tune", trials)
    return tuned if objective is None else _with(tuned, "objective", objective)


def with_own_weights(spec: str, settings: Settings) -> str:
    """The refiner's spec with ``weights=train`` where it takes that, and would otherwise use what others trained.

    >>> from bench.config import load
    >>> with_own_weights("cascadepsp[L=512]", load()), with_own_weights("prn", load())
    ('cascadepsp[L=512,weights=train]', 'prn')
    """
    variant = resolve("refiner", spec, settings)
    choices = get_args(hints_of(variant.plugin.factory).get("weights"))
    takes_it = any("train" in get_args(choice) for choice in choices)
    return _with(spec, "weights", "train") if takes_it and variant.parameters["weights"] is None else spec


def _with(spec: str, key: str, value: Any) -> str:
    match = _SPEC.fullmatch(spec)
    assert match is not None  # it was resolved
    kept = [part.strip() for part in _split(match[2] or "") if part.partition("=")[0].strip() != key]
    return f"{match[1]}[{','.join([*kept, f'{key}={value}'])}]"


def check_parameters(settings: Settings) -> None:
    """Raises UserError where ``parameters`` are set for what is no plug-in, or are none of that plug-in's."""
    where = "--set or [parameters]"
    groups = {kind: entry_points(group=f"bench.{kind}s") for kind in KINDS}
    for name, keys in settings.parameters.items():
        found = [_load(kind, group[name]) for kind, group in groups.items() if name in group.names]
        if not found:
            raise unknown("plug-in", name, {known for group in groups.values() for known in group.names}, where)
        if any(plugin.factory is None for plugin in found):
            continue  # it cannot be imported, which whoever uses it is told
        known = {key for plugin in found for key in _settable(plugin)}
        for key in keys:
            if key not in known:
                raise UserError(f"{name!r} has no parameter {key!r}", f"{where}: {name}.{key}", nearest(key, known))


def _settable(plugin: Plugin) -> set[str]:
    """Its parameters, and of a refiner that can be tuned those of the tuning."""
    return defaults_of(plugin).keys() | (TUNING if plugin.kind == "refiner" and _space(plugin) else set())


def load_base(spec: str, *, settings: Settings | None = None, device: str = "cpu", seed: int = 0) -> BaseNetwork:
    """Make a base from ``"unet[encoder=resnet18]"``. Raises UserError as `resolve`."""
    return resolve("base", spec, settings or load()).make(device=device, seed=seed)


def load_refiner(spec: str, *, settings: Settings | None = None, device: str = "cpu", seed: int = 0) -> Refiner:
    """Make a refiner from ``"prn[patch=64]"``. Raises UserError as `resolve`."""
    return resolve("refiner", spec, settings or load()).make(device=device, seed=seed)


def load_dataset(spec: str, *, settings: Settings | None = None) -> DatasetSource:
    """Make a dataset from ``"kvasir"`` or ``"folder[images=DIR,masks=DIR]"``. Raises UserError as `resolve`."""
    settings = settings or load()
    variant = resolve("dataset", spec, settings)
    return variant.make(root=settings.dataset_root(variant.plugin.name))


def parse(spec: str, where: str) -> tuple[str, dict[str, Any]]:
    """Split ``name[key=value,...]``; values in quotes or square brackets are read as TOML.

    >>> parse("prn[size=128, mean=[0.5,0.5]]", "--refiner")
    ('prn', {'size': '128', 'mean': [0.5, 0.5]})
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise UserError(f"cannot read {spec!r}", where, "write name or name[key=value,key=value]")
    name, inside = match[1], match[2] or ""
    parameters: dict[str, Any] = {}
    for part in _split(inside):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise UserError(f"cannot read {part.strip()!r} in {spec!r}", where, "write name[key=value,key=value]")
        parameters[key] = _value(value, spec, where)
    return name, parameters


def _split(inside: str) -> list[str]:
    """Cut at the commas that stand outside quotes and brackets."""
    pieces = re.findall(r"""(?:\[[^\]]*\]|"[^"]*"|'[^']*'|[^,\["'])+""", inside)
    return [piece for piece in pieces if piece.strip()]


def _value(text: str, spec: str, where: str) -> Any:
    if text[0] not in "[\"'":
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raise UserError(f"cannot read the value {text} in {spec!r}", where, "close its quotes or brackets") from None


def defaults_of(plugin: Plugin) -> dict[str, Any]:
    """All parameters with their defaults; `inspect.Parameter.empty` where there is none."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(plugin.factory).parameters.items()
        if name not in FILLED_IN[plugin.kind] and parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def hints_of(factory: Any) -> dict[str, Any]:
    """The annotations of a plug-in's parameters, by name."""
    # A dataclass inherits fields whose annotations are names of the parent's module.
    return get_type_hints(factory if is_dataclass(factory) else factory.__init__)


def _validate(plugin: Plugin, given: dict[str, Any], defaults: dict[str, Any], where: str) -> dict[str, Any]:
    """All parameters with their validated values."""
    hints = hints_of(plugin.factory)
    for key in given:
        if key not in defaults:
            raise UserError(f"{plugin.kind} {plugin.name!r} has no parameter {key!r}", where, nearest(key, defaults))
    fields: dict[str, Any] = {
        name: (hints[name], ... if default is inspect.Parameter.empty else default)
        for name, default in defaults.items()
    }
    given = {key: _literally(hints[key], value) for key, value in given.items()}
    model = create_model("Parameters", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)
    try:
        checked = model(**given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "missing":
            raise UserError(
                f"{plugin.kind} {plugin.name!r} needs {key!r}", where, f"write {plugin.name}[{key}=...]"
            ) from None
        message = first["msg"].removeprefix("Input should be ")
        raise UserError(f"wrong value {key}={given[key]}", where, f"{key} must be {message}") from None
    parameters = {name: getattr(checked, name) for name in defaults}
    for key, value in parameters.items():
        # A dataset looks its own paths up, in its root too.
        if plugin.kind != "dataset" and isinstance(value, Path) and not value.exists():
            raise UserError(f"no such file or folder for {key}", value, f"correct {key}= of {plugin.name!r}")
    return parameters


def _literally(hint: Any, value: Any) -> Any:
    """``"3"`` as the 3 of ``Literal[1, 3]``: pydantic reads text as a number, but not as a choice of numbers."""
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    return next((choice for choice in choices if value == str(choice)), value)


def _show(value: Any) -> str:
    if isinstance(value, Path):
        return value.name
    return json.dumps(value) if isinstance(value, (list, tuple, dict, bool)) else str(value)


def _content_hash(path: Path) -> str:
    """Hex digest of a file's contents, or of the names and contents of a folder's files."""
    digest = hashlib.blake2b(digest_size=16)
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path)}\0".encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()
