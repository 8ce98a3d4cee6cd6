"""The JSON Schema (draft 7) of a suite file, made from the registries, for editors that complete and check.

It says less than `odebench validate`: ranges across options, and whether rules match, are beyond a schema.
"""

from __future__ import annotations

import types
from math import isfinite
from typing import Any, Literal, Union, get_args, get_origin

from odebench.record import AXES, MATCHES, Measure
from odebench.registry import MISSING, Entry, Option, registries
from odebench.spec import Spec
from odebench.suite.grammar import DEFAULTS, DTYPES, LISTS, REQUIRED, TIMEOUT
from odebench.suite.options import default_of
from odebench.suite.spelling import NAMED

Schema = dict[str, Any]
_PLAIN = {float: "number", int: "integer", str: "string", bool: "boolean", types.NoneType: "null"}
_ABOUT = {
    "problem": "The initial-value problems.",
    "solver": "The one-step methods.",
    "gradient": "How the gradients are got.",
    "stepping": "fixed (steps or dt) or adaptive (rtol, atol).",
    "device": "cpu, cuda, cuda:N; auto is cuda where there is one.",
    "dtype": "Of the state and the parameters.",
    "batch": "Rows of the state.",
    "seed": "Of the starts and of neural parameters.",
}
_SCALARS: dict[str, Schema] = {
    "device": {"type": "string", "pattern": "^(cpu|auto|cuda(:[0-9]{1,4})?)$"},
    "dtype": {"enum": list(DTYPES)},
    "batch": {"type": "integer", "minimum": 1},
    "seed": {"type": "integer", "minimum": 0},
}


def suite_schema() -> Schema:
    """A schema of one suite, with what is registered: `registry.load_builtins()` and `load_plugin` come first."""
    properties: Schema = {
        "name": {"type": "string", "minLength": 1, "maxLength": 100, "description": "Names the results folder."},
        "description": {"type": "string", "description": "What the suite asks."},
    }
    for axis, key in LISTS.items():
        properties[key] = {
            "type": "array",
            "items": {"$ref": f"#/definitions/{axis}"} if axis in NAMED else _SCALARS[axis],
            "minItems": 1,
            "uniqueItems": True,
            "description": _ABOUT[axis],
        }
        if key in DEFAULTS:
            plain = [each.to_data() if isinstance(each, Spec) else each for each in DEFAULTS[key]]
            properties[key]["default"] = plain
    properties["exclude"] = {
        "type": "array",
        "items": _rule(),
        "description": "Squares to leave out: those that agree with a rule on every axis it names.",
    }
    properties["measure"] = _measure()
    properties["plugins"] = {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "uniqueItems": True,
        "description": "Files, relative to the suite, or modules, whose import registers solvers, problems and so on.",
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "odebench suite",
        "type": "object",
        "properties": properties,
        "required": list(REQUIRED),
        "additionalProperties": False,
        "definitions": {kind: _named(kind) for kind in NAMED},
    }


def _named(kind: str) -> Schema:
    """A bare name, or a one-key mapping of a name to its options."""
    names = {name: entry for entry in registries[kind] for name in (entry.name, *entry.aliases)}
    return {
        "anyOf": [
            {"enum": [name for name, entry in names.items() if not any(o.required for o in entry.options.values())]},
            {
                "type": "object",
                "properties": {name: _entry(entry) for name, entry in names.items()},
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }


def _entry(entry: Entry) -> Schema:
    required = [option.name for option in entry.options.values() if option.required]
    schema: Schema = {
        "type": "object" if required else ["object", "null"],
        "properties": {option.name: _option(option, entry.kind) for option in entry.options.values()},
        "additionalProperties": False,
    }
    if entry.summary:
        schema["description"] = entry.summary
    return schema | ({"required": required} if required else {})


def _option(option: Option, kind: str) -> Schema:
    schema = _type(option.type, option.name if option.name in registries else kind)
    default = default_of(option)
    if default is None and schema:
        schema = {"anyOf": [schema, {"type": "null"}]}
    if default is not MISSING and not (isinstance(default, float) and not isfinite(default)):
        # Beside $ref a draft-7 reader ignores everything.
        schema = {"allOf": [schema]} if "$ref" in schema else schema
        schema = schema | {"default": default}
    if option.name == "saves":
        schema |= {"minimum": 1}
    return schema


def _type(wanted: Any, kind: str) -> Schema:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if wanted in _PLAIN:
        return {"type": _PLAIN[wanted]}
    if wanted is Spec:
        return {"$ref": f"#/definitions/{kind}"}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(each, kind) for each in arguments]}
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        items = [_type(each, kind) for each in arguments]
        return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}
    if origin in (tuple, list):
        return {"type": "array", "items": _type(arguments[0], kind)}
    return {"type": "array"} if wanted in (tuple, list) else {}


def _rule() -> Schema:
    properties: Schema = {}
    for axis in AXES:
        if axis not in NAMED:
            properties[axis] = _SCALARS[axis]
            continue
        names = [name for entry in registries[axis] for name in (entry.name, *entry.aliases)]
        spelling = {"type": "string", "pattern": "^\\s*[^()\\s]+\\(.*\\)\\s*$"}
        properties[axis] = {"anyOf": [{"enum": names}, {"$ref": f"#/definitions/{axis}"}, spelling]}
    return {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": 1}


def _measure() -> Schema:
    default = Measure()
    return {
        "type": "object",
        "properties": {
            "repeats": {"type": "integer", "minimum": 1, "default": default.repeats},
            "warmup": {
                "anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 0}],
                "default": default.warmup,
                "description": "Solves before the timed ones.",
            },
            "timeout": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": TIMEOUT,
                "default": default.timeout,
                "description": "Seconds that one cell may take.",
            },
            "threads": {"type": "integer", "minimum": 1, "default": default.threads},
            "tf32": {"type": "boolean", "default": default.tf32, "description": "TF32 arithmetic on CUDA."},
            "deterministic": {
                "type": "boolean",
                "default": default.deterministic,
                "description": "Deterministic algorithms of torch only.",
            },
            "match_error": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "Search the loosest tolerance, or fewest steps, that meets this error; measure there.",
            },
            "match": {
                "enum": list(MATCHES),
                "default": default.match,
                "description": "The error that match_error is about.",
            },
        },
        "dependencies": {"match": ["match_error"]},
        "additionalProperties": False,
        "description": "How cells are measured; no part of what a cell is.",
    }
