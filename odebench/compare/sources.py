"""From which folders of this machine packages were installed: installers write it down (PEP 610)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

from odebench.provenance import folder_of


def folders_installed_from(path: Sequence[str] | None = None) -> tuple[Path, ...]:
    """Those that are still there, editable or not, of what lies on `path`, by default this program's own."""
    found = distributions() if path is None else distributions(path=list(path))
    folders = (folder_of(each.read_text("direct_url.json")) for each in found)
    return tuple(dict.fromkeys(each for each in folders if each is not None and each.is_dir()))


def library_folders(environment: Path) -> tuple[str, ...]:
    """Where the packages of an environment lie."""
    found = [*environment.glob("lib*/python3*/site-packages"), environment / "Lib" / "site-packages"]
    return tuple(str(each) for each in found if each.is_dir())
