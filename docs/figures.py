"""Runs the shipped suites and writes docs/figures.md from what they gave: `make figures`.

`python docs/figures.py tolerances per_sample` makes the sections of these suites alone, and leaves the others as they
stand. Results are kept in results/figures/SUITE; what was measured there already is not measured again. Times differ
from machine to machine and run to run; counts, bytes and float64 errors do not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from figures_accuracy import orders, stiff, tolerances
from figures_costs import apart, costs, memory, overhead
from figures_gradients import adjoint, damping, exactness
from figures_peers import matched, peers, told
from figures_reversal import horizon, reversal, toy
from figures_table import ROOT, Section, records_of, when
from figures_training import by_tolerance, gradients, models, regularisers
from figures_training import memory as memory_of_training

from odebench.errors import OdebenchError
from odebench.registry import load_builtins

PAGE = ROOT / "docs" / "figures.md"
MARK = re.compile(r"^<!-- figures: (\w+) -->\n", re.MULTILINE)

HEAD = (
    "# Figures\n\nMade by `make figures` from the suites that ship with odebench; each section names its own, and says "
    "when it was made and by what. One that does not is older than those that do. Float64 on a CPU unless it says "
    "otherwise."
)

SECTIONS = (
    Section(
        "orders", "Observed order", "order",
        "Least-squares slope of log `solution_error` over log steps, over the errors between 1e-3 and 1e-11. "
        "`coupled` over euler mixes two error terms of opposite sign: its slope is reported and means little.", orders,
    ),
    Section(
        "tolerances", "What a tolerance buys", "tolerances",
        "`solution_error` / evaluations of f in the forward solve, beside SciPy's `solve_ivp` by DOP853 at the same "
        "tolerance, in the same norm, run on the same field. In bold: more than ten times its error. What a tolerance "
        "bounds is the estimated error of a step, and what is compared is what has gathered at the end. Lower orders "
        "take more steps for the same tolerance and gather more; and DOP853 often ends well below the tolerance, which "
        "they do not. Both stand in the second table. SciPy's `RK45`, the pair of `dopri5`, misses by about as much "
        "wherever `dopri5` does. Order 5 at 1e-12 is left out on the last three problems.", tolerances,
    ),
    Section(
        "stiff", "Stiff problems", "stiff",
        "The implicit solvers, and what an explicit one pays on spans so short that it gets to the end. "
        "`solution_error` and `gradient_error` are against Radau IIA of order 13, which shares no code with the "
        "solvers. On van der Pol over [0, 2000], and of `dopri5` on Robertson, the gradient is that of the steps to "
        "rounding and not that of the ODE: with its steps held still such a solve is sensitive in a way that the flow "
        "is not. Over [0, 1e11] no truth is to be had for the gradient of Robertson, and what is compared is its end, "
        "below.", stiff,
    ),
    Section(
        "exactness", "Every solver × every gradient", "exactness",
        "`gradient_error_discrete` in float64, of a neural field and for the schemes that ask for two halves of the "
        "state of a neural Hamiltonian: against backpropagation through the very same steps. In brackets are pairs "
        "that claim no such thing: the continuous adjoint in its three forms discretises another equation; "
        "`direct(control=True)` at adaptive steps adds the gradient of how they were chosen; `ees25`, `ees27` and "
        "`backstep` are undone to an order of dt only, so that `reversible` goes over states that are a little off. "
        "`vern6` is furthest from rounding of those that are exact: it adds up with weights of 177 that cancel. A "
        "letter is a refusal, told below.", exactness,
    ),
    Section(
        "damping", "What damping costs", "exactness",
        "`gradient_error_discrete` of `reversible`. Undoing a damped step amplifies rounding, by |1 − 2η|⁻¹ or by λ⁻¹ "
        "each; with `reset` the way back begins anew every so many steps.", damping,
    ),
    Section(
        "adjoint", "The adjoint against the step", "exactness",
        "The continuous adjoint is inexact by discretisation. Its error falls at the order of its scheme; a high-order "
        "one reaches rounding. Against the steps that were taken some schemes converge faster than against the truth.",
        adjoint,
    ),
    Section(
        "reversal", "Who gets back to where it started", "reverse_accuracy",
        "`reverse_error`. A flow that contracts by eᶜ turns rounding of 2⁻⁵³ into 2⁻⁵³·eᶜ on the way back, for any "
        "method that stores nothing; c is the largest −∫ div f over a part of the trajectory, computed here from the "
        "field. On the way there the parasitic root of a scheme without damping (`alf`, `reversible_heun`, `coupled` "
        "with λ near 1) grows by the same eᶜ from a start of the size of its error, and where that passes 1 the cell "
        "has `diverged`: everything is lost. In more than two dimensions div f bounds the loss from below only.",
        reversal,
    ),
    Section(
        "costs", "What a gradient costs, by formula and by count", "gradient_costs",
        "`nfe_backward` and `graph_bytes`, what is held between the passes without the solution itself, at N = 1000 "
        "steps of a batch of 8 numbers; in bold where a count is not the formula's. `direct` holds what autograd "
        "saves, which is a matter of f. c checkpoints let N steps be taken back with none of them taken more than r "
        "times, r the least with C(c + r, c) ≥ N; with N foreseen `recursive` takes anew the binomial optimum, and "
        "otherwise no more than the optimum would with its forward pass.", costs,
    ),
    Section(
        "memory", "Memory against steps", "memory_vs_steps",
        "`peak_memory_bytes`, forward plus backward, exact.", memory,
    ),
    Section(
        "apart", "One stiff sample in a batch of 64", "per_sample",
        "A batch that steps as one takes the steps of its worst sample for every sample; with `per_sample` each takes "
        "its own, and f is evaluated on those that are not done. Rows are what f was given over all its calls, forward "
        "+ backward. The batch of 1 is the stiff sample by itself. The adjoint solves the batch back as one system, "
        "and is refused with `per_sample`.", apart,
    ),
    Section(
        "toy", "The toy problem of the MALI paper", "mali_toy",
        "dz/dt = αz with α = 0.1, L = z(T)², against the analytic gradient. At the same solver and tolerance all exact "
        "gradients are the same number, and the error is that of the forward solve.", toy,
    ),
    Section(
        "horizon", "Where reversibility breaks", "long_horizon",
        "`reverse_error` on a pendulum, T = 10, which contracts nothing: what is lost here is lost by damping, as "
        "|1 − 2η|⁻ᴺ and λ⁻ᴺ.", horizon,
    ),
    Section(
        "overhead", "Overhead", "overhead",
        "Solve over a bare loop of the same evaluations, alternated in the same rounds, on one thread: an MLP of batch "
        "128, dim 64, hidden 64 in float32. Below 1 backpropagation through the whole solve is cheaper than as many "
        "single VJPs.", overhead,
    ),
    Section(
        "peers", "The libraries people use", "peers",
        "`wall_ratio`: this row over the native row of the same tableau and gradient, alternated in the same rounds; "
        "above 1 the native solver is faster. Peak bytes of `diffrax` are XLA's own figure for the compiled call, not "
        "the gauge of the other rows; its `overhead` is over a bare loop compiled by XLA.", peers,
    ),
    Section(
        "told", "Counted, not believed", "peers",
        "The evaluations that a library reports of its own, and those counted by instrumenting f. Only torchode "
        "reports any: its backsolve adjoint of each sample by itself goes round its own counter. Steps of peers are as "
        "they tell them.", told,
    ),
    Section(
        "matched", "At equal accuracy", "matched_accuracy",
        "The loosest tolerance, or the fewest steps, at which the error meets the target, searched for each row, and "
        "what forward and backward cost there. `gradient 1e-6` matches the error of the gradient, all others that of "
        "the solution. The neural field is `mlp(dim=16, hidden=32, span=[0.0, 10.0])`; the gradient is backpropagation "
        "where none is named. Rows are measured one after the other, not paired, those in torch on `arenstorf` once "
        "only: times that are near one another say nothing. Only `wall_ratio`, over the native row of the same tableau "
        "at the same tolerance, is of alternated rounds. Compilation is in no time here.", matched,
    ),
    Section(
        "trained", "The same training run under every gradient", "odenet",
        "The classifier on digits, from the same start on the same minibatches. Loss over 50 steps: the largest "
        "relative difference from the first row of the solver, over the seeds. Exact gradients differ by rounding, "
        "which training then amplifies; the adjoint follows a curve of its own. Accuracy is on held-out images, the "
        "mean over three seeds ± half its 95 % interval. The time of a step is over that of the solver's first row, "
        "cells being timed two at a time and not in turns: read it as coarse. The gradient error is against dopri8 at "
        "1e-9, before and after training. The classifier with convolutions is there for its accuracy against the "
        "ResNet of the same layers, in brackets.", gradients,
    ),
    Section(
        "tolerance", "Evaluations in training, by tolerance", "odenet_tolerance",
        "What figure 3 of Chen et al. (2018) draws. Their solver is an implicit Adams method, for which evaluations "
        "backward were about half of those forward; of these explicit schemes under the continuous adjoint they are "
        "not. Evaluations are of a step of training, times the medians of a step, two cells at a time.", by_tolerance,
    ),
    Section(
        "training_memory", "Memory in training", "train_memory",
        "Peak bytes of one gradient of the minibatch's loss, above the model and the optimiser, by the steps of its "
        "solve.", memory_of_training,
    ),
    Section(
        "regularised", "What regularisers buy", "regularisers",
        "Means over three seeds ± half their 95 % interval. Quality is accuracy of the classifier, rms error of the "
        "latent ODE's extrapolation, and nats of the flow. Only evaluations in prediction compare across regularisers; "
        "training counts what a regulariser itself evaluates. Times are of two cells at a time, not in turns. The "
        "local regularisers' published ratios of evaluations in prediction are 0.60 to 0.62 on MNIST at 1.4e-8, "
        "0.71 to 0.77 on CIFAR-10 and 0.56 to 0.61 on PhysioNet (Pal et al. 2023), after thousands of steps. After 200 "
        "steps here they save as much on the flow, at a cost in nats, and nothing on the other two. Our reading, not "
        "measured: one step of "
        "Hairer's first length, at one random place, is a noisy figure, and at a weight at which it acts within 200 "
        "steps it also spoils the fit. The error of all steps, `ernode`, saves more. `srnode` "
        "takes the stages of each step itself, and is refused with dense output.",
        regularisers,
    ),
    Section(
        "flows", "Densities", "cnf",
        "Nats per held-out sample by the exact trace, beside a Gaussian mixture fitted by scikit-learn to the same "
        "training samples (the reference); `inverse_error` is of the flow there and back.", models,
    ),
    Section(
        "fields", "Kinds of vector fields", "vector_fields",
        "Two annuli told apart. Where paths may not cross, evaluations climb.", models,
    ),
    Section(
        "latent", "A latent ODE against an RNN", "latent_ode",
        "Rms error on the hundred points that follow the observed stretch of a spiral, noise left out. The latent "
        "ODE's extrapolation hangs on the seed, as the intervals say: some runs find a field that goes on turning, "
        "others one that does not. The network is rolled out well where it was trained on the very steps it takes "
        "then, which is so at 100 observations of 100 times.", models,
    ),
)  # fmt: skip


def standing(page: str) -> dict[str, str]:
    """The sections of a page as they stand, by name."""
    parts = MARK.split(page)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def made(section: Section) -> str:
    """One section anew, its suite run if need be."""
    records = records_of(section.suite)
    source = f"`odebench run {section.suite}`, {when(records)}"
    return f"## {section.title}\n\n{section.words}\n\n{source}\n\n{section.make(records)}\n"


def asked(names: Sequence[str]) -> list[Section]:
    """The sections of the suites named, or of all.

    Raises:
        SystemExit: a name is that of no suite of the page.
    """
    known = dict.fromkeys(section.suite for section in SECTIONS)
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"{', '.join(unknown)}: no suite that the figures are made of; those are {', '.join(known)}")
    return [section for section in SECTIONS if not names or section.suite in names]


def written(page: str, section: Section | None = None) -> str:
    """The page with this section made anew, and the others as they stand on `page`."""
    texts = standing(page) | ({} if section is None else {section.name: made(section)})
    kept = (f"<!-- figures: {each.name} -->\n{texts[each.name]}" for each in SECTIONS if each.name in texts)
    return "\n\n".join(part.rstrip("\n") for part in (HEAD, *kept)) + "\n"


def main(names: Sequence[str], page: Path = PAGE) -> None:
    """Write the page, section by section."""
    torch.set_num_threads(1)
    load_builtins()
    for section in asked(names):
        before = page.read_text(encoding="utf-8") if page.exists() else ""
        page.write_text(written(before, section), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OdebenchError as error:
        raise SystemExit(str(error)) from error
