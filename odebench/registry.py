"""name -> what builds it, for everything that a suite can name. Torch-free.

An entry is any callable with typed, defaulted parameters (a frozen dataclass, or a function): its signature is the list
of options, so nothing is declared twice.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints, overload

from odebench import plugin_files, provenance
from odebench.errors import OptionError, UnknownName, UsageError, did_you_mean
from odebench.provenance import Provenance
from odebench.spec import Spec

T = TypeVar("T", bound=Callable[..., Any])
MISSING: Any = inspect.Parameter.empty
NAME = re.compile(r"[^\W\d][\w.-]{0,99}")  # what the keys of cells, filters and tables can hold without quotes


@dataclass(frozen=True)
class Option:
    """One option: its type as annotated, and its default (`MISSING` if it must be given)."""

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        return self.default is MISSING


@dataclass(frozen=True)
class Entry:
    """One thing that can be named in a suite."""

    kind: str
    name: str
    factory: Callable[..., Any]
    summary: str = ""
    reference: str = ""  # citation of the method
    aliases: tuple[str, ...] = ()
    source: str = "odebench"  # or the plugin it came from
    common: tuple[Option, ...] = ()  # what every entry of this kind takes; not passed to the factory

    @cached_property
    def options(self) -> dict[str, Option]:
        """Name -> option: those of the signature, in its order, then the common ones."""
        return self._own | {option.name: option for option in self.common}

    @cached_property
    def _own(self) -> dict[str, Option]:
        target = self.factory.__init__ if inspect.isclass(self.factory) else self.factory
        try:
            hints = get_type_hints(target)
        except Exception:
            # A plugin may annotate with names that are imported for type checkers only; its options are then untyped.
            hints = {}
        parameters = inspect.signature(self.factory).parameters.values()
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return {p.name: Option(p.name, hints.get(p.name, Any), p.default) for p in parameters if p.kind in kinds}

    def build(self, options: dict[str, Any]) -> Any:
        """Call the factory.

        Raises:
            OptionError: an option is unknown, missing, or its value is refused.
        """
        for name in options:
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                hint = did_you_mean(name, self.options) or f"; it takes {known}"
                raise OptionError(f"{self.kind} {self.name} has no option {name!r}{hint}", (name,))
        for option in self.options.values():
            if option.required and option.name not in options:
                raise OptionError(f"{self.kind} {self.name} must be given {option.name!r}")
        try:
            return self.factory(
                **{name: self._read(name, value) for name, value in options.items() if name in self._own}
            )
        except (TypeError, ValueError) as error:
            raise OptionError(f"{self.kind} {self.name}: {error}") from error

    def _read(self, name: str, value: Any) -> Any:
        # JSON and YAML write a nested bare name as a string.
        wanted = self._own[name].type
        nested = wanted is Spec or (Spec in get_args(wanted) and str not in get_args(wanted))
        return Spec(value) if isinstance(value, str) and nested else value


@dataclass
class Registry:
    """The entries of one kind, in the order they were registered."""

    kind: str
    common: tuple[Option, ...] = ()
    entries: dict[str, Entry] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Register; the same name from another place is an error, from the same place a replacement."""
        for name in (entry.name, *entry.aliases):
            if not NAME.fullmatch(name):
                wanted = "starts with a letter and has letters, digits, _, . and - only"
                raise UsageError(f"{self.kind} {name!r} from {entry.source}: a name {wanted}; rename it")
            known = self._by_name().get(name)
            if known is not None and (known.source, known.name) != (entry.source, entry.name):
                raise UsageError(
                    f"{self.kind} {name!r} from {entry.source} is already registered by {known.source}; rename it"
                )
        self.entries[entry.name] = entry

    def get(self, name: str) -> Entry:
        """The entry called `name`, or so by an alias.

        Raises:
            UnknownName: there is none; the message suggests the nearest.
        """
        entry = self.entries.get(name)  # no alias is anybody's name
        if entry is not None:
            return entry
        known = self._by_name()
        if name not in known:
            raise UnknownName(self.kind, name, known)
        return known[name]

    def build(self, spec: Spec) -> Any:
        """The object that `spec` names, with its options."""
        return self.get(spec.name).build(dict(spec.options))

    @overload
    def register(self, name: T) -> T: ...
    @overload
    def register(
        self, name: str | None = None, *, aliases: tuple[str, ...] = (), reference: str = ""
    ) -> Callable[[T], T]: ...
    def register(self, name: Any = None, *, aliases: tuple[str, ...] = (), reference: str = "") -> Any:
        """A decorator, with or without arguments: `@solver`, `@solver("my_scheme", reference="…")`.

        Without a name the class's own is used, in snake_case. The first line of the docstring becomes the summary.
        """

        def decorate(factory: T) -> T:
            own = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", factory.__name__).lower()
            summary = (inspect.getdoc(factory) or "").partition("\n")[0]
            source = _source(factory)
            # `my_solver.py:MyScheme` is how one points at a class, whatever name it registered.
            known = {*self._by_name(), name or own, *aliases}
            called = () if source == "odebench" or factory.__name__ in known else (factory.__name__,)
            entry = Entry(self.kind, name or own, factory, summary, reference, (*aliases, *called), source, self.common)
            self.add(entry)
            return factory

        if callable(name):
            factory, name = name, None
            return decorate(factory)
        return decorate

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def _by_name(self) -> dict[str, Entry]:
        return {name: entry for entry in self.entries.values() for name in (entry.name, *entry.aliases)}


SPAN = Option("span", tuple[float, float], None)  # None: the problem's own
SAVES = Option("saves", int, 1)  # equal intervals between saved times
LOSS_AT = Option("loss_at", Literal["end", "saves"], "end")  # where the default loss, Σ y², is taken
problems = Registry("problem", (SPAN, SAVES, LOSS_AT))
solvers = Registry("solver")
gradients = Registry("gradient")
steppings = Registry("stepping")
metrics = Registry("metric")
workloads = Registry("workload", (Option("regulariser", Spec | None, None),))
regularisers = Registry("regulariser")
registries = {each.kind: each for each in (problems, solvers, gradients, steppings, metrics, workloads, regularisers)}

problem, solver, gradient, metric = problems.register, solvers.register, gradients.register, metrics.register
workload, regulariser = workloads.register, regularisers.register


@cache
def load_shipped() -> None:
    """Fill the registries with what odebench ships; runs no code of anybody else."""
    rooms = ("problems", "solvers", "peers.roster", "controllers", "gradients", "measure.metrics")
    for room in (*rooms, "workloads", "regularisers"):
        importlib.import_module(f"odebench.{room}")


@cache
def installed() -> tuple[importlib.metadata.EntryPoint, ...]:
    """What installed packages offer by entry points; none of it is loaded. The name of the group ends in the kind."""
    groups = ("problems", "solvers", "gradients", "metrics", "workloads", "regularisers")
    return tuple(each for kind in groups for each in importlib.metadata.entry_points(group=f"odebench.{kind}"))


@cache
def load_builtins() -> None:
    """Fill the registries with what odebench ships, and with what installed packages offer.

    An entry point names a factory, registered by the entry point's own name unless a decorator did so already; or a
    module, which registers what it holds.

    Raises:
        UsageError: an installed package cannot be loaded.
    """
    load_shipped()
    for point in installed():
        before = _entries()
        named = f"{point.name} = {point.value}"
        where = f"installed plugin {named}"
        try:
            offered = point.load()
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            told = f"{type(error).__name__}: {error}"
            raise UsageError(f"{where}: {told}; repair or uninstall the package") from error
        registry = registries[point.group.removeprefix("odebench.").removesuffix("s")]
        if not inspect.ismodule(offered) and all(entry.factory is not offered for entry in registry):
            registry.register(point.name)(offered)
        _remember(named, provenance.of_module(named, point.module, point.dist), before)


def load_plugin(where: str) -> None:
    """Import a plugin, given as the path of a file or as a module's name; importing it registers what it holds.

    Raises:
        UsageError: it is not there, or it raised while it was imported.
    """
    path, before = Path(where), _entries()
    try:
        if path.suffix == ".py" or path.exists():
            plugin_files.load_file(path)
            source = provenance.of_file(where, path)
        else:
            importlib.import_module(where)
            source = provenance.of_module(where, where)
    except UsageError:
        raise
    except SystemExit as error:
        raise UsageError(f"plugin {where}: it asked Python to exit ({error.code!r}) while it was imported") from error
    except Exception as error:
        raise UsageError(f"plugin {where}: {type(error).__name__}: {error}") from error
    _remember(where, source, before)


def loaded_plugins() -> tuple[Provenance, ...]:
    """Where the plugins come from that this process has loaded so far, installed ones first."""
    everything = _entries()
    return tuple(
        provenance.with_names(source, (*fresh, *(each for each in everything if _is_of(source, each))))
        for source, fresh in _loaded.values()
    )


_loaded: dict[str, tuple[Provenance, list[Entry]]] = {}  # as named -> where from, and what its import registered


def _entries() -> list[Entry]:
    return [entry for registry in registries.values() for entry in registry]


def _remember(where: str, source: Provenance, before: list[Entry]) -> None:
    known = {id(entry) for entry in before}
    _loaded.setdefault(where, (source, [entry for entry in _entries() if id(entry) not in known]))


def _is_of(source: Provenance, entry: Entry) -> bool:
    """Whether one of its files defines the entry: it may have been imported before, by another plugin."""
    file = getattr(sys.modules.get(entry.factory.__module__), "__file__", None)
    return isinstance(file, str) and file in source.places


def _source(factory: Callable[..., Any]) -> str:
    module = factory.__module__
    if module.startswith(plugin_files.PREFIX):
        return str(getattr(sys.modules.get(module), "__file__", module))
    return "odebench" if module.startswith("odebench.") else module
