"""Pages about what is registered. Where foreign code has a part in one, a worker makes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from odebench.errors import UsageError
from odebench.registry import installed, load_builtins, load_plugin


def page(kind: str, plugins: Sequence[str], **words: Any) -> str:
    """The text of one page: `list`, `catalogue`, `explain` or `schema`.

    Raises:
        UsageError: nothing is called so, or a plugin fails, in whatever way.
    """
    order = {"kind": kind, "plugins": list(plugins), "words": words}
    if not plugins and not installed():
        return _make(order)
    from odebench.execute.planning import ask_apart

    answer = ask_apart("odebench.cli.pages:answer", order)
    if "wrong" in answer:
        raise UsageError(answer["wrong"])
    return str(answer["page"])


def answer(order: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    """The worker's end of `page`."""
    try:
        send({"answer": {"page": _make(order)}})
    except UsageError as error:
        send({"answer": {"wrong": str(error)}})


def _make(order: Mapping[str, Any]) -> str:
    from odebench.cli import explain, listing
    from odebench.suite.schema import suite_schema

    load_builtins()
    for plugin in order["plugins"]:
        load_plugin(plugin)
    words = order["words"]
    if order["kind"] == "list":
        return listing.listing(words["of"], words["width"])
    if order["kind"] == "catalogue":
        return json.dumps(listing.catalogue(words["of"]), indent=1, ensure_ascii=False) + "\n"
    if order["kind"] == "explain":
        name = words["name"]
        return explain.index(words["width"]) if name is None else explain.page(name, words["width"])
    return json.dumps(suite_schema(), indent=2, ensure_ascii=False) + "\n"
