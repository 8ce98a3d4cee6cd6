"""Writes the reference in docs/suites.md from the schema and the registries: `make reference`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from marked import prose, table, update

from odebench.registry import Entry, load_shipped, registries
from odebench.suite.loading import shipped_suites
from odebench.suite.schema import Schema, suite_schema
from odebench.suite.yaml_source import read_documents

KINDS = {
    "stepping": "stepping",
    "gradient": "gradients",
    "solver": "solvers",
    "problem": "problems",
    "workload": "models",
    "regulariser": "regularisers",
}  # kind of a registry -> name of its part
WORDS = {
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "object": "a mapping",
}
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
HUGE = 2**31  # whatever is as large is no bound that anybody meets


def takes(schema: Schema) -> str:
    """What a schema lets pass, in words; of `null` nothing, which is the default left out."""
    for key in ("anyOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(words for each in schema[key] if (words := takes(each))))
    if "$ref" in schema:
        kind = schema["$ref"].rpartition("/")[2]
        return f"a {'model' if kind == 'workload' else kind}"
    if "enum" in schema or "const" in schema:
        known = [f"`{each}`" for each in schema.get("enum", [schema.get("const")]) if each is not None]
        return " or ".join(filter(None, (", ".join(known[:-1]), known[-1])))
    kinds = schema.get("type", [])
    kinds = [each for each in ([kinds] if isinstance(kinds, str) else kinds) if each != "null"]
    if kinds == ["array"]:
        return _list(schema.get("items", {}))
    words = " or ".join(WORDS[each] for each in kinds)
    bounds = [f"{told} {schema[key]:,.12g}" for key, told in BOUNDS.items() if abs(schema.get(key, HUGE)) < HUGE]
    holes = f"but {schema['not']['const']:g}" if "not" in schema else ""
    return ", ".join(filter(None, (words, " and ".join(bounds), holes)))


def _list(items: Schema | list[Schema]) -> str:
    if isinstance(items, list):
        return f"a list of {len(items)}: {', '.join(takes(each) for each in items)}"
    words = takes(items)
    return "a list" + (f", each {words}" if words else "")


def default(schema: Schema) -> str:
    """What holds where a key is absent, as YAML has it; empty where the words about it say so."""
    value = schema.get("default")
    return "" if value is None else f"`{json.dumps(value)}`".replace('"', "")


def keys(properties: Schema, required: Iterable[str] = (), above: str = "") -> str:
    """The table of the keys of a mapping."""
    rows = [
        (
            f"`{above}{name}`",
            prose(schema["description"]),
            takes(schema),
            "must be given" if name in required else default(schema),
        )
        for name, schema in properties.items()
    ]
    return table("key | what it says | takes | where absent", rows)


def entries(kind: str, schema: Schema, library: bool = False) -> str:
    """The names of one registry, then their options; of odebench itself, or of other libraries."""
    found = [each for each in registries[kind] if each.source == "odebench" and ("." in each.name) == library]
    if not found:
        return "None yet."
    names = [(" = ".join(f"`{name}`" for name in (each.name, *each.aliases)), prose(each.summary)) for each in found]
    shared = {option.name for option in registries[kind].common}
    owners: dict[tuple[str, ...], list[str]] = {}  # an option, in words -> whose it is
    for entry in found:
        for name, each in _of(entry, schema).items():
            # The equation that names a coefficient stands in the table above.
            each = each | ({"description": ""} if each.get("description") == entry.summary else {})
            owners.setdefault(_option(name, each), []).append("any" if name in shared else f"`{entry.name}`")
    options = [(name, ", ".join(dict.fromkeys(whose)), *rest) for (name, *rest), whose in owners.items()]
    options.sort(key=lambda row: row[1] == "any")
    tables = [table("name | what it is", names)]
    tables += [table("option | of | what it does | takes | where absent", options)] if options else []
    return "\n\n".join(tables)


def _of(entry: Entry, schema: Schema) -> Schema:
    """The options of an entry, as the schema has them."""
    mapping = next(each for each in schema["definitions"][entry.kind]["anyOf"] if "properties" in each)
    found: Schema = mapping["properties"][entry.name]["properties"]
    return found


def _option(name: str, schema: Schema) -> tuple[str, ...]:
    return f"`{name}`", prose(schema.get("description", "")), takes(schema) or "anything", default(schema)


def shipped() -> str:
    """The suites that ship, and what each asks."""
    rows = []
    for name, path in shipped_suites().items():
        about = [str(document.data.get("description", "")) for document in read_documents(path)]
        rows.append((f"`{name}`", prose(" ".join(filter(None, about)))))
    return table("suite | asks", rows)


def parts() -> dict[str, str]:
    """Everything that is made in docs/suites.md."""
    load_shipped()
    schema = suite_schema()
    properties = {name: each | _trained(schema, name) for name, each in schema["properties"].items()}
    told: dict[str, Any] = {"keys": keys(properties, schema["required"]), "shipped": shipped()}
    for key in ("measure", "train"):
        told[key] = keys(properties[key]["properties"], above=f"{key}.")
    told |= {name: entries(kind, schema) for kind, name in KINDS.items()}
    return told | {"libraries": entries("solver", schema, library=True)}


def _trained(schema: Schema, key: str) -> Schema:
    """What the key of a suite takes where that depends on the kind of suite, either way."""
    ways: list[Schema] = [schema[branch]["properties"].get(key) for branch in ("else", "then")]
    if key != "problems" or not all(ways):
        return {"items": {"type": "object"}} if key == "exclude" else {}
    return {"items": {"anyOf": [each["items"] for each in ways]}}


def main() -> None:
    """Bring docs/suites.md up to date."""
    update("suites.md", parts())


if __name__ == "__main__":
    main()
