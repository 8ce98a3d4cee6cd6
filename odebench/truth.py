"""The true solution and the true gradient of an ODE, at the very y0 and θ that a cell uses; worked out once, and kept.

"The very" means: cast to the cell's dtype, then to float64, so that a float32 cell is judged by the problem that it was
given. Where the problem has a closed form the gradient is autograd's through it, and the reference solver checks the
form; else the reference solver runs twice, at different orders and tolerances, and the two must agree. A problem that
calls itself stiff has a reference solver of its own. Torch is imported only where something is computed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odebench.errors import OdebenchError, SolveError, UnknownName
from odebench.problems import Bound, Broken, Posed, bind, pose
from odebench.registry import problems
from odebench.spec import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from odebench.reference import Extrapolation
    from odebench.stiff_reference import Collocation

    Array = NDArray[np.float64]

WORST_AGREEMENT = 1e-6  # of the two answers; above it there is no truth

_FORMAT = 1
_ARRAYS = ("y1", "gradient_y0", "gradient_parameters")
# What a truth depends on besides its problem's own module.
_SOURCES = (
    "truth.py", "reference.py", "stiff_reference.py",
    "problems/binding.py", "problems/problem.py", "problems/torch_field.py", "problems/path_field.py",
)  # fmt: skip
_CHECK_STEPS = 2_000  # macro-steps that checking a closed form may take


@dataclass(frozen=True)
class Truth:
    """float64 throughout: y(t1), dL/dy0 (both shaped (batch, dim…)), dL/dθ (flattened, in the order of `Bound.params`).

    `agreement` is the larger relative 2-norm difference, of solution and of gradient, between the two ways they were
    worked out; nan where only the closed form could be. `route` says which way was taken.
    """

    y1: Array
    gradient_y0: Array
    gradient_parameters: Array
    agreement: float
    route: str


def truth_path(spec: Spec, dtype: str, batch: int, seed: int, folder: Path) -> Path:
    """The file in `folder` that holds this truth, or will; needs no torch.

    Its name is a digest of all that the truth depends on: the problem with its defaults filled in, dtype, batch, seed,
    the sources that work it out, and the versions of torch and numpy. A problem that is not registered here, one of a
    plugin kept out of this process, is named as it was given.
    """
    problem: list[Any]
    try:
        posed = pose(spec)
    except UnknownName:
        name, problem = spec.name, [str(spec)]
    else:
        name = problems.get(spec.name).name
        problem = [_canonical(spec, posed), _digest_of_sources(posed.problem)]
    key = [_FORMAT, name, problem, dtype, batch, seed, _versions()]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return Path(folder) / f"{re.sub(r'[^0-9A-Za-z_-]', '_', name)[:60]}-{digest[:32]}.npz"


def readable(path: Path) -> bool:
    """Whether `path` holds a whole truth; needs no torch."""
    try:
        load_truth(path)
    except OdebenchError:
        return False
    return True


def load_truth(path: Path) -> Truth:
    """Read a truth.

    Raises:
        OdebenchError: there is no such file, or it is torn or altered.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name], dtype=np.float64) for name in _ARRAYS}
            agreement, route, checksum = float(file["agreement"]), str(file["route"]), str(file["checksum"])
    except Exception as error:  # numpy and zipfile raise a dozen kinds for a torn file
        raise OdebenchError(f"{path} holds no truth that can be read ({error}); delete it and run again") from error
    truth = Truth(**arrays, agreement=agreement, route=route)
    if _checksum(truth) != checksum:
        raise OdebenchError(f"{path} was altered: its checksum is wrong; delete it and run again")
    return truth


def ensure_truth(spec: Spec, *, dtype: str, batch: int, seed: int, path: Path) -> None:
    """See to it that `path` holds the truth; a file that is there and whole is left alone. Runs in a worker.

    Raises:
        OdebenchError: the two ways to work it out do not agree, the answer is not finite, or f draws random numbers.
        SolveError: the reference solver could not get to the end.
    """
    if readable(path):
        return
    _write(compute_truth(spec, dtype=dtype, batch=batch, seed=seed), path)


def compute_truth(spec: Spec, *, dtype: str, batch: int, seed: int) -> Truth:
    """Work the truth out; raises what `ensure_truth` does."""
    from odebench.surroundings import moves

    posed = pose(spec)
    bound = bind(spec, batch=batch, seed=seed, dtype=dtype, device="cpu")
    bound.f.double()  # in place, so that `bound.params` follow
    if moves(bound.f, bound.ts[0], bound.y0.detach().double())[0]:
        raise OdebenchError(f"{spec} has no true answer: its field draws random numbers at every call (dropout?)")
    if posed.end_alone:
        bound = Bound(bound.f, bound.params, bound.y0, (bound.ts[0], bound.ts[-1]), bound.loss)
    if isinstance(posed.problem, Broken):
        bound = _stopping(bound, posed.problem.breaks)
    exact = hasattr(posed.problem, "exact")
    if exact:
        found, other, route = _by_closed_form(posed, bound)
    else:
        stiff = getattr(posed.problem, "stiff", False)
        found, other, route = _by_collocation(bound) if stiff else _by_reference(bound)
    agreement = float("nan") if other is None else _agreement(found, other)
    if not all(bool(each.isfinite().all()) for each in found):
        raise OdebenchError(f"the true answer of {spec} is not finite in float64; shorten its span")
    if other is not None and not agreement <= WORST_AGREEMENT:
        why = "its closed form may be wrong" if exact else "it may be chaotic, or its field not smooth"
        raise OdebenchError(
            f"two ways to work out the true gradient of {spec} differ by {agreement:.1e} of its size, where "
            f"{WORST_AGREEMENT:.0e} is allowed: {why}; shorten its span"
        )
    y1, gradient_y0, gradient_parameters = (each.numpy() for each in found)
    return Truth(y1, gradient_y0, gradient_parameters, agreement, route)


def _stopping(bound: Bound, breaks: tuple[float, ...]) -> Bound:
    """The same problem, landed on where f is not smooth in t, which no tolerance otherwise gets over cheaply."""
    t0, t1 = bound.ts[0], bound.ts[-1]
    inside = {t for t in breaks if min(t0, t1) < t < max(t0, t1)}
    if not inside:
        return bound
    ts = sorted(inside.union(bound.ts), reverse=t1 < t0)
    saved, loss = [ts.index(t) for t in bound.ts], bound.loss
    return replace(bound, ts=tuple(ts), loss=lambda ys: loss(ys[saved]))


_Answer = tuple["Tensor", "Tensor", "Tensor"]  # y1, dL/dy0, dL/dθ flattened


def _by_closed_form(posed: Posed, bound: Bound) -> tuple[_Answer, _Answer | None, str]:
    import torch

    from odebench.problems.torch_field import TorchArrays
    from odebench.reference import Extrapolation

    y0 = bound.y0.detach().double().requires_grad_()
    exact, t0 = posed.problem.exact, bound.ts[0]
    with torch.enable_grad():
        ys = torch.stack([exact(TorchArrays, t0, t, y0, bound.params) for t in bound.ts])
        gradients = torch.autograd.grad(bound.loss(ys), (y0, *bound.params), materialize_grads=True)
    answer = (ys[-1].detach(), gradients[0], _flat(gradients[1:]))
    try:
        return (
            answer,
            _solved(bound, Extrapolation(6, 1e-13, max_steps=_CHECK_STEPS)),
            "closed form, checked by extrapolation",
        )
    except SolveError as error:
        return answer, None, f"closed form, unchecked: {error}"


def _by_reference(bound: Bound) -> tuple[_Answer, _Answer, str]:
    from odebench.reference import Extrapolation

    # Order 12 at 1e-13 stays clear of rounding, which higher orders amplify into rejected steps.
    fine, coarse = _solved(bound, Extrapolation(6, 1e-13)), _solved(bound, Extrapolation(7, 1e-12))
    if _agreement(fine, coarse) <= WORST_AGREEMENT:
        return fine, coarse, "extrapolation of order 12 at 1e-13, checked by order 14 at 1e-12"
    # What is left is a field with kinks, such as relu's, or a problem that no tolerance can help.
    unit = abs(bound.ts[-1] - bound.ts[0])
    fine, coarse = (_solved(bound, Extrapolation(columns, 1e-13, unit)) for columns in (5, 4))
    return fine, coarse, "extrapolation of order 10 at 1e-13 per span, checked by order 8"


def _by_collocation(bound: Bound) -> tuple[_Answer, _Answer, str]:
    from odebench.stiff_reference import Collocation

    fine, coarse = _solved(bound, Collocation(7, 1e-9)), _solved(bound, Collocation(5, 1e-8))
    return fine, coarse, "Radau IIA of order 13 at 1e-9, checked by order 9 at 1e-8"


def _solved(bound: Bound, how: Extrapolation | Collocation) -> _Answer:
    import torch

    from odebench import reference, stiff_reference

    solver: Any = reference if isinstance(how, reference.Extrapolation) else stiff_reference
    solution = solver.solve(bound.f, bound.y0.detach().double(), bound.ts, how)
    ys = solution.ys.requires_grad_()
    with torch.enable_grad():
        (ys_bar,) = torch.autograd.grad(bound.loss(ys), ys)
    y0_bar, params_bar = solver.pull_back(bound.f, bound.params, solution, ys_bar, how)
    return ys[-1].detach(), y0_bar, _flat(params_bar)


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    import torch

    return torch.cat([each.reshape(-1) for each in tensors]) if tensors else torch.zeros(0, dtype=torch.float64)


def _agreement(found: _Answer, other: _Answer) -> float:
    import torch

    pairs = [(found[0].reshape(-1), other[0].reshape(-1)), (_flat(found[1:]), _flat(other[1:]))]
    gaps = [(torch.linalg.vector_norm(a - b), torch.linalg.vector_norm(a)) for a, b in pairs]
    return max(0.0 if gap == 0 else float(gap / size) for gap, size in gaps)


def _write(truth: Truth, path: Path) -> None:
    """Under another name first, so that no reader and no crash meets half a file."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".npz", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                **{name: getattr(truth, name) for name in _ARRAYS},
                agreement=np.float64(truth.agreement),
                route=np.str_(truth.route),
                checksum=np.str_(_checksum(truth)),
            )
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _checksum(truth: Truth) -> str:
    arrays = b"".join(repr(a.shape).encode() + a.tobytes() for a in (getattr(truth, name) for name in _ARRAYS))
    return hashlib.sha256(arrays + f"{truth.agreement!r} {truth.route}".encode()).hexdigest()


def _canonical(spec: Spec, posed: Posed) -> dict[str, Any]:
    """Every option, defaults filled in; saved times only where the loss sees them."""
    entry, given = problems.get(spec.name), dict(spec.options)
    options = {name: given.get(name, option.default) for name, option in entry.options.items()}
    del options["span"], options["saves"]
    times = (posed.ts[0], posed.ts[-1]) if posed.end_alone else posed.ts
    return {"options": {name: repr(_plain(value)) for name, value in options.items()}, "times": times}


def _plain(value: Any) -> Any:
    """Numbers as floats, so that `rate: 1` and `rate: 1.0` are one problem."""
    if isinstance(value, (tuple, list)):
        return tuple(_plain(item) for item in value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _digest_of_sources(problem: Any) -> str:
    digest = hashlib.sha256()
    own = getattr(sys.modules.get(type(problem).__module__), "__file__", None)
    for path in (*(Path(__file__).parent / source for source in _SOURCES), *([Path(own)] if own else [])):
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _versions() -> list[str]:
    from importlib.metadata import version

    return [version("torch"), version("numpy")]
