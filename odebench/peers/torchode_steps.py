"""The first step to give torchode, so that its own summing up of time makes the steps of a mesh. Torch-free."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from odebench.controllers import Adaptive, Fixed
from odebench.errors import Refusal

if TYPE_CHECKING:
    from odebench.types import Mesh


def first_step(control: Adaptive | Fixed, ts: tuple[float, ...], kind: str, adjoint: bool) -> float | None:
    """dt0, signed; None where the library's heuristic chooses it."""
    sign = 1.0 if ts[-1] > ts[0] else -1.0
    if isinstance(control, Adaptive):
        return None if control.first_step is None else sign * min(control.first_step, abs(ts[-1] - ts[0]))
    mesh = control.mesh(ts)
    walks = [(ts[0], ts[-1], len(mesh))]
    if adjoint:
        walks += _back(mesh, ts)
    return _step_that_counts(walks, _largest(mesh), kind)


def _back(mesh: Mesh, ts: tuple[float, ...]) -> list[tuple[float, float, int]]:
    """(from, to, steps) of the solves back: one per interval between saved times."""
    ends = [index + 1 for index, tick in enumerate(mesh) if tick.lands]
    counts = [end - start for start, end in pairwise([0, *ends])]
    return [(t1, t0, count) for (t0, t1), count in zip(pairwise(ts), counts, strict=True)]


def _largest(mesh: Mesh) -> float:
    """The step of a mesh whose steps are all equal, but for a shorter last one.

    Raises:
        Refusal: they are not.
    """
    h = mesh[0].dt
    if any(abs(tick.dt - h) > 1e-9 * abs(h) for tick in mesh[:-1]):
        raise Refusal(
            "torchode's fixed steps do not shorten before a saved time, and this mesh does; use `steps`, or a dt that "
            "divides the time between saves"
        )
    return h


def _step_that_counts(walks: list[tuple[float, float, int]], h: float, kind: str) -> float:
    """h, or the least bit more, so that torchode takes the steps of the mesh and no sliver after them.

    It sums up t + dt in the dtype of time, and a sum that falls an ulp short costs one more step. Where that cannot be
    helped (one step between times whose difference is rounded, say) the step is h and the sliver is taken.
    """
    import numpy as np

    real = np.dtype(kind).type
    longest = max(steps for *_, steps in walks)
    for ulps in (*range(32), *(2**k for k in range(5, longest.bit_length() + 8))):
        step = abs(real(h)) * real(1 + ulps * np.finfo(real).eps)
        if all(_steps_taken(real(t0), real(t1), step) == steps for t0, t1, steps in walks):
            return float(np.copysign(step, h))
    return h


def _steps_taken(t: Any, end: Any, step: Any) -> int:
    """The loop of torchode's AutoDiffAdjoint under a fixed step."""
    taken, forward = 0, end > t
    while taken == 0 or (t < end if forward else t > end):
        t = t + (min(step, end - t) if forward else max(-step, end - t))
        taken += 1
    return taken
