"""What computes: Python, torch, other libraries, and what the environment tells them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from dataclasses import dataclass

from odebench import machine
from odebench.peers.peer import Peer
from odebench.peers.roster import LIBRARIES

# What numerical libraries read when they start: how many threads, and on which processors.
_THREADS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY",
    "MKL_DYNAMIC", "CUDA_LAUNCH_BLOCKING", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF",
)  # fmt: skip


@dataclass(frozen=True)
class Library:
    """One that is compared with; `version` is empty and `install` says how to get it where it is not there."""

    name: str
    version: str
    install: str


@dataclass(frozen=True)
class Software:
    """`torch` is empty where it is not installed."""

    python: str
    odebench: str
    torch: str
    libraries: tuple[Library, ...]
    environment: dict[str, str]  # of the variables above, those that are set


def gather() -> Software:
    """Imports none of them."""
    torch = machine.packages().get("torch", "unknown") if importlib.util.find_spec("torch") is not None else ""
    return Software(
        python=platform.python_version(),
        odebench=machine.version(),
        torch=torch,
        libraries=tuple(_library(name) for name in LIBRARIES),
        environment={name: os.environ[name] for name in _THREADS if name in os.environ},
    )


def _library(name: str) -> Library:
    module = importlib.import_module(f"odebench.peers.{name}")
    peer = Peer(name, next(iter(module.METHODS)))
    return Library(name, "" if peer.absent else peer.versions.get(module.LIBRARY, "unknown"), peer.install)
