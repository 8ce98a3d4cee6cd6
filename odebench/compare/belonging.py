"""Whether each side of a comparison loaded its own code; who measures one file twice finds no difference in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from odebench.compare.loaded import Loaded
from odebench.compare.package import plain_name
from odebench.errors import UsageError

LIBRARIES = ("site-packages", "dist-packages")
_REMEDY = (
    "name files and modules that each side holds; or install each side into an environment of its own, and give these: "
    "--base path/to/venv --new path/to/venv"
)


def require_own_code(base: Loaded, new: Loaded) -> None:
    """Make sure that what is measured in the name of a side is that side's.

    Raises:
        UsageError: a side loaded what is not of it, or both loaded one and the same file, or nothing of it was loaded.
    """
    if base.tree.homes == new.tree.homes and not (base.tree.installed or new.tree.installed):
        raise UsageError(
            f"{base.tree.label} and {new.tree.label} are one and the same folder, {new.tree.homes[0]}; name two sides, "
            "or two solvers of one: --solver A --against B"
        )
    for side, other in ((base, new), (new, base)):
        for module, what in _to_be_own(side, other):
            file = side.modules[module]
            if not belongs(file, side, other):
                raise UsageError(f"{side.tree.label}: {what} is loaded from {file}, {_not_there(side)}; {_REMEDY}")
        if not side.tree.installed and not any(belongs(file, side, other) for file in side.modules.values()):
            raise UsageError(
                f"{side.tree.label}: nothing of it is loaded: odebench is that of {_odebench(side)}, and the suite "
                "names no plugin that lies there, so that no change of it can be seen; name its modules under "
                "`plugins`, or register them as entry points"
            )
    if base.tree.installed and new.tree.installed:
        _require_two_installations(base, new)


def belongs(file: Path, side: Loaded, other: Loaded) -> bool:
    """Whether a file is of `side`. Of sources within those of the other side it is of the inner ones.

    To an environment belongs what it loads, but for what lies among the sources of the other side.
    """
    if side.tree.installed:
        return not among_sources(file, other)
    (home,) = side.tree.homes
    inner = (
        not other.tree.installed and other.tree.homes != side.tree.homes and other.tree.homes[0].is_relative_to(home)
    )
    return among_sources(file, side) and not (inner and among_sources(file, other))


def among_sources(file: Path, side: Loaded) -> bool:
    """Whether it lies among the sources of a side; an environment inside of them is no part of them."""
    return not side.tree.installed and _lies_in(file, side.tree.homes[0])


def _lies_in(file: Path, folder: Path) -> bool:
    return file.is_relative_to(folder) and not set(LIBRARIES).intersection(file.relative_to(folder).parts)


def _to_be_own(side: Loaded, other: Loaded) -> Iterator[tuple[str, str]]:
    """Each loaded module that has to be of `side`, and what to call it; plug-ins first."""
    own = own_distributions(side, other)
    tops = {top for name in own for top in side.tops.get(name, ())}
    for each in side.plugins:
        asked = each.named and not _of_odebench(each.module)
        if each.module in side.modules and not side.tree.installed and (asked or each.distribution in own):
            yield each.module, each.what
    for module, file in side.modules.items():
        top = module.partition(".")[0]
        held = not side.tree.installed and (top in tops or side.tree.holds(module))
        if held or (not _of_odebench(module) and _of_another(file, side, other)):
            yield module, f"module {module}"


def own_distributions(side: Loaded, other: Loaded) -> frozenset[str]:
    """The distributions that are made of the sources of either side, or of what a side is a copy of."""
    named = {plain_name(each.name) for tree in (side.tree, other.tree) for each in tree.packages if each.name}
    places = (side.tree.origin, *side.tree.homes, *other.tree.homes)
    return frozenset(named).union(
        name for name, folder in side.local.items() if any(folder.is_relative_to(each) for each in places)
    )


def _of_another(file: Path, side: Loaded, other: Loaded) -> bool:
    """Whether it lies in the sources of the other side, or in the working tree where the side is a revision of it."""
    return among_sources(file, other) or (side.tree.unpacked and _lies_in(file, side.tree.origin))


def _of_odebench(module: str) -> bool:
    return module.partition(".")[0] == "odebench"


def _odebench(side: Loaded) -> Path:
    return side.modules["odebench"].parent


def _not_there(side: Loaded) -> str:
    return "which is of the other side" if side.tree.installed else f"which is not in {side.tree.homes[0]}"


def _require_two_installations(base: Loaded, new: Loaded) -> None:
    """Of two environments every plug-in must be another file, and something must be."""
    modules = {each.module: each.what for each in new.plugins if not _of_odebench(each.module)}
    for module, what in modules.items():
        file = new.modules.get(module)
        if file is not None and file == base.modules.get(module):
            raise UsageError(f"both sides load one and the same file for {what}, {file}; {_REMEDY}")
    if not modules and _odebench(base) == _odebench(new):
        raise UsageError(
            f"both sides load one and the same odebench, {_odebench(new)}, and no plugin: nothing would be compared; "
            "install each side into its own environment"
        )
