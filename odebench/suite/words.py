"""A sentence or two about every key of a suite, and about options whose entry says nothing: hovers of the schema,
`explain`, and the comments of a starter all say the same."""

from __future__ import annotations

import inspect
import re

from odebench.registry import Entry, Option

# The way to a key, as `explain` takes it.
KEYS: dict[str, str] = {
    "name": "Names the suite in every row, and the results folder.",
    "kind": "`benchmark`, which solves and differentiates, or `train`, which trains models; benchmark by default.",
    "description": "One sentence: what the suite asks. `odebench list suites` shows it.",
    "problems": "The initial-value problems, by name or with options; with `kind: train` the models. "
    "`odebench list problems` shows all.",
    "solvers": "The one-step methods, of odebench or of another library: rk4, torchdiffeq.dopri5. "
    "`odebench list solvers` shows all.",
    "gradients": "How dL/dy0 and dL/dθ are got. `odebench list gradients` shows all; direct by default.",
    "stepping": "`fixed` with `steps` or `dt`, or `adaptive` with `rtol` and `atol`.",
    "devices": "cpu, cuda, cuda:N, or auto, which is cuda where there is one; cpu by default.",
    "dtypes": "float64 or float32, of the state and of the parameters; float64 by default.",
    "batches": "Rows of the state, solved together; 1 by default. Row 0 is the problem's published start.",
    "seeds": "Of the starts in a batch and of neural parameters; 0 by default.",
    "regularisers": "Of `kind: train`: terms added to the loss, each with every model; `none` is no term.",
    "exclude": "Squares to leave out of the product: those that agree with a rule on every axis it names. A bare name "
    "means every configuration of that name; a rule that matches nothing is an error.",
    "measure": "How cells are measured. No part of what a cell is: a run can be repeated with more repeats.",
    "measure.repeats": "Timed repeats; 6 are the fewest that give a 95 % interval of the median. 10 by default.",
    "measure.warmup": "Solves before the timed ones; `auto` repeats until it has run 0.2 s or three times.",
    "measure.timeout": "Seconds that one cell may take before it is ended, and recorded as timed_out; 120 by default.",
    "measure.threads": "Threads that torch may use in a cell; 1 by default, which is steadiest.",
    "measure.tf32": "Whether CUDA may multiply float32 in TF32, which is faster and keeps some three digits.",
    "measure.deterministic": "Whether torch is told to use deterministic algorithms only.",
    "measure.match_error": "An error to meet: the loosest tolerance, or the fewest steps, that meets it is searched, "
    "and measured. What is cheapest at equal accuracy shows this way, whatever the libraries mean by a tolerance.",
    "measure.match": "The error that match_error is about: solution_error, or gradient_error.",
    "measure.beside": "A solver, gradient and stepping, or some of them, the others being the row's own: what each row "
    "is timed beside, in the same rounds. beside_ratio is the time of the row over that.",
    "train": "Of `kind: train`: how the models are trained.",
    "train.steps": "Optimiser steps; 200 by default.",
    "train.optimiser": "adam, adamax, adamw, rmsprop or sgd; the model's own choice by default.",
    "train.lr": "Learning rate; the model's own by default.",
    "train.lr_end": "The learning rate falls to this exponentially; it stays as it is by default.",
    "train.momentum": "Of sgd and rmsprop; 0.9 by default.",
    "train.weight_decay": "Of the optimiser; 0 by default.",
    "train.evaluate_every": "Steps between two looks at held-out data; a tenth of all by default.",
    "train.target": "A quality whose time is told: seconds_to_target.",
    "train.checkpoint_every": "Seconds between two checkpoints, from which a killed run goes on; 10 by default.",
    "plugins": "Python files, relative to the suite, or modules, that register solvers, problems and so on when they "
    "are imported; nothing else in a suite can run code.",
}

# Of options whose entry does not name them in its docstring, or not so that one sentence can stand alone. Looked up as
# `alf.eta` (one entry), as `gradient.solver` (one kind), then by the option's bare name.
OPTIONS: dict[str, str] = {
    "span": "[t0, t1], the start and the end of time; the problem's own by default.",
    "saves": "Equal intervals between the times at which the solution is wanted; 1 is t0 and t1 only.",
    "loss_at": "Σ y² of the end alone, or of every saved time, the start among them; of problems whose loss that is.",
    "growth.alpha": "The rate.",
    "van_der_pol.convention": "`standard` is x'' = mu·(1 - x²)·x' - x; `aca`, as in that paper, (mu - x²)·x' - x.",
    "linear_system.eigenvalues": "The real parts; as many as the state has components, but for `frequencies`.",
    "dim": "Components of the state; of neural_hamiltonian those of q, and as many of p.",
    "hidden": "Width of the hidden layers, or their channels.",
    "depth": "Hidden layers.",
    "activation": "Between the layers.",
    "one_stiff.dim": "Components of z.",
    "augment": "Components added to the state that start at 0.",
    "width": "Width of F's hidden layer.",
    "observations": "Points of each path.",
    "kernel": "Width of the convolution's kernel, odd.",
    "size": "Pixels along each side.",
    "channels": "Of the images.",
    "eta": "Damping: 1 is none, and of second order; below 1 it is of first order, and its inverse amplifies rounding "
    "by 1/|1 - 2·eta| each step.",
    "base": "The scheme that is wrapped, one of odebench's own that carries no more than y.",
    "coupling": "The paper's λ in (0, 1]: its inverse amplifies rounding by 1/λ each step, and 1 is hardly stable.",
    "linear": "How Newton's linear systems are solved: dense, by krylov, or as their size suggests (auto).",
    "jacobian": "Where the Jacobian comes from: autograd (autodiff), or differences of f where autograd has none.",
    "tolerance": "Newton's method ends at this relative error of every component; that of rounding by default.",
    "joint": "Whether torchode's adjoint takes the batch for one system, or each row by itself.",
    "seminorm": "Leave dL/dθ out of the norm by which the backward solve chooses its steps.",
    "gradient.solver": "The scheme that goes back; that of the forward pass by default.",
    "gradient.rtol": "Relative tolerance of the way back; that of the stepping by default.",
    "gradient.atol": "Absolute tolerance of the way back; that of the stepping by default.",
    "steps": "Equal steps over the whole span; a multiple of `saves`.",
    "dt": "Length of a step; the one before a saved time is shorter.",
    "rtol": "Tolerated local error of a step, relative to the solution.",
    "atol": "Tolerated local error of a step, absolute.",
    "controller": "How the next step follows from the errors of the last ones: i, pi or pid.",
    "safety": "What share is taken of the step that would just meet the tolerance.",
    "min_factor": "The least that a step may shrink to, as a share of the one before.",
    "max_factor": "The most that a step may grow to, as a multiple of the one before.",
    "first_step": "Length of the first step; by default one found from two evaluations.",
    "max_steps": "Trials after which a solve is given up, those that land on a saved time left out.",
    "norm": "How the error is measured over the whole batch: rms or max.",
    "min_step": "No step is shorter, but to land on a saved time, whatever its error.",
    "max_step": "No step is longer, but by up to 0.1 % to land on a saved time.",
    "per_sample": "Every sample of the batch takes steps of its own, as if it were solved alone; with explicit "
    "Runge–Kutta schemes, and the gradients direct, aca, recursive and symplectic.",
    "carry": "Each piece of the way back begins with the step that the one before it would have tried next, and does "
    "not search for one, as in `odeint` and `odeint_adjoint`; the last two steps before a landing are equally long.",
    "regulariser": "A term added to the loss; `odebench list regularisers` shows all.",
    "weight": "What the term is multiplied by in the loss.",
    "weight_end": "The weight falls to this over training; it stays as it is by default.",
    "rnode.kinetic": "Weight of the kinetic term.",
    "rnode.jacobian": "Weight of the Jacobian term.",
    "form": "`text` as the paper has it, `code` as the released code does.",
    "figure": "What is sampled: the error estimate, or the stiffness estimate.",
}

_SENTENCES = re.compile(r"(?<=[.;]) (?=[A-Z`λ])")


def about_option(entry: Entry, option: Option) -> str:
    """What an option does: of the table above, else the sentence of the entry's docstring that names it."""
    for name in (f"{entry.name}.{option.name}", f"{entry.kind}.{option.name}", option.name):
        if name in OPTIONS:
            return OPTIONS[name]
    return _sentence(entry, rf"`{re.escape(option.name)}`") or _sentence(
        entry, rf"(?<!\w){re.escape(option.name)}(?!\w)"
    )


def about_entry(entry: Entry, name: str) -> str:
    """The summary of an entry; of an alias, what it stands for."""
    also = f"The same as {entry.name}. " if name != entry.name else ""
    return f"{also}{entry.summary}".strip()


def _sentence(entry: Entry, pattern: str) -> str:
    """The first sentence of the docstring that matches."""
    text = re.split(r"\n\s*(?:Raises|Returns|Args):", inspect.getdoc(entry.factory) or "")[0]
    for paragraph in text.split("\n\n"):
        for sentence in _SENTENCES.split(" ".join(paragraph.split())):
            if re.search(pattern, sentence):
                return sentence.removesuffix(";").removesuffix(".") + "."
    return ""
