"""What each figure of a record means, for `list metrics` and `explain`. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from odebench.record import METRICS, PAIRED, SAMPLED, TRAINED
from odebench.registry import Entry, metrics


@dataclass(frozen=True)
class Figure:
    """A column of numbers: its base unit, and what is counted, weighed or compared."""

    name: str
    unit: str
    meaning: str


STEPS = "steps"
CALLS = "evaluations of f"
SECONDS = "seconds"
BYTES = "bytes"
RATIO = "ratio"
ERROR = "relative 2-norm"

MEANINGS: dict[str, tuple[str, str]] = {
    "steps": (STEPS, "Accepted steps of the forward solve; with `per_sample` those of the sample of the most trials."),
    "rejected": (STEPS, "Steps of the forward solve that were tried and thrown away."),
    "steps_backward": (STEPS, "Accepted steps of a backward solve, for gradients that have one; else empty."),
    "rejected_backward": (STEPS, "Steps of a backward solve that were tried and thrown away."),
    "nfe_forward": (
        CALLS,
        "Calls of f during the forward pass. One call on the whole batch counts 1; rejected steps and the probes that "
        "pick a first step count too. Counted by a wrapper around f in a pass of its own, never inferred.",
    ),
    "nfe_backward": (
        CALLS,
        "Calls of f during the backward pass: those that recompute, undo or solve again. 0 for `direct`.",
    ),
    "vjp_forward": (
        CALLS,
        "Cotangents passed through an evaluation of f in the forward pass; a JVP counts as one. They are the Jacobians "
        "of implicit schemes, one for each component; 0 for explicit ones.",
    ),
    "vjp_backward": (CALLS, "Cotangents passed through an evaluation of f in the backward pass; a JVP counts as one."),
    "work": (
        CALLS,
        "nfe_forward + nfe_backward + 2 * vjp_backward: what solve and gradient cost together, where passing a "
        "cotangent is taken for two evaluations. The Jacobians of implicit schemes come on top: see vjp_forward.",
    ),
    "forward_seconds": (SECONDS, "The forward pass with whatever the gradient keeps; median over the repeats."),
    "backward_seconds": (SECONDS, "The backward pass; median over the repeats."),
    "wall_seconds": (SECONDS, "Forward plus backward: the median of the sums, one sum per repeat."),
    "wall_seconds_low": (SECONDS, "Lower end of the 95 % interval of the median; empty below 6 repeats."),
    "wall_seconds_high": (SECONDS, "Upper end of the 95 % interval of the median; empty below 6 repeats."),
    "repeats": ("repeats", "Timed repeats behind the medians."),
    "overhead_forward": (
        RATIO,
        "The forward pass without a graph, over a bare loop of as many calls of the same f. Both alternate in the same "
        "rounds and the median of the paired ratios is told; 1.0 is the floor, and the machine cancels out.",
    ),
    "overhead": (
        RATIO,
        "Forward plus backward, over a bare loop with the same number of calls of f and of VJPs. The loop calls f at "
        "the fixed start with a fixed cotangent; 1.0 is the floor.",
    ),
    "wall_ratio": (
        RATIO,
        "For a solver of another library: its wall time over that of the native solver with the same tableau and "
        "gradient, alternated in the same rounds.",
    ),
    "first_call_seconds": (SECONDS, "The first solve of the process, with compilation and lazy set-up in it."),
    "peak_memory_bytes": (
        BYTES,
        "Peak of live tensor bytes during forward plus backward, above the floor before it; the gradients themselves "
        "are in it. Exact on a CPU; `max_memory_allocated` on a GPU.",
    ),
    "peak_requested_bytes": (
        BYTES,
        "The same peak before the GPU's allocator rounds up: the figure to compare with a CPU's peak_memory_bytes.",
    ),
    "graph_bytes": (
        BYTES,
        "Live tensor bytes when the forward pass has returned, above the floor and without the solution: what is held "
        "until the backward pass.",
    ),
    "process_peak_bytes": (BYTES, "High-water mark of the worker process, libraries and all; context only."),
    "solution_error": (
        ERROR,
        "||y(t1) - y*(t1)|| / ||y*(t1)|| over batch and components in float64, y* exact or of high precision.",
    ),
    "reverse_error": (
        ERROR,
        "How far the trajectory that the backward pass used strays from the forward one: the largest distance over "
        "times, over the largest norm. Before any reset to a stored value; 0 for methods that stored or recomputed.",
    ),
    "gradient_error": (
        ERROR,
        "||g - g*|| / ||g*|| over dL/dy0 and dL/dtheta together in float64, g* the true gradient of the ODE. It holds "
        "the error of the solver too: compare gradient_error_discrete.",
    ),
    "gradient_error_y0": (ERROR, "gradient_error of the part dL/dy0."),
    "gradient_error_parameters": (ERROR, "gradient_error of the part dL/dtheta."),
    "gradient_error_discrete": (
        ERROR,
        "The gradient against backpropagation through the very same steps: what the gradient method itself loses.",
    ),
}

OF_SAMPLES: dict[str, tuple[str, str]] = {
    "rows_forward": (
        "rows",
        "Rows of the state that f was evaluated on in the forward pass, added up over its calls, for a batch of more "
        "than one. It is nfe_forward * batch where all samples step together; with `per_sample` those that are done "
        "are not called for.",
    ),
    "rows_backward": ("rows", "Rows that f was evaluated on in the backward pass, added up over its calls."),
    "steps_fewest": (
        STEPS,
        "Accepted steps of the sample that took the fewest, with `per_sample`. The columns steps and rejected are then "
        "those of the sample of the most trials.",
    ),
    "steps_mean": (STEPS, "Accepted steps of a sample, the mean over the batch, with `per_sample`."),
}

OF_PAIRS: dict[str, tuple[str, str]] = {
    "beside_ratio": (
        RATIO,
        "Forward plus backward over those of the solve that `measure: {beside: …}` names, alternated in the same "
        "rounds; the median of the paired ratios. Empty where that solve is refused, with a note that says why.",
    ),
    "beside_ratio_low": (RATIO, "Lower end of the 95 % interval of beside_ratio; empty below 6 repeats."),
    "beside_ratio_high": (RATIO, "Upper end of the 95 % interval of beside_ratio; empty below 6 repeats."),
}

STEPS_OF_TRAINING = "steps of training"
OF_TRAINING: dict[str, tuple[str, str]] = {
    "loss": ("as the workload has it", "Mean training loss over the last tenth of the steps, without the regulariser."),
    "quality": (
        "as the workload has it",
        "On held-out data when training is over: accuracy, nats or rmse, as `explain WORKLOAD` says.",
    ),
    "quality_reference": ("as quality", "The quality of the workload's baseline on the same data, where it has one."),
    "nfe_predict": (CALLS, "Calls of f in one solve of the evaluation: what the trained model costs to use."),
    "predict_seconds": (SECONDS, "One evaluation on all the held-out data."),
    "train_steps": (STEPS_OF_TRAINING, "Steps of the optimiser that were taken."),
    "train_seconds": (SECONDS, "All steps of training together; evaluations and gauges are not in it."),
    "seconds_to_target": (
        SECONDS,
        "Training until an evaluation first met `train: {target: …}`; empty where none did.",
    ),
    "gradient_error_start": (
        ERROR,
        "gradient_error before the first step of training; the column without `_start` is that of the trained model.",
    ),
    "hardness_steps": (STEPS, "Accepted steps of tsit5 at rtol = atol = 1e-6 on the learned field, a solve."),
    "stiffness": (
        "1 / time",
        "The largest eigenvalue of the learned field by Shampine's estimate, largest over the steps of a solve.",
    ),
    "regulariser_ratio": (
        RATIO,
        "One gradient with the regulariser over one without, alternating; median of the paired ratios.",
    ),
    "regulariser_nfe": (CALLS, "Calls of f that the regulariser adds to the forward pass and the backward pass."),
}


def _factory(figure: Figure) -> Callable[[], Figure]:
    def build() -> Figure:
        return figure

    build.__doc__ = figure.meaning
    return build


for _name in (*METRICS, *SAMPLED, *PAIRED, *TRAINED):
    _unit, _meaning = (MEANINGS | OF_SAMPLES | OF_PAIRS | OF_TRAINING)[_name]
    _summary = _meaning.partition(". ")[0].rstrip(".") + "."
    metrics.add(Entry("metric", _name, _factory(Figure(_name, _unit, _meaning)), _summary))
