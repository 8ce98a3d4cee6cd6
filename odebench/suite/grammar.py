"""The grammar of one suite: a walk over its plain data that finds all that is wrong and gives the fields of `Suite`."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from math import inf
from typing import Any

from odebench.errors import did_you_mean
from odebench.record import MATCHES, OPTIMISERS, Beside, Measure, Training
from odebench.spec import Spec
from odebench.suite.exclude import Rule, read_rule
from odebench.suite.options import BITS, Finding, Trail, resolve, show
from odebench.suite.spelling import NAMED

LISTS = {
    "problem": "problems",
    "solver": "solvers",
    "gradient": "gradients",
    "stepping": "stepping",
    "device": "devices",
    "dtype": "dtypes",
    "batch": "batches",
    "seed": "seeds",
}  # axis -> key of a suite
KEYS = ("name", "kind", "description", *LISTS.values(), "exclude", "measure", "plugins")
OF_TRAINING = ("regularisers", "train")  # keys that `kind: train` has besides
SUITE_KINDS = ("benchmark", "train")
REQUIRED = ("name", "problems", "solvers", "stepping")
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "gradients": (Spec("direct"),),
    "devices": ("cpu",),
    "dtypes": ("float64",),
    "batches": (1,),
    "seeds": (0,),
}
DTYPES = ("float64", "float32")
DEVICE = re.compile(r"cpu|auto|cuda(?::[0-9]{1,4})?")
NAME = re.compile(r"\w(?:[\w .+,=()-]{0,98}[\w+)])?")  # it names a folder
PAIR = ("solver", "gradient", "stepping")  # axes that a pair beside may differ in
SQUARES = 100_000
TIMEOUT = 1e7  # seconds; what waits on it can count no further than this safely

Check = Callable[[Any, Trail, list[Finding]], Any]


def plugins_of(data: Any) -> list[tuple[int, str]]:
    """(index, plugin) of all plugins that a document names, also of one with errors elsewhere. Runs nothing."""
    named = data.get("plugins") if isinstance(data, dict) else None
    pairs = enumerate(named) if isinstance(named, list) else ()
    return [(index, each) for index, each in pairs if isinstance(each, str) and each]


def read_suite(data: Any) -> tuple[dict[str, Any], list[Finding]]:
    """The fields of a `Suite` (all but `plugins`, whose paths depend on the file), and all findings."""
    found: list[Finding] = []
    if not isinstance(data, dict):
        return {}, [Finding((), f"expected a mapping with name, problems, solvers and stepping; got {show(data)}")]
    trained = data.get("kind") == "train"
    keys, checks = (KEYS + OF_TRAINING, CHECKS_OF_TRAINING) if trained else (KEYS, CHECKS)
    for key in data:
        if key not in keys:
            hint = did_you_mean(key, keys) or f"; a suite has {', '.join(keys)}"
            hint = "; it belongs to `kind: train`" if key in OF_TRAINING else hint
            found.append(Finding((key,), f"a suite has no key {show(key)}{hint}", key=True))
    found += [Finding((), f"{key!r} must be given") for key in REQUIRED if key not in data]
    fields: dict[str, Any] = {"name": _name(data, found), "description": _description(data, found)}
    for axis, key in LISTS.items():
        fields[key] = _list(data, key, checks[axis], found) if key in data else DEFAULTS.get(key)
    fields["training"] = None
    if "kind" in data and data["kind"] not in SUITE_KINDS:
        found.append(Finding(("kind",), f"expected {' or '.join(SUITE_KINDS)}, got {show(data['kind'])}"))
    if trained:
        fields["problems"] = regularised(data, fields["problems"], found)
        fields["training"] = read_training(data.get("train", {}), found)
    fields["mali"] = isinstance(data.get("gradients"), list) and any(map(_is_mali, data["gradients"]))
    fields["measure"] = _measure(data.get("measure", {}), found)
    if trained and fields["measure"].beside is not None:
        found.append(Finding(("measure", "beside"), "a training run is timed by itself; leave beside out", key=True))
    _size(fields, found)
    fields["exclude"] = _rules(data, fields, checks, found)
    _plugins(data, found)
    return fields, found


def _is_mali(data: Any) -> bool:
    return data == "mali" or (isinstance(data, dict) and "mali" in data)


def _name(data: dict[str, Any], found: list[Finding]) -> Any:
    name = data.get("name")
    if "name" not in data or (isinstance(name, str) and NAME.fullmatch(name)):
        return name
    wanted = "a string of at most 100 letters, digits, blanks and _-.+,=(), starting with a letter or digit"
    found.append(Finding(("name",), f"expected {wanted}, because it names a folder; got {show(name)}"))
    return None


def _description(data: dict[str, Any], found: list[Finding]) -> Any:
    text = data.get("description", "")
    if not isinstance(text, str):
        found.append(Finding(("description",), f"expected a string, got {show(text)}; put it in quotes"))
    return text


def _list(data: dict[str, Any], key: str, check: Check, found: list[Finding]) -> tuple[Any, ...] | None:
    """The checked items; None if nothing can be said about what the list holds."""
    items = data[key]
    if not isinstance(items, list):
        hint = f"; write [{items}]" if isinstance(items, (str, int)) and len(str(items)) < 40 else ""
        found.append(Finding((key,), f"expected a list, got {show(items)}{hint}"))
        return None
    if not items:
        found.append(Finding((key,), "the list is empty; name at least one"))
        return None
    before = len(found)
    seen: dict[Any, int] = {}
    for index, item in enumerate(items):
        value = check(item, (key, index), found)
        if value is None:
            continue
        if value in seen:
            found.append(Finding((key, index), f"{value} is given twice", first=(key, seen[value])))
        else:
            seen[value] = index
    return tuple(seen) if len(found) == before else None


def _named(kind: str) -> Check:
    return lambda item, trail, found: resolve(kind, item, trail, found)


def device(item: Any, trail: Trail, found: list[Finding]) -> str | None:
    """`cpu`, `cuda`, `cuda:N` or `auto`; N without leading zeros."""
    if isinstance(item, str) and DEVICE.fullmatch(item):
        return re.sub(r":0+(?=\d)", ":", item) if item.startswith("cuda:") else item
    found.append(Finding(trail, f"expected cpu, cuda, cuda:N or auto; got {show(item)}"))
    return None


def _dtype(item: Any, trail: Trail, found: list[Finding]) -> str | None:
    if isinstance(item, str) and item in DTYPES:
        return item
    hint = did_you_mean(item, DTYPES) if isinstance(item, str) else ""
    found.append(Finding(trail, f"expected {' or '.join(DTYPES)}, got {show(item)}{hint}"))
    return None


def whole(least: int, also: tuple[str, ...] = ()) -> Check:
    """A check for a whole number of at least `least`, or one of the words `also`."""

    def check(item: Any, trail: Trail, found: list[Finding]) -> Any:
        if item in also or (type(item) is int and item >= least and not item >> BITS):
            return item
        others = "".join(f", or {word}" for word in also)
        found.append(Finding(trail, f"expected a whole number of at least {least}{others}; got {show(item)}"))
        return None

    return check


def seconds(item: Any, trail: Trail, found: list[Finding]) -> float | None:
    """A time limit."""
    if type(item) in (int, float) and 0 < item <= TIMEOUT:
        return float(item)
    found.append(Finding(trail, f"expected a number of seconds above 0 and at most {TIMEOUT:.0f}, got {show(item)}"))
    return None


def _switch(item: Any, trail: Trail, found: list[Finding]) -> bool | None:
    if isinstance(item, bool):
        return item
    found.append(Finding(trail, f"expected true or false, got {show(item)}"))
    return None


def _target(item: Any, trail: Trail, found: list[Finding]) -> float | None:
    if type(item) in (int, float) and 0 < item < inf:
        return float(item)
    found.append(Finding(trail, f"expected an error to meet, a number above 0; got {show(item)}"))
    return None


def _matched(item: Any, trail: Trail, found: list[Finding]) -> str | None:
    if isinstance(item, str) and item in MATCHES:
        return item
    hint = did_you_mean(item, MATCHES) if isinstance(item, str) else ""
    found.append(Finding(trail, f"expected {' or '.join(MATCHES)}, got {show(item)}{hint}"))
    return None


def _beside(item: Any, trail: Trail, found: list[Finding]) -> Beside | None:
    if not isinstance(item, dict) or not item:
        message = f"expected a mapping of {', '.join(PAIR)}, or of some of them; got {show(item)}"
        found.append(Finding(trail, message))
        return None
    before, given = len(found), {}
    for axis, named in item.items():
        if axis in PAIR:
            given[axis] = resolve(axis, named, (*trail, axis), found)
        else:
            hint = did_you_mean(axis, PAIR) or f"; it has {', '.join(PAIR)}"
            found.append(Finding((*trail, axis), f"beside has no key {show(axis)}{hint}", key=True))
    return Beside(**given) if len(found) == before else None


CHECKS: dict[str, Check] = {
    **{axis: _named(axis) for axis in NAMED},
    "device": device,
    "dtype": _dtype,
    "batch": whole(1),
    "seed": whole(0),
}
CHECKS_OF_TRAINING = CHECKS | {"problem": _named("workload")}
MEASURES: dict[str, Check] = {
    "repeats": whole(1),
    "warmup": whole(0, ("auto",)),
    "timeout": seconds,
    "threads": whole(1),
    "tf32": _switch,
    "deterministic": _switch,
    "match_error": _target,
    "match": _matched,
    "beside": _beside,
}


def _measure(data: Any, found: list[Finding]) -> Measure:
    if not isinstance(data, dict):
        found.append(Finding(("measure",), f"expected a mapping of {', '.join(MEASURES)}; got {show(data)}"))
        return Measure()
    given = {}
    for key, value in data.items():
        if key in MEASURES:
            given[key] = MEASURES[key](value, ("measure", key), found)
        else:
            hint = did_you_mean(key, MEASURES) or f"; it has {', '.join(MEASURES)}"
            found.append(Finding(("measure", key), f"measure has no key {show(key)}{hint}", key=True))
    if "match" in data and "match_error" not in data:
        found.append(Finding(("measure", "match"), "nothing is matched without match_error; give the error to meet"))
    return Measure(**given)


def _regulariser(item: Any, trail: Trail, found: list[Finding]) -> Spec | None:
    return NONE if item in ("none", None) else resolve("regulariser", item, trail, found)


def regularised(
    data: dict[str, Any], workloads: tuple[Spec, ...] | None, found: list[Finding]
) -> tuple[Spec, ...] | None:
    """Each workload with each of `regularisers`, which is an option of it from here on."""
    if "regularisers" not in data:
        return workloads
    terms = _list(data, "regularisers", _regulariser, found)
    if terms is None or workloads is None:
        return None
    pairs = []
    for index, workload in enumerate(workloads):
        options = dict(workload.options)
        if "regulariser" in options:
            message = "the workload names a regulariser, and so does `regularisers`; leave one of them out"
            found.append(Finding(("problems", index), message))
        for term in terms:
            own = term if term.options else term.name
            pairs.append(workload if term == NONE else Spec.of(workload.name, options | {"regulariser": own}))
    return tuple(pairs)


def read_training(data: Any, found: list[Finding]) -> Training:
    """What `train:` says."""
    if not isinstance(data, dict):
        found.append(Finding(("train",), f"expected a mapping of {', '.join(TRAININGS)}; got {show(data)}"))
        return Training()
    given = {}
    for key, value in data.items():
        if key in TRAININGS:
            given[key] = TRAININGS[key](value, ("train", key), found)
        else:
            hint = did_you_mean(key, TRAININGS) or f"; it has {', '.join(TRAININGS)}"
            found.append(Finding(("train", key), f"train has no key {show(key)}{hint}", key=True))
    return Training(**given)


def _number(least: float, open_at_least: bool = True) -> Check:
    def check(item: Any, trail: Trail, found: list[Finding]) -> float | None:
        if type(item) in (int, float) and (least < item < inf or (item == least and not open_at_least)):
            return float(item)
        limit = "above" if open_at_least else "of at least"
        found.append(Finding(trail, f"expected a number {limit} {least:g}, got {show(item)}"))
        return None

    return check


def _optimiser(item: Any, trail: Trail, found: list[Finding]) -> str | None:
    if isinstance(item, str) and item in OPTIMISERS:
        return item
    hint = did_you_mean(item, OPTIMISERS) if isinstance(item, str) else ""
    found.append(Finding(trail, f"expected one of {', '.join(OPTIMISERS)}; got {show(item)}{hint}"))
    return None


NONE = Spec("none")
TRAININGS: dict[str, Check] = {
    "steps": whole(1),
    "optimiser": _optimiser,
    "lr": _number(0.0),
    "lr_end": _number(0.0),
    "momentum": _number(0.0, False),
    "weight_decay": _number(0.0, False),
    "evaluate_every": whole(1),
    "target": _number(-inf),
    "checkpoint_every": _number(0.0, False),
}


def _plugins(data: dict[str, Any], found: list[Finding]) -> None:
    named = data.get("plugins", [])
    if not isinstance(named, list):
        found.append(Finding(("plugins",), f"expected a list of files or modules, got {show(named)}"))
        return
    good = [index for index, _ in plugins_of(data)]
    wrong = [(index, each) for index, each in enumerate(named) if index not in good]
    found += [Finding(("plugins", index), f"expected a file or a module, got {show(each)}") for index, each in wrong]


def _size(fields: dict[str, Any], found: list[Finding]) -> None:
    squares = 1
    for key in LISTS.values():
        squares *= len(fields[key] or ())
    if squares > SQUARES:
        found.append(Finding((), f"the suite has {squares} squares; at most {SQUARES} are run, so split it"))


def _rules(
    data: dict[str, Any], fields: dict[str, Any], checks: dict[str, Check], found: list[Finding]
) -> tuple[Rule, ...]:
    rules = data.get("exclude", [])
    if not isinstance(rules, list):
        found.append(Finding(("exclude",), f"expected a list of rules, got {show(rules)}"))
        return ()
    before = len(found)
    present = {axis: fields[key] for axis, key in LISTS.items()}
    kinds = {"problem": "workload"} if fields["training"] is not None else {}
    checked = [read_rule(rule, ("exclude", index), present, checks, kinds, found) for index, rule in enumerate(rules)]
    rules = tuple(rule for rule in checked if rule is not None)
    if rules and not found[before:] and all(present.values()):
        squares = (dict(zip(present, square, strict=True)) for square in product(*present.values()))
        if all(any(rule.matches(square) for rule in rules) for square in squares):
            found.append(Finding(("exclude",), "the rules exclude every square; leave some"))
    return rules
