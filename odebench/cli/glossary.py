"""Words that odebench prints and that are in no registry: what they mean, and what to do about them. Data only."""

from __future__ import annotations

# Columns of a record that are no figures; figures are metrics.
COLUMNS: dict[str, str] = {
    "suite": "The name of the suite that the cell is of.",
    "cell": "problem/solver/gradient/stepping/device/dtype/batch/seed in canonical spelling, whatever the order of the "
    "suite and however it is measured. It is what `compare` and `--resume` know a cell by.",
    "problem": "The initial-value problem with the options that were given; of `kind: train` the model.",
    "solver": "The one-step method with the options that were given.",
    "gradient": "How dL/dy0 and dL/dθ were got.",
    "stepping": "fixed (steps or dt) or adaptive (rtol, atol …).",
    "device": "Where it was computed.",
    "dtype": "Of the state and of the parameters.",
    "batch": "Rows of the state, solved together; row 0 is the problem's published start.",
    "seed": "Of the starts of the other rows, and of neural parameters.",
    "status": "How the cell ended: ok, refused, diverged, out_of_memory, timed_out, crashed or failed.",
    "reason": "One sentence where the status is not ok.",
    "plugin_digest": "A digest of the sources of the plugins behind the row; empty where there is none. The same code "
    "at another place has the same digest; after an edit, in a helper module too, it is another.",
    "machine": "The processor, its cores, GPUs, and a digest of all that may decide a time. Do not compare times of "
    "different machines.",
    "commit": "The git commit of the folder that the run was started in; `-dirty` where tracked files differed.",
    "version": "The version of odebench.",
    "started": "When the cell was started, UTC.",
}

STATUSES: dict[str, str] = {
    "ok": "Measured to the end.",
    "refused": "The combination cannot be computed, which is known before anything runs; the reason says why. It is no "
    "failure: a matrix has no silent holes.",
    "diverged": "The solution or the gradient is not finite. What was measured up to then stays. Take smaller steps, "
    "or a more stable scheme.",
    "out_of_memory": "The worker ran out of memory: take a smaller batch, fewer steps, or a gradient that holds less.",
    "timed_out": "The cell took longer than `measure.timeout`: raise it with --timeout, or make the cell smaller.",
    "crashed": "The worker ended before it answered, by a signal or by leaving; the reason has its last words.",
    "failed": "Something raised: the reason has what and where.",
}

VERDICTS: dict[str, str] = {
    "worse": "Above the base by more than the margin. Where it is gated, the gate closes: exit 1.",
    "better": "Below the base by more than the margin.",
    "same": "Within the margin; of what repeats exactly, equal.",
    "cannot tell": "Too few samples, or too much noise, for the margin. With --strict it is exit 4; more time, a "
    "quieter machine (`odebench doctor`) or a wider margin tells.",
    "new": "The cell is not in the base.",
    "missing": "The cell is in the base and not here; the gate closes on it.",
    "pass": "Of `check`: the claim holds.",
    "fail": "Of `check`: the claim does not hold; exit 1.",
    "skipped": "Of `check`: it could not be looked at here; the line says why.",
    "planned": "Of a dry run: the cell would be measured.",
}

STATES: dict[str, str] = {
    "fine": "Of `doctor`: nothing to do.",
    "mind": "Of `doctor`: times are less sure for it; counts, bytes and errors are not concerned.",
    "spoils": "Of `doctor`: times measured now are not worth much; do what the line says first.",
    "unknown": "Of `doctor`: the system does not say.",
    "told": "Of `doctor`: neither good nor bad.",
}

GROUPS: dict[str, str] = {
    "exact": "Steps, evaluations and bytes: they repeat to the last digit, so any change is one.",
    "errors": "All errors: they repeat on one machine; on another the last digits differ.",
    "times": "Seconds, overheads and ratios of them: they never repeat.",
}
