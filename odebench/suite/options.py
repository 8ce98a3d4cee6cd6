"""Names with options, checked against the registries: what a suite, a filter or a call gave, in canonical form.

Canonical: aliases resolved, numbers of the type that the option has (`eta: 1` is `eta=1.0`), a nested bare name as a
string, options given as null where null is the default left out.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any, Literal, Union, get_args, get_origin

from odebench.errors import OptionError, UnknownName, UsageError, did_you_mean
from odebench.registry import MISSING, Entry, Option, registries
from odebench.spec import Spec
from odebench.types import MOST_STEPS

Trail = tuple[str | int, ...]
BITS = 63  # of a whole number
_BAD: Any = object()  # already reported
_PLAIN = {float: "a number", int: "a whole number", str: "a string", bool: "true or false", types.NoneType: "null"}


@dataclass(frozen=True)
class Finding:
    """What is wrong, and the way to it from the root of the data."""

    trail: Trail
    message: str
    key: bool = False  # the key at the end of the trail is wrong, rather than its value
    first: Trail | None = None  # where what is given twice stood first


def show(value: Any) -> str:
    """A value in a message, short and on one line, as YAML would have it."""
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list)):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def canonical(kind: str, data: Any) -> Spec:
    """The checked, canonical form of a bare name or one-key mapping, as Python code gives it.

    Raises:
        OptionError: it names nothing, or an option is wrong; all that is wrong is said, and `path` leads to the first.
    """
    found: list[Finding] = []
    spec = resolve(kind, data.to_data() if isinstance(data, Spec) else data, (), found)
    if spec is None or found:
        trails = [".".join(map(str, each.trail)) for each in found]
        pairs = zip(trails, found, strict=True)
        lines = [f"{trail}: {each.message}" if trail else each.message for trail, each in pairs]
        raise OptionError("\n".join(lines), found[0].trail)
    return spec


def resolve(kind: str, data: Any, trail: Trail, found: list[Finding]) -> Spec | None:
    """The canonical form of `data`, or None after adding to `found` all that is wrong with it."""
    name, options, inner = data, None, trail
    if isinstance(data, dict) and len(data) == 1:
        ((name, options),) = data.items()
        inner = (*trail, name)
    if not isinstance(name, str):
        got = show(data)
        found.append(Finding(trail, f"expected a {kind}: a name, or a one-key mapping of it to its options; got {got}"))
        return None
    entry = _entry(kind, name, trail if inner == trail else inner, inner != trail, found)
    if entry is None:
        return None
    if options is not None and not isinstance(options, dict):
        found.append(Finding(inner, f"expected the options of {entry.name} as a mapping, got {show(options)}"))
        return None
    before = len(found)
    given = _options(entry, options or {}, inner, found)
    if len(found) > before:
        return None
    spec = Spec.of(entry.name, given)
    _build(entry, spec, inner, found)
    return spec if len(found) == before else None


def _entry(kind: str, name: str, trail: Trail, key: bool, found: list[Finding]) -> Entry | None:
    try:
        return registries[kind].get(name)
    except UnknownName as error:
        hint = f"; write {name.partition('(')[0]} as a one-key mapping of its options" if "(" in name else ""
        message = str(error) if len(name) <= 60 else f"no {kind} is called {show(name)}"
        found.append(Finding(trail, message + hint, key))
        return None


def _options(entry: Entry, options: dict[str, Any], trail: Trail, found: list[Finding]) -> dict[str, Any]:
    before = len(found)
    given: dict[str, Any] = {}
    for name, value in options.items():
        here = (*trail, name)
        option = entry.options.get(name)
        if option is None:
            takes = f"; it takes {', '.join(entry.options)}" if entry.options else "; it takes none"
            hint = did_you_mean(name, entry.options) or takes
            found.append(Finding(here, f"{entry.kind} {entry.name} has no option {show(name)}{hint}", key=True))
            continue
        if value is None and option.default is None:
            continue
        # An option that is called as a kind names one of it: the `solver` of a gradient.
        given[name] = _convert(value, option.type, name if name in registries else entry.kind, here, found)
    for option in entry.options.values():
        if option.required and option.name not in options:
            found.append(Finding(trail, f"{entry.kind} {entry.name} must be given {option.name!r}", key=True))
    if entry.kind == "problem" and len(found) == before:
        _times(given, trail, found)
    return given


def _times(given: dict[str, Any], trail: Trail, found: list[Finding]) -> None:
    span = given.get("span")
    if span is not None and not (all(map(isfinite, span)) and span[0] < span[1]):
        message = f"expected two finite times, the later one second; got {list(span)}"
        found.append(Finding((*trail, "span"), message))
    if given.get("saves", 1) < 1:
        found.append(Finding((*trail, "saves"), f"must be at least 1, got {given['saves']}"))
    if given.get("saves", 1) > MOST_STEPS:  # each of them is landed on, or read off
        found.append(Finding((*trail, "saves"), f"must be at most {MOST_STEPS:.0e}, got {show(given['saves'])}"))


def _build(entry: Entry, spec: Spec, trail: Trail, found: list[Finding]) -> None:
    try:
        entry.build(dict(spec.options))
    except OptionError as error:
        path = error.path or _culprit(entry, dict(spec.options))
        found.append(Finding((*trail, *path), " ".join(str(error).split())))
    except UsageError as error:
        found.append(Finding(trail, " ".join(str(error).split())))
    except Exception as error:  # of a plugin's factory: whatever it raises says that it does not take these options
        message = f"{entry.kind} {entry.name}: {type(error).__name__}: {error}"
        path = _culprit(entry, dict(spec.options))
        found.append(Finding((*trail, *path), " ".join(message.split())))


def _culprit(entry: Entry, options: dict[str, Any]) -> Trail:
    """The option that is the only one, or the only one without which the entry can be built; else the empty trail."""
    culprits = list(options) if len(options) == 1 else []
    for name in options if len(options) > 1 else ():
        try:
            entry.build({other: value for other, value in options.items() if other != name})
        except Exception:  # whatever it was before, it still is
            continue
        culprits.append(name)
    return (culprits[0],) if len(culprits) == 1 else ()


def _convert(value: Any, wanted: Any, kind: str, trail: Trail, found: list[Finding]) -> Any:
    """`value` as the annotation `wanted` has it, or `_BAD` after reporting."""
    choices = get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)
    if value is None and types.NoneType in choices:
        return None
    choices = tuple(choice for choice in choices if choice is not types.NoneType)
    if len(choices) == 1:
        return _one(value, choices[0], kind, trail, found)
    # An exact type first, so that 1 stays an int under `float | int`.
    for choice in sorted(choices, key=lambda choice: type(value) is not choice):
        silent: list[Finding] = []
        result = _one(value, choice, kind, trail, silent)
        if not silent:
            return result
    found.append(Finding(trail, f"expected {' or '.join(describe(choice) for choice in choices)}, got {show(value)}"))
    return _BAD


def _one(value: Any, wanted: Any, kind: str, trail: Trail, found: list[Finding]) -> Any:
    origin = get_origin(wanted)
    if origin in (tuple, list) or wanted in (tuple, list):
        return _sequence(value, wanted, kind, trail, found)
    if wanted is Spec:
        spec = resolve(kind, value, trail, found)
        return spec if spec is None or spec.options else spec.name
    if origin is Literal:
        fits = any(type(value) is type(choice) and value == choice for choice in get_args(wanted))
        hint = "" if fits else did_you_mean(str(value), map(str, get_args(wanted)))
    elif wanted in _PLAIN:
        fits, hint = type(value) is wanted or (wanted is float and type(value) is int), ""
    else:
        return _anything(value, trail, found)
    if not fits:
        found.append(Finding(trail, f"expected {describe(wanted)}, got {show(value)}{hint}"))
        return _BAD
    return _number(value, wanted, trail, found) if type(value) in (int, float) else value


def _number(value: float, wanted: Any, trail: Trail, found: list[Finding]) -> Any:
    message = None
    if isinstance(value, int) and abs(value) >> BITS:
        message = f"{show(value)} does not fit into {BITS} bits"
    elif isnan(value):
        message = "not a number is no value here"
    if message:
        found.append(Finding(trail, message))
        return _BAD
    # + 0.0 turns -0.0 into 0.0, which is equal to it but spelled otherwise.
    return float(value) + 0.0 if wanted is float or isinstance(value, float) else value


def _sequence(value: Any, wanted: Any, kind: str, trail: Trail, found: list[Finding]) -> Any:
    if not isinstance(value, (list, tuple)):
        found.append(Finding(trail, f"expected {describe(wanted)}, got {show(value)}"))
        return _BAD
    arguments = get_args(wanted) or (Any,)
    if get_origin(wanted) is tuple and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            found.append(Finding(trail, f"expected {describe(wanted)}, got {show(list(value))}"))
            return _BAD
        each = arguments
    else:
        each = (arguments[0],) * len(value)
    pairs = enumerate(zip(value, each, strict=True))
    return tuple(_convert(item, type_, kind, (*trail, index), found) for index, (item, type_) in pairs)


def _anything(value: Any, trail: Trail, found: list[Finding]) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_anything(item, (*trail, index), found) for index, item in enumerate(value))
    if isinstance(value, dict):
        try:
            return Spec.from_data(value)
        except OptionError as error:
            found.append(Finding(trail, str(error)[:200]))
            return _BAD
    return _number(value, Any, trail, found) if type(value) in (int, float) else value


def describe(wanted: Any) -> str:
    """An annotation in words: `a number`, `one of 'i', 'pi', 'pid'`, `a list of 2 numbers`."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(choice) for choice in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (tuple, list) or wanted in (tuple, list):
        exact = origin is tuple and arguments[-1] is not Ellipsis
        items = ", ".join(describe(each) for each in arguments if each is not Ellipsis)
        return f"a list of {len(arguments)}: {items}" if exact else f"a list, each {items or 'a value'}"
    return "a name, with or without options" if wanted is Spec else _PLAIN.get(wanted, "a value")


def default_of(option: Option) -> Any:
    """The default as plain data, or `MISSING`."""
    value = option.default
    if value is MISSING:
        return MISSING
    return Spec.of("_", {"_": value}).to_data()["_"]["_"] if not isinstance(value, Spec) else value.to_data()
