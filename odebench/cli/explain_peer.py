"""What there is to say about a method of another library. Imports no library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from odebench.peers.peer import Peer
from odebench.registry import Entry, gradients
from odebench.spec import Spec

_STEPPINGS = {"fixed": Spec.of("fixed", {"steps": 1}), "adaptive": Spec("adaptive")}


def heading(peer: Peer) -> str:
    """The line above the methods of a library: whether it is installed, and which version."""
    return f"{peer.module.LIBRARY}: {installed(peer)}" if peer.absent else installed(peer)


def installed(peer: Peer) -> str:
    """The version of a library, or the line that installs it."""
    if peer.absent:
        return f"not installed; {peer.install}"
    name, versions = peer.module.LIBRARY, peer.versions
    return ", ".join(f"{each} {version}" for each, version in ({name: "of unknown version"} | versions).items())


def library_data(peer: Peer) -> dict[str, Any]:
    """The same for programs; `version` is null where the library is not installed."""
    name = peer.module.LIBRARY
    version = None if peer.absent else peer.versions.get(name, "unknown")
    return {"name": name, "version": version, "extra": peer.module.EXTRA}


def peer_facts(peer: Peer) -> list[tuple[str, str]]:
    """What a method is in its library, and how to get that."""
    method, module = peer.facts, peer.module
    error = "no error estimate" if method.error_order is None else str(method.error_order)
    facts = [
        ("order", str(method.order)),
        ("error order", error),
        ("twin", f"{method.twin}, with the same coefficients" if method.twin else "none of odebench's own"),
        ("stepping", " and ".join(name for name in _STEPPINGS if getattr(method, name))),
    ]
    for name, what in module.GRADIENTS.items():
        reason = _why_not(peer, name)
        facts.append((name, what) if reason is None else (f"not {name}", reason))
    lacking = [entry.name for entry in gradients if entry.source == "odebench" and entry.name not in module.GRADIENTS]
    facts.append(("no gradient", ", ".join(lacking)))
    return [*facts, ("home", module.HOMEPAGE), ("install", peer.install), ("installed", installed(peer))]


def library_facts(module: Any, name: str) -> list[tuple[str, str]]:
    """What there is to say of a whole library, whose adapter is `module`."""
    methods = list(module.METHODS)
    peer = Peer(name, methods[0])
    facts = [("methods", ", ".join(f"{name}.{method}" for method in methods))]
    facts += [(f"gradient {gradient}", what) for gradient, what in module.GRADIENTS.items()]
    facts.append(("mind", module.NOTE))
    facts += [("home", module.HOMEPAGE), ("install", peer.install), ("installed", installed(peer))]
    return [*facts, ("reference", module.REFERENCE)]


def libraries_with(entry: Entry, peers: Iterable[Peer]) -> list[str]:
    """The libraries that have a gradient, or a method for a stepping."""
    having = []
    for peer in peers:
        offers = entry.name in peer.module.GRADIENTS or (
            entry.kind == "stepping" and getattr(peer.facts, entry.name, False)
        )
        if offers and peer.module.LIBRARY not in having:
            having.append(peer.module.LIBRARY)
    return having


def _why_not(peer: Peer, gradient: str) -> str | None:
    """Why the method has no such gradient with any stepping of its own, or None if it has with one."""
    own = [spec for name, spec in _STEPPINGS.items() if getattr(peer.facts, name)]
    said = [peer.misfit(Spec(gradient), each, saves=1, dtype="float64", device="cpu") for each in own]
    return None if None in said else said[0]
