"""What a worker can be asked to do. Everything is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from odebench import registry
from odebench.record import Cell, Measure, Training
from odebench.spec import Spec

Send = Callable[[dict[str, Any]], None]
Job = Callable[[dict[str, Any], Send], None]


def find(name: str) -> Job:
    """The job called `name`: one of this file, or `module:function` anywhere."""
    if name in _JOBS:
        return _JOBS[name]
    module, _, function = name.partition(":")
    job: Job = getattr(importlib.import_module(module), function)
    return job


def _plan(payload: dict[str, Any], send: Send) -> None:
    from odebench.plan import prepare

    send({"answer": prepare(payload)})


def _truth(payload: dict[str, Any], send: Send) -> None:
    from odebench.truth import ensure_truth

    _load(payload["plugins"])
    ensure_truth(
        Spec.from_data(payload["problem"]),
        dtype=payload["dtype"],
        batch=payload["batch"],
        seed=payload["seed"],
        path=Path(payload["path"]),
    )


def _cell(payload: dict[str, Any], send: Send) -> None:
    from odebench.measure.cell import measure_cell

    with suppress(ImportError):
        # Not needed here, but torch imports it at the first vector-Jacobian product, in the midst of being measured.
        importlib.import_module("torch.fx.experimental.symbolic_shapes")
    _load(payload["plugins"], send)
    truth = payload["truth"]
    measure_cell(
        Cell.from_data(payload["cell"]),
        Measure.from_data(payload["measure"]),
        Path(truth) if truth is not None else None,
        send,
    )


def _train(payload: dict[str, Any], send: Send) -> None:
    from odebench.training.cell import train_cell

    _load(payload["plugins"], send)
    checkpoint = payload["checkpoint"]
    train_cell(
        Cell.from_data(payload["cell"]),
        Measure.from_data(payload["measure"]),
        Training(**payload["training"]),
        None if checkpoint is None else Path(checkpoint),
        send,
    )


def _probe(payload: dict[str, Any], send: Send) -> None:
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    answer = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda_devices": [torch.cuda.get_device_name(index) for index in devices],
    }
    send({"answer": answer})


def _load(plugins: list[str], send: Send | None = None) -> None:
    registry.load_builtins()
    for plugin in plugins:
        registry.load_plugin(plugin)
    if send is not None and (loaded := registry.loaded_plugins()):
        send({"plugins": [each.to_data() for each in loaded]})


_JOBS: dict[str, Job] = {"plan": _plan, "truth": _truth, "cell": _cell, "train": _train, "probe": _probe}
