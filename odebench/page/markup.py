"""HTML that cannot be broken by what it holds: text is escaped where an element is made, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

Child: TypeAlias = "str | Html | Iterable[Child] | None"


class Html(str):
    """Text that is HTML already. Made by `element` and `joined` only."""


def element(name: str, *children: Child, **attributes: str | int | bool | None) -> Html:
    """`<name …>children</name>`.

    A child is text, an element, or any number of them; None is left out. Of attributes `class_` is written `class`,
    other underscores are hyphens, True is an attribute without a value, None and False are left out.
    """
    head = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    return Html(f"<{name}{head}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Html:
    """Children one after another."""
    return Html("".join(_parts(children)))


def _parts(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Html):
            yield child
        elif isinstance(child, str):
            yield escape(child)
        elif child is not None:
            yield from _parts(child)


def _attribute(key: str, value: str | int | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
