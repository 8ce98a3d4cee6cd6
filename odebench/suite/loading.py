"""Suites: found by name or path, read with every error located, and written out as they were resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from odebench.errors import SuiteError, UsageError, did_you_mean
from odebench.record import Measure, Training
from odebench.registry import load_builtins, load_plugin
from odebench.spec import Spec
from odebench.suite.exclude import Rule, may_cover
from odebench.suite.grammar import LISTS, device, plugins_of, read_suite, seconds, whole
from odebench.suite.options import Finding, resolve, show
from odebench.suite.spelling import NAMED, parse

OVERRIDES = ("devices", "repeats", "timeout", "solvers", "only_solvers")


@dataclass(frozen=True)
class Suite:
    """One suite, checked and in canonical form. Two suites are equal whatever file they came from."""

    name: str
    description: str = ""
    problems: tuple[Spec, ...] = ()
    solvers: tuple[Spec, ...] = ()
    gradients: tuple[Spec, ...] = ()
    stepping: tuple[Spec, ...] = ()
    devices: tuple[str, ...] = ("cpu",)  # `auto` stays until the plan
    dtypes: tuple[str, ...] = ("float64",)
    batches: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = (0,)
    exclude: tuple[Rule, ...] = ()
    measure: Measure = field(default_factory=Measure)
    training: Training | None = None  # of `kind: train`; its problems are workloads
    plugins: tuple[str, ...] = ()  # absolute paths of files, or names of modules
    mali: bool = False  # `reversible` was asked for by the name of mali, which is for alf alone
    path: Path | None = field(default=None, compare=False)
    where: str = field(default="", compare=False)  # `suites/x.yaml:3:7`, of the name

    def to_data(self) -> dict[str, Any]:
        """Plain data of one document of suite.yaml; `load_suites` reads it back to an equal suite."""
        data: dict[str, Any] = {"name": self.name}
        if self.training is not None:
            data["kind"] = "train"
        if self.description:
            data["description"] = self.description
        for key in LISTS.values():
            data[key] = [each.to_data() if isinstance(each, Spec) else each for each in getattr(self, key)]
        if self.mali:
            data["gradients"] = ["mali" if each == "reversible" else each for each in data["gradients"]]
        if self.exclude:
            data["exclude"] = [rule.to_data() for rule in self.exclude]
        data["measure"] = self.measure.to_data()
        if self.training is not None:
            data["train"] = self.training.to_data()
        if self.plugins:
            data["plugins"] = list(self.plugins)
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any], path: Path | None = None, where: str = "") -> Suite:
        """The inverse of `to_data`, without checks and without registries: of data that came from a checked suite."""
        fields = {key: tuple(data[key]) for key in LISTS.values()}
        for axis in NAMED:
            fields[LISTS[axis]] = tuple(map(Spec.from_data, fields[LISTS[axis]]))
        mali = Spec("mali") in fields["gradients"]
        gradients = (Spec("reversible") if each == Spec("mali") else each for each in fields["gradients"])
        fields["gradients"] = tuple(gradients)
        return cls(
            name=data["name"],
            description=data.get("description", ""),
            exclude=tuple(map(Rule.from_data, data.get("exclude", ()))),
            measure=Measure.from_data(data["measure"]),
            training=Training(**data["train"]) if data.get("kind") == "train" else None,
            plugins=tuple(data.get("plugins", ())),
            mali=mali,
            path=path,
            where=where,
            **fields,
        )


def shipped_suites() -> dict[str, Path]:
    """Name -> file of every suite that odebench ships, sorted by name."""
    package = Path(__file__).parents[1]
    folder = next((each for each in (package / "suites", package.parent / "suites") if each.is_dir()), package)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_suite(name_or_path: str | Path) -> Path:
    """The file of a suite: a path comes first, then the shipped suite of that name, with or without `.yaml`.

    Raises:
        UsageError: there is neither.
    """
    text = str(name_or_path)
    path = Path(text)
    shipped = shipped_suites()
    name = text.removesuffix(".yaml")
    try:
        # A folder of results may well be called as the suite is.
        if path.exists() and not (path.is_dir() and name in shipped):
            return path
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise UsageError(f"suite {show(text)} cannot be looked for: {told}") from error
    if name in shipped:
        found = shipped[name]
        here = Path.cwd()
        return found.relative_to(here) if found.is_relative_to(here) else found
    hint = did_you_mean(name, shipped) or f"; the shipped ones are {', '.join(shipped) or 'none'}"
    raise UsageError(f"there is no file {show(text)}, and no shipped suite is called so{hint}")


def plugin_of(named: str, folder: Path) -> str:
    """The absolute path of a plugin that is a file, looked for in `folder`; a module's name as it is."""
    path = folder / named
    is_file = named.endswith(".py") or "/" in named or "\\" in named or path.exists()
    return str(path.resolve()) if is_file else named


def load_suites(
    paths: Iterable[str | Path],
    overrides: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
    stand_ins: Mapping[str, str] | None = None,
) -> tuple[Suite, ...]:
    """Every document of every file, checked against the registries, with `overrides` applied.

    This imports the plugins that the suites and `plugins` (relative to the working folder) name, so run it where their
    code may run: `plan.needs_isolation` tells whether there are any. `overrides`, all optional: `devices`, `repeats`,
    `timeout`, `solvers` (a list of names or spellings, added to every suite), `only_solvers` (the same, instead of
    those of the suite). `stand_ins`: plugin that is gone -> the file to load in its place.

    Raises:
        SuiteError: with every finding of every file.
    """
    from odebench.suite.yaml_source import Document, read_documents

    assert set(overrides or ()) <= set(OVERRIDES), f"overrides are {OVERRIDES}, got {overrides}"
    lines: list[str] = []
    try:
        load_builtins()
    except UsageError as error:
        lines.append(str(error))
    common = tuple(plugin_of(each, Path.cwd()) for each in plugins)
    lines += [line for each in common if (line := _import(each))]
    read: list[tuple[Path, Document]] = []
    for each in paths:
        try:
            path = find_suite(each)
            read += [(path, document) for document in read_documents(path)]
        except SuiteError as error:
            lines += error.findings
        except UsageError as error:
            lines.append(str(error))
    imports = [_imports(path, document, stand_ins or {}) for path, document in read]
    suites = []
    for (path, document), (own, faults) in zip(read, imports, strict=True):
        fields, found = read_suite(document.data)
        lines += _lines(path, document, [*faults, *found])
        if not faults and not found:
            where = f"{path}:{':'.join(map(str, document.place(('name',))))}"
            together = tuple(dict.fromkeys((*own, *common)))
            suites.append(Suite(**fields, plugins=together, path=path, where=where))
    changed = [] if lines else [_override(suite, overrides or {}, lines) for suite in suites]
    if lines:
        raise SuiteError(dict.fromkeys(lines))
    return tuple(changed)


def _import(plugin: str) -> str | None:
    """Import a plugin; what is wrong with it, or None."""
    try:
        load_plugin(plugin)
    except UsageError as error:
        return " ".join(str(error).split())
    return None


def _imports(path: Path, document: Any, stand_ins: Mapping[str, str]) -> tuple[tuple[str, ...], list[Finding]]:
    named = [(index, plugin_of(each, path.parent)) for index, each in plugins_of(document.data)]
    named = [(index, stand_ins.get(each, each)) for index, each in named]
    found = []
    seen: dict[str, int] = {}
    for index, plugin in named:
        if plugin in seen:
            found.append(Finding(("plugins", index), "the plugin is given twice", first=("plugins", seen[plugin])))
            continue
        seen[plugin] = index
        if message := _import(plugin):
            found.append(Finding(("plugins", index), message))
    return tuple(seen), found


def _lines(path: Path, document: Any, found: Iterable[Finding]) -> list[str]:
    from odebench.suite.yaml_source import located

    lines = []
    for each in found:
        message = each.message
        if each.first is not None:
            line, column = document.place(each.first)
            message += f", first at line {line}, column {column}"
        trail = ".".join(str(part) if str(part).isprintable() else repr(part) for part in each.trail)
        trail = trail if len(trail) <= 200 else f"{trail[:199]}…"
        message = f"{trail}: {message}" if trail else message
        place = document.place(each.trail, each.key)
        lines.append((place, located(path, place, message)))
    return [line for _, line in sorted(lines)]


def _override(suite: Suite, overrides: Mapping[str, Any], lines: list[str]) -> Suite:
    found: list[Finding] = []
    devices = [device(each, ("--device",), found) for each in overrides.get("devices") or ()]
    measure: dict[str, Any] = {
        key: check(overrides[key], (f"--{key}",), found)
        for key, check in (("repeats", whole(1)), ("timeout", seconds))
        if overrides.get(key) is not None
    }
    only = overrides.get("only_solvers") or ()
    solvers = [] if only else list(suite.solvers)
    for text in (*only, *(overrides.get("solvers") or ())):
        try:
            spec = resolve("solver", parse(text, "solver"), ("--solver",), found)
        except UsageError as error:
            found.append(Finding(("--solver",), str(error)))
            continue
        solvers += [spec] if spec is not None and spec not in solvers else []
    lines += [f"{each.trail[0]}: {each.message}" for each in found]
    if found:
        return suite
    values = tuple(each for each in dict.fromkeys(devices) if each is not None) or suite.devices
    # A rule about what is overridden away has nothing left to match, and would be an error when read again.
    rules = tuple(rule for rule in suite.exclude if _lives(rule, "device", values) and _lives(rule, "solver", solvers))
    measured = replace(suite.measure, **measure)
    return replace(suite, devices=values, solvers=tuple(solvers), measure=measured, exclude=rules)


def _lives(rule: Rule, axis: str, values: Sequence[str | Spec]) -> bool:
    wanted = dict(rule.wanted).get(axis)
    return wanted is None or any(may_cover(wanted, each) for each in values)
