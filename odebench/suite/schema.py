"""The JSON Schema (draft 7) of a suite file, made from the registries, for editors that complete and check.

It never refuses what `odebench validate` takes, and says as much as a schema can: names with their aliases, options
with types, bounds, defaults and what they mean. Beyond it are ranges across options, whether rules match, and what
plugins refuse. Names are `const`s with a description each, and no `enum`: editors then show on hover what one name
means, where of an enum they list all.
"""

from __future__ import annotations

import types
from math import isfinite
from typing import Any, Literal, Union, get_args, get_origin

from odebench.record import AXES, MATCHES, OPTIMISERS, Measure, Training
from odebench.registry import MISSING, Entry, Option, registries
from odebench.spec import Spec
from odebench.suite.bounds import bounds, stands_alone
from odebench.suite.grammar import DEFAULTS, DTYPES, LISTS, NAME, OF_TRAINING, PAIR, REQUIRED, SUITE_KINDS, TIMEOUT
from odebench.suite.options import BITS, default_of
from odebench.suite.spelling import NAMED
from odebench.suite.words import KEYS, about_entry, about_option

Schema = dict[str, Any]
DEFINED = (*NAMED, "workload", "regulariser")  # kinds of names that a suite may hold
_PLAIN = {float: "number", int: "integer", str: "string", bool: "boolean", types.NoneType: "null"}
_NUMERIC = (int, float, int | None, float | None)
_MOST = 2**BITS - 1
_SCALARS: dict[str, Schema] = {
    "device": {"type": "string", "pattern": "^(cpu|auto|cuda(:[0-9]{1,4})?)$"},
    "dtype": {"enum": list(DTYPES)},
    "batch": {"type": "integer", "minimum": 1, "maximum": _MOST},
    "seed": {"type": "integer", "minimum": 0, "maximum": _MOST},
}


def suite_schema() -> Schema:
    """A schema of one suite, with what is registered: `registry.load_builtins()` and `load_plugin` come first."""
    properties: Schema = {
        # Python's \w, which the grammar has, also takes letters beyond ASCII: so the schema takes all of those.
        "name": {"type": "string", "minLength": 1, "maxLength": 100, "pattern": _wider(NAME.pattern)},
        "kind": {"enum": list(SUITE_KINDS), "default": SUITE_KINDS[0]},
        "description": {"type": "string"},
        **{key: _list(axis) for axis, key in LISTS.items()},
        "regularisers": _array({"anyOf": [{"enum": ["none", None]}, {"$ref": "#/definitions/regulariser"}]}),
        "exclude": {"type": "array", "items": _rule("problem")},
        "measure": _measure(),
        "train": _training(),
        "plugins": {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True},
    }
    trained: Schema = {
        "problems": _array({"$ref": "#/definitions/workload"}),
        "exclude": {"items": _rule("workload")},
    }
    benchmark: Schema = {"problems": _list("problem"), "exclude": {"items": _rule("problem")}}
    properties |= {"problems": {"type": "array"}, "exclude": {"type": "array"}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "description": "A suite of odebench: lists, whose product are the cells.",
        "type": "object",
        "properties": {key: {"description": KEYS[key]} | schema for key, schema in properties.items()},
        "required": list(REQUIRED),
        "additionalProperties": False,
        "if": {"properties": {"kind": {"const": "train"}}, "required": ["kind"]},
        "then": {"properties": trained},
        "else": {"properties": benchmark | dict.fromkeys(OF_TRAINING, False)},
        "definitions": {kind: _named(kind) for kind in DEFINED},
    }


def _list(axis: str) -> Schema:
    schema = _array({"$ref": f"#/definitions/{axis}"} if axis in NAMED else _SCALARS[axis])
    if LISTS[axis] in DEFAULTS:
        schema["default"] = [each.to_data() if isinstance(each, Spec) else each for each in DEFAULTS[LISTS[axis]]]
    return schema


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, "uniqueItems": True}


def _named(kind: str) -> Schema:
    """A bare name, or a one-key mapping of a name to its options."""
    names = {name: entry for entry in registries[kind] for name in (entry.name, *entry.aliases)}
    bare = {name: entry for name, entry in names.items() if not _wants_options(entry)}
    return {
        "anyOf": [
            *_constants(bare),
            {
                "type": "object",
                "properties": {name: _entry(entry, name) for name, entry in names.items()},
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }


def _constants(names: dict[str, Entry]) -> list[Schema]:
    return [{"const": name, "description": about_entry(entry, name)} for name, entry in names.items()]


def _wants_options(entry: Entry) -> bool:
    required = any(option.required for option in entry.options.values())
    return required or (entry.source == "odebench" and not stands_alone(entry))


def _entry(entry: Entry, name: str) -> Schema:
    required = [option.name for option in entry.options.values() if option.required]
    wanting = _wants_options(entry)
    schema: Schema = {
        "type": "object" if wanting else ["object", "null"],
        "description": about_entry(entry, name),
        "properties": {option.name: _option(entry, option) for option in entry.options.values()},
        "additionalProperties": False,
    }
    if required:
        return schema | {"required": required}
    return schema | ({"minProperties": 1} if wanting else {})


def _option(entry: Entry, option: Option) -> Schema:
    schema = _type(option.type, option.name if option.name in registries else entry.kind)
    if option.type in _NUMERIC:
        schema |= bounds(entry, option)  # which say nothing of null
    default = default_of(option)
    if default is None and schema:
        schema = _either([schema, {"type": "null"}])
    if option.name == "saves":
        schema |= {"minimum": 1}
    # Beside $ref a draft-7 reader ignores everything.
    schema = {"allOf": [schema]} if "$ref" in schema else schema
    if default is not MISSING and not (isinstance(default, float) and not isfinite(default)):
        schema = schema | {"default": default}
    about = about_option(entry, option)
    return {"description": about} | schema if about else schema


def _type(wanted: Any, kind: str) -> Schema:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if wanted is int:
        return {"type": "integer", "minimum": -_MOST, "maximum": _MOST}
    if wanted in _PLAIN:
        return {"type": _PLAIN[wanted]}
    if wanted is Spec:
        return {"$ref": f"#/definitions/{kind}"}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return _either([_type(each, kind) for each in arguments])
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        items = [_type(each, kind) for each in arguments]
        return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}
    if origin in (tuple, list):
        return {"type": "array", "items": _type(arguments[0], kind)}
    return {"type": "array"} if wanted in (tuple, list) else {}


def _either(schemas: list[Schema]) -> Schema:
    """One of them; of null and one plain type the two together, which editors tell in one line."""
    null: Schema = {"type": "null"}
    if null in schemas[0].get("anyOf", ()):
        return schemas[0]
    others = [each for each in schemas if each != null]
    if len(others) == 1 and "type" in others[0]:
        known = others[0]["type"]
        return others[0] | {"type": known if "null" in known else [known, "null"]}
    return {"anyOf": schemas}


def _rule(of_problems: str) -> Schema:
    properties: Schema = {}
    for axis in AXES:
        about = {"description": f"Of the squares to leave out. {KEYS[LISTS[axis]]}"}
        if axis not in NAMED:
            properties[axis] = about | _SCALARS[axis]
            continue
        kind = of_problems if axis == "problem" else axis
        # A bare name stands for all its configurations, so here it needs no options.
        wanting = {name: e for e in registries[kind] if _wants_options(e) for name in (e.name, *e.aliases)}
        spelling = {"type": "string", "pattern": "^\\s*[^()\\s]+\\(.*\\)\\s*$"}
        properties[axis] = about | {"anyOf": [*_constants(wanting), {"$ref": f"#/definitions/{kind}"}, spelling]}
    return {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": 1}


def _measure() -> Schema:
    error = {"type": "number", "exclusiveMinimum": 0}
    properties: Schema = {
        "repeats": _whole(1),
        "warmup": {"anyOf": [{"const": "auto", "description": "0.2 s, or three solves."}, _whole(0)]},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": TIMEOUT},
        "threads": _whole(1),
        "tf32": {"type": "boolean"},
        "deterministic": {"type": "boolean"},
        "match_error": error,
        "match": {"enum": list(MATCHES)},
        "beside": {
            "type": "object",
            "properties": {axis: {"$ref": f"#/definitions/{axis}"} for axis in PAIR},
            "additionalProperties": False,
            "minProperties": 1,
        },
    }
    return _keyed("measure", properties, Measure()) | {"dependencies": {"match": ["match_error"]}}


def _training() -> Schema:
    positive, more = {"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0}
    properties: Schema = {
        "steps": _whole(1),
        "optimiser": {"enum": list(OPTIMISERS)},
        "lr": positive,
        "lr_end": positive,
        "momentum": more,
        "weight_decay": more,
        "evaluate_every": _whole(1),
        "target": {"type": "number"},
        "checkpoint_every": more,
    }
    return _keyed("train", properties, Training())


def _keyed(key: str, properties: Schema, defaults: Any) -> Schema:
    """A mapping of known keys, each with its words and with what it is where it is left out."""
    told = {}
    for name, schema in properties.items():
        default = getattr(defaults, name)
        told[name] = {"description": KEYS[f"{key}.{name}"]} | schema | ({} if default is None else {"default": default})
    return {"type": "object", "properties": told, "additionalProperties": False}


def _whole(least: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": _MOST}


def _wider(pattern: str) -> str:
    """A pattern of Python's in the words of JavaScript, whose \\w is ASCII; whatever is not ASCII is let pass."""
    return f"^(?:{pattern})$".replace("[\\w", "[\\w\\u0080-\\uffff").replace("?:\\w", "?:[\\w\\u0080-\\uffff]")
