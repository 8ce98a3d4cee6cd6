"""YAML that remembers where everything stood; composed from parse events, so that nothing in it can recurse or grow.

Scalars follow the YAML 1.2 core schema. Keys are strings, given once. Tags and merge keys are refused: a suite is data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from odebench.errors import SuiteError, UsageError
from odebench.suite.spelling import BOOL, DEPTH, FLOAT, INT, NULL, scalar

BYTES = 1 << 20
NODES = 20_000  # after aliases were written out

Trail = tuple[str | int, ...]


class Place(NamedTuple):
    """Both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Node:
    """A value of the file, and where it, its parts and its keys stand."""

    data: Any
    place: Place
    size: int = 1  # nodes, aliases written out
    parts: dict[str | int, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """One document of a file."""

    root: Node

    @property
    def data(self) -> Any:
        """Plain data: mappings, lists and scalars."""
        return self.root.data

    def place(self, trail: Trail, key: bool = False) -> Place:
        """Where the value at `trail` stands, or its key; of what is not there, the nearest part around it."""
        node = self.root
        for index, part in enumerate(trail):
            if key and index == len(trail) - 1 and part in node.keys:
                return node.keys[str(part)]
            if part not in node.parts:
                break
            node = node.parts[part]
        return node.place


def located(path: Path | str, place: Place, message: str) -> str:
    """One finding as it is printed: `suites/x.yaml:12:5: message`."""
    return f"{path}:{place.line}:{place.column}: {message}"


def read_documents(path: Path) -> tuple[Document, ...]:
    """The documents of the file, at least one.

    Raises:
        SuiteError: the file cannot be read, is no YAML, or holds what a suite may not; every finding is located.
    """
    composer = _Composer()
    try:
        documents = tuple(composer.documents(_text(path)))
    except _StopError as stop:
        documents = ()
        composer.found.append((stop.place, stop.message))
    if composer.found:
        raise SuiteError(located(path, place, message) for place, message in sorted(composer.found))
    return documents


def read_value(text: str, what: str) -> Any:
    """What a text given on the command line means as YAML, for instance `{alf: {eta: 0.9}}`.

    Raises:
        UsageError: it is no YAML, or not just one value; `what` is its name in the message.
    """
    composer = _Composer()
    try:
        documents = tuple(composer.documents(text))
    except _StopError as stop:
        documents = ()
        composer.found.append((stop.place, stop.message))
    if composer.found:
        place, message = composer.found[0]
        raise UsageError(f"{what} {text!r}, column {place.column}: {message}")
    if len(documents) != 1:
        raise UsageError(f"{what} {text!r}: expected one value, got {len(documents)}")
    return documents[0].data


def dump_documents(documents: Iterable[Any]) -> str:
    """YAML that `read_documents` reads back to the same data: strings that look like numbers there are quoted."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, explicit_start=True)


class _StopError(Exception):
    """Nothing more can be read of this file."""

    def __init__(self, place: Place, message: str) -> None:
        self.place, self.message = place, message


def _text(path: Path) -> str:
    try:
        if path.is_dir() or not path.exists():
            there = "a folder" if path.is_dir() else "no file"
            raise _StopError(Place(1, 1), f"there is {there} of this name; name a suite file")
        if not path.is_file():
            raise _StopError(Place(1, 1), "this is no ordinary file; write the suite to one")
        with path.open("rb") as stream:
            raw = stream.read(BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _StopError(Place(1, 1), f"the file cannot be read: {reason}") from error
    if len(raw) > BYTES:
        raise _StopError(Place(1, 1), "the file is larger than 1 MiB; a suite is a few kilobytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", errors="replace")
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _StopError(_after(before), message) from error
    control = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if control:
        message = f"the character U+{ord(control.group()):04X} is not allowed in YAML; remove it"
        raise _StopError(_after(text[: control.start()]), message)
    return text


def _after(text: str) -> Place:
    lines = text.split("\n")
    return Place(len(lines), len(lines[-1]) + 1)


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    problem = " ".join(str(error.problem or "this is not YAML").split())
    if "'\\t'" in problem:
        return "a tab cannot stand here; indent with blanks"
    context = f" {error.context}" if error.context else ""
    return f"this is not YAML:{' '.join(context.split(chr(10)))} {problem}".replace(":  ", ": ")


def _guarded(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _StopError(_place(mark) if mark else Place(1, 1), _sentence(error)) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The scanner reads escapes such as "\UFFFFFFFF" with chr().
        raise _StopError(Place(1, 1), f"this is not YAML: {' '.join(str(error).split())}") from error


class _Composer:
    """Nodes out of events. Depth is limited before Python recurses, and size before aliases multiply."""

    def __init__(self) -> None:
        self.found: list[tuple[Place, str]] = []
        self.anchors: dict[str, Node | None] = {}  # None while the node is still open
        self.events: Iterator[yaml.Event] = iter(())
        self.nodes = 0

    def documents(self, text: str) -> Iterator[Document]:
        self.events = _guarded(text)
        empty = True
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                empty = False
                self.anchors = {}
                root = self._node(next(self.events), 0)
                if root.data is None:
                    self.found.append((root.place, "there is nothing in this document; a suite has a name, problems …"))
                yield Document(root)
        if empty:
            raise _StopError(Place(1, 1), "the file is empty; a suite has a name, problems, solvers and stepping")

    def _node(self, event: Any, depth: int) -> Node:
        place = _place(event.start_mark)
        if depth > DEPTH:
            raise _StopError(place, f"this is nested more than {DEPTH} deep; no suite is")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        self._count(1, place)
        if event.tag is not None:
            self.found.append((place, f"tag {event.tag[:60]!r}: a suite has no tags; write the value alone"))
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.MappingStartEvent):
            node = self._mapping(place, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(place, depth)
        else:
            node = Node(self._scalar(event, place), place)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _count(self, nodes: int, place: Place) -> None:
        self.nodes += nodes
        if self.nodes > NODES:
            raise _StopError(place, f"more than {NODES} values up to here, aliases written out; no suite has so many")

    def _alias(self, event: Any, place: Place) -> Node:
        if event.anchor not in self.anchors:
            self.found.append((place, f"alias *{event.anchor[:60]} has no anchor &{event.anchor[:60]} before it"))
            return Node(None, place)
        node = self.anchors[event.anchor]
        if node is None:
            raise _StopError(place, f"alias *{event.anchor[:60]} stands inside what it repeats")
        self._count(node.size, place)
        return replace(node, place=place)

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            return scalar(event.value)
        except UsageError as error:
            self.found.append((place, str(error)))
            return 0

    def _sequence(self, place: Place, depth: int) -> Node:
        parts: dict[str | int, Node] = {}
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            parts[len(parts)] = self._node(event, depth + 1)
        size = 1 + sum(part.size for part in parts.values())
        return Node([part.data for part in parts.values()], place, size, parts)

    def _mapping(self, place: Place, depth: int) -> Node:
        parts: dict[str | int, Node] = {}
        keys: dict[str, Place] = {}
        size = 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            name = self._node(event, depth + 1)
            value = self._node(next(self.events), depth + 1)
            size += name.size + value.size
            if self._is_key(name, event, keys):
                keys[name.data] = name.place
                parts[name.data] = value
        return Node({key: part.data for key, part in parts.items()}, place, size, parts, keys)

    def _is_key(self, name: Node, event: yaml.Event, keys: dict[str, Place]) -> bool:
        if not isinstance(name.data, str):
            shown = "a list or mapping" if isinstance(name.data, (list, dict)) else repr(name.data)[:60]
            self.found.append((name.place, f"a key must be a string, got {shown}"))
            return False
        if name.data == "<<" and getattr(event, "style", "") is None:
            self.found.append((name.place, "merge keys (<<) are not part of YAML 1.2; write the keys out"))
            return False
        if name.data in keys:
            first = keys[name.data]
            message = f"key {name.data[:60]!r} is given twice, first at line {first.line}, column {first.column}"
            self.found.append((name.place, message))
            return False
        return True


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.yaml_implicit_resolvers = {}  # not those of YAML 1.1
for _kind, _pattern in (("null", NULL), ("bool", BOOL), ("int", INT), ("float", FLOAT)):
    # PyYAML matches at the start only.
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"{_pattern.pattern}\Z"), None)
