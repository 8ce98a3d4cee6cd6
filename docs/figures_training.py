"""Tables of docs/figures.md on training runs: gradients, tolerances, memory, regularisers, and the models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, median

from figures_table import measured, option, sci, table

from odebench.figures.grouping import grouped, regulariser_of, unregularised
from odebench.measure.statistics import mean_interval
from odebench.record import Record

FIRST = 50  # steps of training over which loss curves are compared


def over_seeds(records: Sequence[Record], metric: str, form: str = ".3g") -> str:
    """Mean ± half its 95 % interval over the seeds; the one figure of one seed."""
    found = [float(each.metrics[metric]) for each in records if metric in each.metrics]
    interval = mean_interval(found)
    if interval is None:
        return format(found[0], form) if found else ""
    return f"{interval[0]:{form}} ± {interval[1]:.1g}"


def mean(records: Iterable[Record], metric: str) -> float:
    """Over the seeds; nan where none has it."""
    found = [float(each.metrics[metric]) for each in records if metric in each.metrics]
    return fmean(found) if found else float("nan")


def gap(curve: Sequence[float], reference: Sequence[float]) -> float:
    """The largest relative difference of two loss curves over the first steps."""
    return max(abs(a - b) / abs(b) for a, b in zip(curve[:FIRST], reference[:FIRST], strict=True))


def gradients(records: Sequence[Record]) -> str:
    """One row for each solver and gradient: does the loss curve agree, what does it come to, and what does it cost."""
    rows = []
    runs = [each for each in measured(records) if each.status == "ok"]
    for of_solver in grouped(runs, lambda each: (each.cell.problem, each.cell.solver)):
        # What is exact and keeps every step comes first, and is what the others are held against.
        first = {each.cell.seed: each for each in of_solver if each.cell.gradient == of_solver[0].cell.gradient}
        for line in grouped(of_solver, lambda each: each.cell.gradient):
            cell, solved = line[0].cell, bool(line[0].metrics["nfe_forward"])
            base = first[line[0].cell.seed]
            gaps = [gap(each.samples["trained_loss"], first[each.cell.seed].samples["trained_loss"]) for each in line]
            rows.append((
                f"`{cell.solver}`" if solved else f"(`{cell.problem}`)",
                f"`{cell.gradient}`" if solved else "",
                ("reference" if cell.gradient == base.cell.gradient else sci(max(gaps))) if solved else "",
                over_seeds(line, "quality", ".4f"),
                f"{mean(line, 'nfe_forward'):.1f}" if solved else "",
                f"{mean(line, 'nfe_backward'):.1f}" if solved else "",
                f"{max(each.metrics['peak_memory_bytes'] for each in line) / 2**20:.1f}",
                f"{mean(line, 'wall_seconds') / mean(first.values(), 'wall_seconds'):.2f}" if solved else "",
                sci(median(each.metrics.get("gradient_error_start", float("nan")) for each in line)) if solved else "",
                sci(median(each.metrics.get("gradient_error", float("nan")) for each in line)) if solved else "",
                str(line[0].settings["parameters"]),
            ))  # fmt: skip
    head = (
        f"solver | gradient | loss over {FIRST} steps | accuracy | nfe forward | nfe backward | peak MiB | time ratio "
        "| gradient error, start | gradient error, end | parameters"
    )
    return table(head, rows)


def by_tolerance(records: Sequence[Record]) -> str:
    """One row for each solver and tolerance: Chen et al.'s three plots as numbers."""
    rows = []
    runs = [each for each in measured(records) if each.status == "ok"]
    least = min(each.metrics["wall_seconds"] for each in runs)
    for each in runs:
        forward, backward = each.samples["trained_nfe_forward"], each.samples["trained_nfe_backward"]
        rows.append((
            f"`{each.cell.solver}`",
            f"{option(each.cell.stepping, 'rtol'):g}",
            f"{fmean(forward[:10]):.1f}",
            f"{fmean(forward[-10:]):.1f}",
            f"{sum(backward) / sum(forward):.2f}",
            f"{each.metrics['wall_seconds'] / least:.2f}",
            f"{each.metrics['quality']:.4f}",
            sci(each.metrics.get("gradient_error")),
        ))  # fmt: skip
    head = (
        "solver | tolerance | nfe forward, first ten steps | last ten steps | nfe backward over forward | "
        "time of a step over the least | accuracy | gradient error at the end"
    )
    return table(head, rows)


def memory(records: Sequence[Record]) -> str:
    """Peak bytes of a step of training against the steps of the solve."""
    runs = [each for each in measured(records) if each.status == "ok"]
    steps = sorted({int(str(option(each.cell.stepping, "steps"))) for each in runs})
    rows = []
    for line in grouped(runs, lambda each: (each.cell.problem, each.cell.solver, each.cell.gradient)):
        at = {int(str(option(each.cell.stepping, "steps"))): each.metrics["peak_memory_bytes"] for each in line}
        cells = [f"{at[n]:,}" if n in at else "" for n in steps]
        cell = line[0].cell
        growth = f"×{at[steps[-1]] / at[steps[0]]:.2f}"
        rows.append((f"`{cell.problem.name}`", f"`{cell.solver}`", f"`{cell.gradient}`", *cells, growth))
    return table(f"model | solver | gradient | {' | '.join(f'{n} steps' for n in steps)} | growth", rows)


def regularisers(records: Sequence[Record]) -> str:
    """One row for each model and regulariser, ratios being over the same model without one."""
    rows = []
    for of_model in grouped(records, lambda each: unregularised(each.cell.problem)):
        bare = [each for each in of_model if regulariser_of(each.cell) is None and each.status == "ok"]
        for line in grouped(of_model, lambda each: regulariser_of(each.cell)):
            ok = [each for each in line if each.status == "ok"]
            name = str(regulariser_of(line[0].cell) or "none")
            model = f"`{unregularised(line[0].cell.problem)}`"
            if not ok:
                rows.append((model, f"`{name}`", line[0].status, *("",) * 6))
                continue
            rows.append((
                model,
                f"`{name}`",
                over_seeds(ok, "quality", ".4g") + (f" ({len(ok)} of {len(line)})" if len(ok) < len(line) else ""),
                over_seeds(ok, "nfe_predict", ".3g"),
                f"{mean(ok, 'nfe_predict') / mean(bare, 'nfe_predict'):.2f}",
                f"{mean(ok, 'predict_seconds') / mean(bare, 'predict_seconds'):.2f}",
                f"{mean(ok, 'train_seconds') / mean(bare, 'train_seconds'):.2f}",
                f"{mean(ok, 'regulariser_nfe'):.0f}" if any("regulariser_nfe" in each.metrics for each in ok) else "",
                f"{mean(ok, 'hardness_steps'):.1f}" if any("hardness_steps" in each.metrics for each in ok) else "",
            ))  # fmt: skip
    head = (
        "model | regulariser | quality | nfe in prediction | over none | prediction time over none | "
        "training time over none | evaluations it adds a step | steps at 1e-6"
    )
    return table(head, rows)


def models(records: Sequence[Record]) -> str:
    """One row for each model: its quality over the seeds beside that of the standard method, and what else it tells."""
    rows = []
    common = {"quality", "quality_reference", "nfe_predict", "predict_seconds"}
    for line in grouped(measured(records), lambda each: (each.cell.problem, each.cell.solver, each.cell.gradient)):
        ok = [each for each in line if each.status == "ok"]
        if not ok:
            rows.append((f"`{line[0].cell.problem}`", line[0].status, *("",) * 5))
            continue
        last = {name.removeprefix("evaluated_") for name in ok[0].samples if name.startswith("evaluated_")}
        more = sorted(last - common - {"step", "memory"})
        rows.append((
            f"`{line[0].cell.problem}`",
            str(ok[0].settings["quality"]),
            over_seeds(ok, "quality", ".4g"),
            over_seeds(ok, "quality_reference", ".4g"),
            over_seeds(ok, "nfe_predict", ".3g"),
            str(ok[0].settings["parameters"]),
            "; ".join(f"{name} {over_seeds(ok, name, '.3g')}" for name in more),
        ))  # fmt: skip
    return table("model | quality is | quality | reference | nfe in prediction | parameters | also", rows)
