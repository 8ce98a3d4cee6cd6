"""Registers the methods of other libraries as solvers, `torchdiffeq.dopri5` and so on. Torch-free."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from odebench.peers.peer import Peer
from odebench.registry import Entry, solvers

LIBRARIES = ("torchdiffeq", "torchode", "torchsde", "torchdiffeqpack", "diffrax")


def _plain(library: str, method: str) -> Callable[..., Peer]:
    def build() -> Peer:
        return Peer(library, method)

    return build


def _with_joint(library: str, method: str) -> Callable[..., Peer]:
    # torchode has two adjoints: over the batch as one system, and over each sample by itself.
    def build(joint: bool = True) -> Peer:
        return Peer(library, method, (("joint", joint),))

    return build


def _register(library: str) -> None:
    module: Any = importlib.import_module(f"odebench.peers.{library}")
    for name, method in module.METHODS.items():
        twin = f"; the coefficients of {method.twin}" if method.twin else ""
        summary = f"{module.LIBRARY}'s {name}, order {method.order}{twin}"
        build = (_with_joint if library == "torchode" else _plain)(library, name)
        build.__doc__ = "\n\n".join(filter(None, (f"{summary}.", method.note, module.NOTE)))
        aliases = () if name.islower() else (f"{library}.{name.lower()}",)
        solvers.add(Entry("solver", f"{library}.{name}", build, summary, module.REFERENCE, aliases))


for _library in LIBRARIES:
    _register(_library)
