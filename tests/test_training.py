"""Suites of `kind: train`: through the command line, on a workload that trains in seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from odebench import api
from odebench.errors import SuiteError
from odebench.plan import make_plan
from odebench.record import Record
from odebench.store import read_results
from odebench.suite.loading import load_suites

PLUGIN = Path(__file__).parent / "plugins" / "rotation.py"
SUITE = """
name: turn
kind: train
problems: [PROBLEM]
solvers: [SOLVERS]
gradients: [GRADIENTS]
stepping: [STEPPING]
batches: [16]
train: {steps: STEPS, checkpoint_every: 0}
plugins: [PLUGIN]
"""


def suite(folder: Path, more: str = "", **words: str) -> Path:
    """The suite with its words filled in."""
    stepping = "{adaptive: {rtol: 1e-4, atol: 1e-4}}"
    known = {"PROBLEM": "rotation", "SOLVERS": "tsit5", "GRADIENTS": "aca", "STEPPING": stepping, "STEPS": "20"}
    text = SUITE + more
    for word, value in (known | words | {"PLUGIN": str(PLUGIN)}).items():
        text = text.replace(word, value)
    path = folder / "turn.yaml"
    path.write_text(text)
    return path


def train(folder: Path, more: str = "", **words: str) -> list[Record]:
    return api.run(suite(folder, more, **words), output=folder / "out")


def of(records: list[Record], **axes: str) -> Record:
    """The one record whose cell has these names."""
    (found,) = [each for each in records if all(str(getattr(each.cell, axis)) == name for axis, name in axes.items())]
    return found


def test_a_training_run_tells_loss_quality_and_cost(tmp_path: Path) -> None:
    (record,) = train(tmp_path, STEPS="60")
    metrics, samples = record.metrics, record.samples
    assert record.status == "ok", record.reason
    assert len(samples["trained_loss"]) == 60
    assert samples["trained_loss"][-1] < samples["trained_loss"][0] / 2
    assert samples["evaluated_step"] == [0, *range(6, 61, 6)]
    assert metrics["quality"] == samples["evaluated_quality"][-1] < samples["evaluated_quality"][0]
    assert metrics["nfe_forward"] == pytest.approx(sum(samples["trained_nfe_forward"]) / 60)
    assert metrics["gradient_error_discrete"] < 1e-13
    assert 0 < metrics["gradient_error"] < 1e-2
    assert 0 < metrics["gradient_error_start"] < 1e-2
    assert metrics["hardness_steps"] >= 1
    assert metrics["stiffness"] > 0
    assert metrics["peak_memory_bytes"] > 0
    assert record.settings["parameters"] == 2 * 16 + 16 + 16 * 2 + 2


def test_exact_gradients_train_alike_and_the_adjoint_does_not(tmp_path: Path) -> None:
    records = train(tmp_path, SOLVERS="tsit5, alf", GRADIENTS="direct, aca, recursive, reversible, adjoint", STEPS="50")
    for solver, exact in (("tsit5", ["aca", "recursive"]), ("alf", ["aca", "recursive", "reversible"])):
        curve = of(records, solver=solver, gradient="direct").samples["trained_loss"]
        gaps = {
            gradient: max(
                abs(a - b) / b
                for a, b in zip(
                    of(records, solver=solver, gradient=gradient).samples["trained_loss"], curve, strict=True
                )
            )
            for gradient in [*exact, "adjoint"]
        }
        assert all(gaps[gradient] < 1e-10 for gradient in exact), gaps
        assert gaps["adjoint"] > 1e-7
    assert "cannot be undone" in of(records, solver="tsit5", gradient="reversible").reason


def test_memory_follows_the_evaluations_for_direct_alone(tmp_path: Path) -> None:
    stepping = "{fixed: {steps: 10}}, {fixed: {steps: 80}}"
    records = train(
        tmp_path, SOLVERS="alf, {coupled: {base: rk4}}", GRADIENTS="direct, adjoint, reversible", STEPPING=stepping,
        STEPS="2",
    )  # fmt: skip
    for solver in ("alf", "coupled(base=rk4)"):
        growth = {}
        for gradient in ("direct", "adjoint", "reversible"):
            few, many = (
                of(records, solver=solver, gradient=gradient, stepping=f"fixed(steps={n})").metrics["peak_memory_bytes"]
                for n in (10, 80)
            )
            growth[gradient] = many / few
        assert growth["direct"] > 5
        assert growth["reversible"] == pytest.approx(1.0, abs=0.02)
        assert growth["adjoint"] == pytest.approx(1.0, abs=0.02)


def test_every_regulariser_trains_or_says_why_not(tmp_path: Path) -> None:
    names = "none, steer, kinetic, jacobian, rnode, taynode, ernode, srnode, local_unbiased, local_biased, path"
    terms = f"regularisers: [{names}]"
    said = {str(each.cell.problem): each for each in train(tmp_path, terms, STEPS="3")}
    assert len(said) == 11
    refused = [name for name, each in said.items() if each.status == "refused"]
    assert refused == ["rotation(regulariser=path)"]
    assert all(each.status == "ok" for name, each in said.items() if name not in refused)
    for name, each in said.items():
        assert ("regulariser_ratio" in each.metrics) == ("regulariser" in name and name not in refused), name
    assert said["rotation(regulariser=local_biased)"].metrics["regulariser_nfe"] == 8


def test_a_regulariser_that_would_get_no_gradient_is_refused(tmp_path: Path) -> None:
    gradients = "direct, {direct: {control: true}}, adjoint, interpolated, forward, symplectic, aca"
    path = suite(tmp_path, "regularisers: [ernode, kinetic]", GRADIENTS=gradients)
    refusals = {
        (str(each.cell.problem), str(each.cell.gradient)): each.refusal
        for each in make_plan(load_suites([path]), cuda_devices=0).cells
    }
    ernode, kinetic = "rotation(regulariser=ernode)", "rotation(regulariser=kinetic)"
    assert all(refusals[kinetic, name] is None for name in ("direct", "adjoint", "interpolated", "symplectic", "aca"))
    assert refusals[ernode, "direct"] is None
    assert refusals[ernode, "aca"] is None
    for gradient in ("adjoint", "interpolated", "forward", "symplectic"):
        assert "no gradient of whole steps" in str(refusals[ernode, gradient])
    assert "direct(control)" in str(refusals[ernode, "direct(control=True)"])


def test_the_error_of_steps_is_penalised_where_saved_times_are_looked_up_inside_them(tmp_path: Path) -> None:
    dense = "{adaptive: {rtol: 1e-4, atol: 1e-4, dense: true}}"
    records = train(tmp_path, "regularisers: [ernode, srnode]", GRADIENTS="direct, aca", STEPPING=dense, STEPS="5")
    curves = [each.samples["trained_loss"] for each in records if each.status == "ok"]
    assert len(curves) == 2
    assert curves[0] == pytest.approx(curves[1], rel=1e-12)
    assert all("leave `dense` out" in each.reason for each in records if each.status == "refused")


def test_a_regulariser_with_options_is_part_of_the_cell(tmp_path: Path) -> None:
    (record,) = train(tmp_path, "regularisers: [{steer: {width: 0.25}}]", STEPS="2")
    assert record.cell.key.startswith("rotation(regulariser=steer(width=0.25))/tsit5/aca/")
    again = read_results(tmp_path / "out" / "results.csv")
    assert again[0].cell == record.cell


def odebench(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "odebench", *words]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_a_killed_run_goes_on_to_the_very_same_curve(tmp_path: Path) -> None:
    whole = train(tmp_path, STEPS="60")[0]
    path, folder = suite(tmp_path, STEPS="60"), tmp_path / "killed"
    process = odebench("run", str(path), "-o", str(folder))
    deadline = time.monotonic() + 60
    while not list(folder.glob("checkpoints/*.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(folder.glob("checkpoints/*.pt")), "it was killed in the middle of training"
    assert not (folder / "records.jsonl").read_text()
    resumed = odebench("run", "--resume", str(folder))
    _, told = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, told
    (record,) = read_results(folder)
    assert any("went on from a checkpoint" in note for note in record.notes)
    for name in ("trained_loss", "trained_nfe_forward", "evaluated_quality", "evaluated_step", "gradient_error_start"):
        assert record.samples[name] == whole.samples[name], name
    assert record.metrics["gradient_error"] == whole.metrics["gradient_error"]
    assert not (folder / "checkpoints").exists()


def test_a_checkpoint_of_other_settings_or_torn_is_not_gone_on_with(tmp_path: Path) -> None:
    from odebench.execute.schedule import checkpoint_of

    (whole,) = train(tmp_path, STEPS="5")
    for content in (b"torn", b""):
        folder = tmp_path / f"other{len(content)}"
        file = checkpoint_of(folder, whole.cell)
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        (folder / "suite.yaml").write_text((tmp_path / "out" / "suite.yaml").read_text())
        (record,) = api.run(resume=folder)
        assert any("began anew" in note for note in record.notes)
        assert record.samples["trained_loss"] == whole.samples["trained_loss"]


def test_a_loss_that_is_not_finite_is_diverged_and_keeps_its_curve(tmp_path: Path) -> None:
    path = suite(tmp_path, SOLVERS="euler", STEPPING="{fixed: {steps: 4}}")
    path.write_text(path.read_text().replace("steps: 20", "steps: 20, optimiser: sgd, lr: 1e200"))
    (record,) = api.run(path, output=tmp_path / "out")
    assert record.status == "diverged"
    assert "take a smaller lr" in record.reason
    assert record.samples["trained_loss"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: train\n", "", "belongs to `kind: train`"),
        ("kind: train", "kind: trane", "expected benchmark or train"),
        ("steps: 20", "steps: 0", "train.steps: expected a whole number of at least 1"),
        ("steps: 20", "optimiser: adm", "did you mean 'adam'"),
        ("steps: 20", "lr: -1", "train.lr: expected a number above 0"),
        ("steps: 20", "stepz: 3", "did you mean 'steps'"),
        ("problems: [rotation]", "problems: [rk4]", "no workload is called 'rk4'"),
        ("problems: [rotation]", "problems: [{rotation: {hiddn: 3}}]", "did you mean 'hidden'"),
        ("batches:", "regularisers: [ernod]\nbatches:", "did you mean 'ernode'"),
        ("batches:", "regularisers: [{ernode: {form: best}}]\nbatches:", "one of 'text', 'code'"),
        ("batches:", "regularisers: [steer, steer]\nbatches:", "given twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_training_suite_is_located(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = suite(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(SuiteError) as caught:
        api.run(path, output=tmp_path / "out")
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_suite_as_resolved_runs_again_to_the_same_cells(tmp_path: Path) -> None:
    first = train(tmp_path, "regularisers: [none, kinetic]", STEPS="2")
    again = api.run(tmp_path / "out" / "suite.yaml", output=tmp_path / "again")
    assert [each.cell for each in again] == [each.cell for each in first]
    assert [each.samples["trained_loss"] for each in again] == [each.samples["trained_loss"] for each in first]
    lines = (tmp_path / "again" / "records.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["settings"]["training"] == {"steps": 2, "checkpoint_every": 0.0}


BASELINE = """
from dataclasses import dataclass

from odebench.registry import workload
from odebench_rotation import Rotation, Turn


@workload("still")
@dataclass(frozen=True)
class Still(Rotation):
    solves = False

    def build(self, seed, dtype, device):
        task = Turn(self, seed, dtype, device)
        task.error = lambda x, solve: task.model(x).square().mean()
        return task
"""


def test_a_baseline_that_solves_nothing_is_trained_once_and_its_other_rows_say_so(tmp_path: Path) -> None:
    (tmp_path / "odebench_rotation.py").write_text(PLUGIN.read_text())
    plugin = tmp_path / "still.py"
    plugin.write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n" + BASELINE)
    path = suite(tmp_path, "regularisers: [none, kinetic]", SOLVERS="tsit5, alf", PROBLEM="still", STEPS="3")
    path.write_text(path.read_text().replace(str(PLUGIN), str(plugin)))
    records = api.run(path, output=tmp_path / "out")
    assert [each.status for each in records] == ["ok", "refused", "refused", "refused"]
    assert records[0].metrics["nfe_forward"] == 0
    assert "nfe_predict" not in records[0].metrics
    reasons = [each.reason for each in records[1:]]
    assert sum("its row with tsit5, aca, adaptive" in reason for reason in reasons) == 1
    assert sum("nothing to regularise" in reason for reason in reasons) == 2


def test_curves_of_training_are_drawn_and_seeds_are_told_with_an_interval(tmp_path: Path) -> None:
    from odebench.figures.kinds import kind

    path = suite(tmp_path, "regularisers: [none, kinetic]\nseeds: [0, 1, 2]", STEPS="20")
    records = api.run(path, output=tmp_path / "out")
    figure = kind("training").figure(records)
    told = [panel.title.rpartition(": ")[2] for panel in figure.panels]
    assert told == ["loss", "quality", "forward", "backward"]
    names = [line.name for line in figure.panels[0].series]
    assert names == ["tsit5, no regulariser", "tsit5, kinetic"]
    assert len({line.key for line in figure.panels[0].series}) == 2
    median_run = sorted(records[:3], key=lambda each: each.metrics["loss"])[1]
    assert figure.panels[0].series[0].y == tuple(median_run.samples["trained_loss"])
    done = subprocess.run(
        [sys.executable, "-m", "odebench", "show", str(tmp_path / "out"), "--across", "seed", "--columns", "loss"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    mean = sum(each.metrics["loss"] for each in records[:3]) / 3
    row = next(line for line in done.stdout.splitlines() if "±" in line and "█" in line)
    assert float(row.split()[-2]) == pytest.approx(mean, rel=5e-3)
