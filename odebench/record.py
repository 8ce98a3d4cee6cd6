"""Cells and what they gave, as they are written and read. Torch-free; versioned JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from odebench.spec import Spec

FORMAT = 1  # of one line of records.jsonl; readers accept every number up to this one

STATUSES = ("ok", "refused", "diverged", "out_of_memory", "timed_out", "crashed", "failed")

MATCHES = ("solution_error", "gradient_error")  # what `Measure.match` may be

AXES = ("problem", "solver", "gradient", "stepping", "device", "dtype", "batch", "seed")

# Figures of one cell, in the order of the columns. Base units: seconds, bytes, counts, plain numbers.
METRICS = (
    "steps", "rejected", "steps_backward", "rejected_backward",
    "nfe_forward", "nfe_backward", "vjp_forward", "vjp_backward", "work",
    "forward_seconds", "backward_seconds", "wall_seconds", "wall_seconds_low", "wall_seconds_high", "repeats",
    "overhead_forward", "overhead", "wall_ratio", "first_call_seconds",
    "peak_memory_bytes", "peak_requested_bytes", "graph_bytes", "process_peak_bytes",
    "solution_error", "reverse_error",
    "gradient_error", "gradient_error_y0", "gradient_error_parameters", "gradient_error_discrete",
)  # fmt: skip

# Of training runs, besides; they follow the columns of the contract in the order they appear. A workload adds its own.
TRAINED = (
    "loss", "quality", "quality_reference", "nfe_predict", "predict_seconds", "train_steps", "train_seconds",
    "seconds_to_target", "gradient_error_start", "hardness_steps", "stiffness", "regulariser_ratio", "regulariser_nfe",
)  # fmt: skip

# Of a batch, besides: the rows that f was evaluated on, and, of samples that step by themselves, their steps.
SAMPLED = ("rows_forward", "rows_backward", "steps_fewest", "steps_mean")

# Of a cell that is timed beside another pair, besides.
PAIRED = ("beside_ratio", "beside_ratio_low", "beside_ratio_high")

# Where a row comes from; `plugin_digest` is of the sources of the plugins behind it, empty where there is none.
ABOUT = ("plugin_digest", "machine", "commit", "version", "started")

COLUMNS = ("suite", "cell", *AXES, "status", "reason", *METRICS, *ABOUT)

# What people type for columns, in `--columns`, `--sort` and `--fail-on`; a short name may stand for several.
ALIASES: dict[str, tuple[str, ...]] = {
    "nfe": ("nfe_forward", "nfe_backward"),
    "vjp": ("vjp_backward",),
    "forward": ("forward_seconds",),
    "backward": ("backward_seconds",),
    "wall": ("wall_seconds",),
    "interval": ("wall_seconds_low", "wall_seconds_high"),
    "first_call": ("first_call_seconds",),
    "memory": ("peak_memory_bytes",),
    "requested": ("peak_requested_bytes",),
    "graph": ("graph_bytes",),
    "process": ("process_peak_bytes",),
    "discrete": ("gradient_error_discrete",),
    "errors": ("solution_error", "reverse_error", "gradient_error", "gradient_error_discrete"),
}


@dataclass(frozen=True)
class Cell:
    """One problem × solver × gradient × stepping × device × dtype × batch × seed of one suite."""

    suite: str
    problem: Spec
    solver: Spec
    gradient: Spec
    stepping: Spec
    device: str = "cpu"
    dtype: str = "float64"
    batch: int = 1
    seed: int = 0

    @property
    def key(self) -> str:
        """Canonical spelling; independent of the order of the suite and of how it is measured."""
        return "/".join(str(getattr(self, axis)) for axis in AXES)

    def to_data(self) -> dict[str, Any]:
        """JSON-ready; `from_data` reads it back."""
        data: dict[str, Any] = {"suite": self.suite}
        for axis in AXES:
            value = getattr(self, axis)
            data[axis] = value.to_data() if isinstance(value, Spec) else value
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Cell:
        problem, solver, gradient, stepping = (Spec.from_data(data[axis]) for axis in AXES[:4])
        device, dtype, batch, seed = (data[axis] for axis in AXES[4:])
        return cls(data["suite"], problem, solver, gradient, stepping, device, dtype, batch, seed)


@dataclass(frozen=True)
class Beside:
    """The solve that a cell is timed beside: the cell's own, but for what is named here."""

    solver: Spec | None = None
    gradient: Spec | None = None
    stepping: Spec | None = None

    def of(self, cell: Cell) -> Cell:
        """The cell that is timed beside `cell`."""
        solver, gradient, stepping = self.solver, self.gradient, self.stepping
        return replace(
            cell,
            solver=solver or cell.solver,
            gradient=gradient or cell.gradient,
            stepping=stepping or cell.stepping,
        )

    @property
    def named(self) -> dict[str, Spec]:
        """Axis -> what is named."""
        pairs = (("solver", self.solver), ("gradient", self.gradient), ("stepping", self.stepping))
        return {axis: spec for axis, spec in pairs if spec is not None}

    def to_data(self) -> dict[str, Any]:
        """JSON-ready; `from_data` reads it back."""
        return {axis: spec.to_data() for axis, spec in self.named.items()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Beside:
        return cls(**{axis: Spec.from_data(spec) for axis, spec in data.items()})


@dataclass(frozen=True)
class Measure:
    """How cells are measured; no part of a cell's key."""

    repeats: int = 10
    warmup: int | str = "auto"
    timeout: float = 120.0
    threads: int = 1
    tf32: bool = False
    deterministic: bool = False
    match_error: float | None = None  # the tolerance or number of steps is searched until this error is met
    match: str = "solution_error"  # or gradient_error
    beside: Beside | None = None  # what is timed in the same rounds

    def to_data(self) -> dict[str, Any]:
        """JSON-ready; `from_data` reads it back. What is about matching or a pair beside is there only where wanted."""
        data = dict(vars(self)) | {"beside": None if self.beside is None else self.beside.to_data()}
        left_out = {"match", "match_error"} if self.match_error is None else set()
        return {key: value for key, value in data.items() if key not in left_out and (key, value) != ("beside", None)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Measure:
        beside = data.get("beside")
        return cls(**{**data, "beside": None if beside is None else Beside.from_data(beside)})


@dataclass(frozen=True)
class Training:
    """How the models of a suite of `kind: train` are trained; no part of a cell's key. None: as the workload has it."""

    steps: int = 200
    optimiser: str | None = None
    lr: float | None = None
    lr_end: float | None = None  # the rate falls to this, exponentially
    momentum: float = 0.9  # of sgd and rmsprop
    weight_decay: float = 0.0
    evaluate_every: int | None = None  # steps; None: a tenth of them
    target: float | None = None  # of the quality, for seconds_to_target
    checkpoint_every: float = 10.0  # seconds

    def to_data(self) -> dict[str, Any]:
        """JSON-ready; `Training(**data)` reads it back. Only what is not the default is there."""
        return {key: value for key, value in asdict(self).items() if value != getattr(Training, key)} | {
            "steps": self.steps
        }


OPTIMISERS = ("adam", "adamax", "adamw", "rmsprop", "sgd")


@dataclass(frozen=True)
class Record:
    """What one cell gave. `metrics` holds only what was measured; a figure may be inf or nan."""

    cell: Cell
    status: str
    reason: str = ""
    metrics: Mapping[str, float | int] = field(default_factory=dict)
    samples: Mapping[str, list[float]] = field(default_factory=dict)  # raw, per repeat
    mesh: list[float] = field(default_factory=list)  # nodes of the forward walk, n + 1 of n steps
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # threads, tf32, determinism, versions …
    machine: str = ""
    commit: str = ""
    version: str = ""
    started: str = ""
    curves: Mapping[str, list[float]] = field(default_factory=dict)  # of the way back, see `measure.curves`
    plugin_digest: str = ""
    plugins: list[Mapping[str, Any]] = field(default_factory=list)  # all that were loaded, as `Provenance.to_record`
