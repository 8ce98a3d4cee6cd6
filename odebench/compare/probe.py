"""What a side loads when it loads its plug-ins: a program for the side's own interpreter.

It is started by its path, and uses of odebench no more than the registry, since the side may bring another version.

    in      {"plugins": [paths and names], "names": [modules that the side holds, loaded or not],
             "distributions": [those that it builds]}
    out     {"modules": {name: file}, "plugins": [{"what", "module", "named", "distribution"}],
             "distributions": {name: version}, "tops": {distribution: [its top-level modules]},
             "local": {distribution: direct_url.json}, "sources": [provenance of plug-ins] or null,
             "python": version}  or  {"trouble": sentence}
"""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


def look(plugins: list[str], names: list[str], asked: list[str]) -> dict[str, Any]:
    """Load what a run loads, and tell what came from where.

    `names` may be imported only later, when something is solved; what would be found is found out without loading it.
    `asked` are distributions.
    """
    from odebench import registry

    registry.load_builtins()
    told: list[dict[str, Any]] = [
        {"what": f"installed plugin {each.name} = {each.value}", "module": each.module, "named": False,
         "distribution": str(each.dist.name) if each.dist is not None else ""}
        for each in registry.installed()
    ]  # fmt: skip
    for plugin in plugins:
        registry.load_plugin(plugin)
        told.append({"what": f"plugin {plugin}", "module": _module_of(plugin), "named": True, "distribution": ""})
    there = {
        str(each.name): each for each in reversed([*distributions()])
    }  # of two with one name the first is imported
    local = {name: text for name, each in there.items() if (text := each.read_text("direct_url.json"))}
    wanted = {_plain(name) for name in (*asked, *local, *(each["distribution"] for each in told))}
    return {
        "modules": {**dict(_found(names)), **dict(_modules())},
        "plugins": told,
        "distributions": {name: each.version for name, each in there.items()},
        "local": local,
        "tops": {name: _tops(each) for name, each in there.items() if _plain(name) in wanted},
        "python": sys.version,
        "sources": _sources(registry),
    }


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _tops(distribution: Distribution) -> list[str]:
    """The top-level modules that it installed."""
    parts = {each.parts[0] for each in distribution.files or () if each.suffix in (".py", ".so", ".pyd")}
    return sorted(name for name in {each.partition(".")[0] for each in parts} if name.isidentifier())


def _sources(registry: ModuleType) -> list[dict[str, Any]] | None:
    known = vars(registry).get("loaded_plugins")  # an older odebench has none
    return None if known is None else [each.to_data() for each in known()]


def _module_of(plugin: str) -> str:
    """What a plugin that is loaded is called: a file has a name that only the registry knows."""
    if plugin in sys.modules:
        return plugin
    file = os.path.realpath(plugin)
    return next((name for name, place in _modules() if os.path.realpath(place) == file), plugin)


def _found(names: list[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        with suppress(ImportError, ValueError, AttributeError):  # of a finder that some package installed
            spec = find_spec(name)
            if spec is not None and spec.origin is not None and spec.has_location:
                yield name, os.path.abspath(spec.origin)


def _modules() -> Iterator[tuple[str, str]]:
    """Name and file of all that is loaded and not of the standard library."""
    standard = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name == "__main__":
            continue
        place = Path(file)
        foreign = "site-packages" in place.parts or "dist-packages" in place.parts
        if foreign or not any(place.resolve().is_relative_to(each) for each in standard):
            yield name, os.path.abspath(file)


def main() -> None:
    """The program. Whatever a plugin prints must not be taken for the answer."""
    order: Mapping[str, Any] = json.load(sys.stdin)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        said = look(order["plugins"], order["names"], order["distributions"])
    except BaseException as error:  # a plugin may raise anything
        said = {"trouble": " ".join(str(error).split()) or type(error).__name__}
    answer.write(json.dumps(said))
    answer.flush()
    os._exit(0)  # what a plugin started or registered is not waited for


if __name__ == "__main__":
    main()
