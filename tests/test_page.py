"""The page of results, as a file: what it holds, that nothing in it can break out, and how large it is."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from page_records import MARKUP, many
from typer.testing import CliRunner
from verdict_examples import HOSTILE

from odebench.cli.app import app
from odebench.plan import make_plan
from odebench.record import Record
from odebench.registry import load_shipped
from odebench.rows import write_csv
from odebench.spec import Spec
from odebench.store import Store, record_to_data
from odebench.suite.loading import load_suites
from odebench.suite.select import Filter

pytest.importorskip("plotly", reason="plotly is not installed here")
ROOT = Path(__file__).resolve().parent.parent
SUITE = """\
name: small suite (two)
description: Names that are near to one another.
problems: [linear_decay, {linear_decay: {span: [0, 2]}}]
solvers: [alf, {alf: {eta: 0.9}}, {coupled: {base: rk4}}, {coupled: {base: heun}}]
gradients: [direct, reversible, recursive, {recursive: {checkpoints: 8}}]
stepping: [{fixed: {steps: 10}}, {fixed: {dt: 0.1}}]
batches: [1, 2]
seeds: [0, 1]
---
name: other
problems: [linear_decay]
solvers: [alf]
stepping: [{fixed: {steps: 10}}]
"""


class Elements(HTMLParser):
    """(name, attributes) of every element, and the text that is shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] not in ("script", "style"):
            self.text += data


def report(*words: str) -> Any:
    return CliRunner().invoke(app, ["report", *words], prog_name="odebench")


def stored(folder: Path, records: list[Record], **machine: Any) -> Path:
    with Store(folder) as store:
        store.append(*records)
        store.describe_machine(machine)
    return folder


def written(folder: Path, records: list[Record], **machine: Any) -> Path:
    """The same of what no run writes, and a stranger may."""
    folder.mkdir()
    (folder / "records.jsonl").write_text("".join(json.dumps(record_to_data(each)) + "\n" for each in records))
    (folder / "machine.json").write_text(json.dumps(machine))
    return folder


def page_of(*paths: Path, where: str | None = None) -> str:
    out = paths[0].parent / "page.html"
    result = report(*map(str, paths), "-o", str(out), *(["-k", where] if where else []))
    assert result.exit_code == 0, result.stderr
    return out.read_text()


def blocks(page: str) -> dict[str, str]:
    found = re.findall(r'<script type="application/gzip" id="([^"]+)">([^<]+)</script>', page)
    return {name: gzip.decompress(base64.b64decode(packed)).decode() for name, packed in found}


def column(page: str, name: str) -> dict[str, Any]:
    return next(each for each in json.loads(blocks(page)["data-cells"])["columns"] if each["name"] == name)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 cells, on a machine with a GPU."""
    gpus = [{"name": "H200", "memory_bytes": 1 << 37}]
    return stored(tmp_path_factory.mktemp("page") / "wide", many(1), cpu="EPYC", memory_bytes=1 << 33, gpus=gpus)


@pytest.fixture(scope="module")
def page(wide: Path) -> str:
    return page_of(wide)


def test_the_page_tells_what_was_run_and_on_what(page: str, wide: Path) -> None:
    text = Elements(page).text
    counts = {status: sum(each.status == status for each in many(1)) for status in ("ok", "refused", "diverged")}
    assert "200 cells: {ok} ok, {refused} refused, {diverged} diverged.".format(**counts) in text
    for told in ("EPYC", "8.00 GiB", "name H200, memory 128 GiB", "4aa6fcabe695", "2026-01-31T12:00:00Z", "0.1.0"):
        assert told in text
    assert "bosh3 cannot undo a step, which reversible needs" in text
    assert "the solution is not finite" in text
    assert "Peak of live tensor bytes" in text


def test_the_command_says_what_it_wrote_and_replaces_an_older_page(wide: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("old")
    result = report(str(wide), "-o", str(out))
    assert (result.exit_code, result.stdout) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(out))}: 200 cells, \d\.\d MB\n", result.stderr)
    assert out.read_text().startswith("<!doctype html>")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert report(str(wide), "-o", str(out), "-q").stderr == ""


def test_the_page_needs_no_network(page: str) -> None:
    for name, attributes in Elements(page).found:
        assert name not in ("link", "iframe", "object", "img", "base")
        assert not {"src", "srcset", "action"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
    assert "@import" not in page
    assert "url(" not in page.partition("<body>")[0]


def test_only_the_scripts_of_the_page_may_run(page: str) -> None:
    found = Elements(page).found
    (policy,) = (each["content"] for name, each in found if name == "meta" and "http-equiv" in each)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = {base64.b64encode(sha256(each.encode()).digest()).decode() for each in (script, blocks(page)["plotly"])}
    assert sorted(rules["script-src"].split()) == sorted(f"'sha256-{digest}'" for digest in digests)
    assert not [each for name, each in found if any(key.startswith("on") for key in each)]


def test_the_same_results_give_the_same_page_and_no_torch_is_loaded(page: str, wide: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.html"
    words = ["odebench", "report", str(wide), "-o", str(out)]
    code = f"import sys; sys.argv = {words!r}\nfrom odebench.cli.app import main\n"
    code += "try: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
    assert out.read_text() == page


def test_figures_stand_in_the_table_as_measured_and_as_people_read_them(page: str) -> None:
    records = many(1)
    wall = column(page, "wall_seconds")
    assert wall["raw"] == [each.metrics.get("wall_seconds") for each in records]
    assert {shown.split(" ")[1] for shown in wall["shown"] if shown} == {"ms"}
    solver = column(page, "solver")
    assert [solver["known"][index] for index in solver["at"]] == [str(each.cell.solver) for each in records]
    assert solver["short"] == []
    problem = column(page, "problem")
    assert problem["short"] == [["van_der_pol", "van_der_pol(mu=0.1, span=[0.0, 10.0])"]]


def test_figures_that_are_not_finite_are_shown_and_sorted_as_such(tmp_path: Path) -> None:
    first, second, third = many(1)[:3]
    odd = replace(first, metrics={"gradient_error": float("inf"), "smoothness": float("nan"), "steps": 10**40})
    found = page_of(stored(tmp_path / "odd", [odd, second, third]))
    assert column(found, "gradient_error")["raw"][0] == "inf"
    assert column(found, "smoothness")["raw"] == ["nan", None, None]


def test_every_point_of_a_figure_is_the_cell_that_it_names(page: str) -> None:
    found, data = blocks(page), json.loads(blocks(page)["data-cells"])
    raw = {each["name"]: each.get("raw") for each in data["columns"]}
    axes = {
        "work-precision": ("solution_error", "nfe_forward"),
        "gradient-precision": ("gradient_error", "work"),
        "memory": ("steps", "peak_memory_bytes"),
        "time": ("steps", "wall_seconds"),
        "pareto": ("gradient_error", "wall_seconds"),
    }
    for kind, (x, y) in axes.items():
        panel = json.loads(found[f"data-{kind}-0"])["figures"][0]["panels"][0]
        points = [point for each in panel["series"] for point in zip(each["cells"], each["x"], each["y"], strict=True)]
        assert len(points) > 100
        for row, across, up in points:
            assert (across, up) == pytest.approx((raw[x][row], raw[y][row]), rel=1e-3)
    of = {each.get("of") for each in json.loads(found["data-reverse-0"])["figures"][0]["panels"][0]["series"]}
    records = many(1)
    assert {records[row].cell.gradient.name for row in of - {None}} == {"adjoint", "reversible"}


def test_names_and_reasons_with_markup_in_them_are_text(tmp_path: Path) -> None:
    plain = many(1)
    hostile = (*HOSTILE, MARKUP, "</script><script>alert(1)</script>", "</style>", "$policy", "]]><b>")
    odd = []
    for text, each in zip(hostile, plain, strict=False):
        cell = replace(each.cell, suite=text, problem=Spec.of(text, {text: text}), solver=Spec(text), dtype=text)
        odd.append(replace(each, cell=cell, status="failed", reason=text, machine=text, version=text, commit=text))
        odd.append(replace(odd[-1], cell=replace(cell, seed=1), status="ok", notes=(text,), mesh=[], curves={}))
    folder = written(tmp_path / "<b onclick=alert(1)>", odd, **{MARKUP: MARKUP, "</dl>": {"</dd>": ["<script>"]}})
    usual = {(name, *each) for name, each in Elements(page_of(stored(tmp_path / "usual", plain))).found}
    elements = Elements(page_of(folder, tmp_path / "usual"))
    assert {(name, *each) for name, each in elements.found} <= usual
    assert sum(name == "script" for name, _ in elements.found) == len(blocks(page_of(folder, tmp_path / "usual"))) + 1
    assert MARKUP in elements.text


def test_results_of_several_folders_stand_together_each_with_its_name(wide: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        stored(tmp_path / name / "run", many(1, "same"), cpu=f"processor {name}")
    found = page_of(tmp_path / "a" / "run", tmp_path / "b" / "run", wide)
    labels = column(found, "results")
    assert labels["known"] == ["a/run", "b/run", f"{wide.parent.name}/wide"]
    assert labels["at"] == [0] * 200 + [1] * 200 + [2] * 200
    assert {"data-memory-0", "data-memory-200", "data-memory-400"} <= set(blocks(found))
    second = json.loads(blocks(found)["data-memory-200"])["figures"][0]["panels"][0]["series"]
    assert all(200 <= row < 400 for series in second for row in series["cells"])
    text = Elements(found).text
    assert "a/run: same" in text
    assert "processor a" in text
    assert "processor b" in text


def test_a_csv_alone_makes_a_page(tmp_path: Path) -> None:
    write_csv(tmp_path / "alone.csv", many(1))
    found = page_of(tmp_path / "alone.csv")
    assert "data-gradient-precision-0" in blocks(found)
    assert "data-reverse-0" not in blocks(found)
    command = column(found, "command")["texts"][0]
    assert shlex.split(command)[:3] == ["odebench", "run", "wide.yaml"]


def commands_of(page: str) -> list[tuple[str, Filter]]:
    """(suite file, filter) of every row."""
    load_shipped()
    words = [shlex.split(text) for text in column(page, "command")["texts"]]
    assert all(each[:2] == ["odebench", "run"] and each[3] == "-k" for each in words)
    return [(each[2], Filter.parse(each[4])) for each in words]


def test_the_command_of_a_row_runs_that_cell_and_no_other(tmp_path: Path) -> None:
    suite = tmp_path / "two.yaml"
    suite.write_text(SUITE)
    suites = load_suites([suite])
    cells = [planned.cell for planned in make_plan(suites, cuda_devices=0).cells]
    # As after a run with a filter: the suite has more cells than were measured.
    records = [Record(cell, "ok", metrics={"steps": 1}) for cell in cells if cell.seed == 0]
    with Store(tmp_path / "out") as store:
        store.append(*records)
        store.describe([each.to_data() for each in suites])
    found = commands_of(page_of(tmp_path / "out"))
    assert len(found) == len(records) > 100
    for (file, wanted), record in zip(found, records, strict=True):
        assert file == str(tmp_path / "out" / "suite.yaml")
        assert [cell for cell in cells if wanted.matches(cell)] == [record.cell]


def test_the_command_of_a_row_is_one_that_a_shell_and_odebench_take(tmp_path: Path) -> None:
    folder = tmp_path / "with 'quotes' and $blanks"
    suite = tmp_path / "two.yaml"
    suite.write_text(SUITE)
    suites = load_suites([suite])
    planned = make_plan(suites, cuda_devices=0).cells[37].cell
    with Store(folder) as store:
        store.append(Record(planned, "ok", metrics={"steps": 1}))
        store.describe([each.to_data() for each in suites])
    (command,) = column(page_of(folder), "command")["texts"]
    rehearsal = f"{shlex.quote(sys.executable)} -m {command} --dry-run --format json"
    done = subprocess.run(rehearsal, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [row["cell"] for row in json.loads(done.stdout)["rows"]] == [planned.key]


def test_what_to_mind_is_on_the_page(tmp_path: Path) -> None:
    few = [replace(each, metrics=dict(each.metrics) | {"repeats": 2}) for each in many(1)[:4]]
    text = Elements(page_of(stored(tmp_path / "few", few))).text
    assert "What to mind" in text
    assert "--repeats 6" in text


def test_a_page_of_nothing_but_refusals_says_so_and_draws_nothing(tmp_path: Path) -> None:
    refused = [each for each in many(1) if each.status == "refused"]
    found = page_of(stored(tmp_path / "refused", refused))
    assert set(blocks(found)) == {"data-cells", "data-looks", "plotly"}
    assert "Not drawn" in Elements(found).text


def test_two_thousand_cells_are_less_than_six_megabytes(tmp_path: Path) -> None:
    # More than a suite gives: every cell has both paths, and all those of the figures.
    full = [each for each in many() if each.curves]
    records = [replace(each, curves=full[index % len(full)].curves, status="ok") for index, each in enumerate(many())]
    assert len(records) == 2000
    write = stored(tmp_path / "large", records)
    out = tmp_path / "large.html"
    assert report(str(write), "-o", str(out), "-q").exit_code == 0
    assert out.stat().st_size < 6_000_000


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere"], 2, "nowhere: there is no such file or folder"),
        (["{wide}", "{wide}/"], 2, "is named twice"),
        (["{wide}", "-o", "{tmp}"], 2, "is a folder; name a file, such as"),
        (["{wide}", "-o", "{tmp}/no/such/page.html"], 2, "cannot be written: No such file or directory"),
        (["{wide}", "-k", "solver=euler"], 5, "-k 'solver=euler' selects none of the cells"),
        (["{wide}", "-k", "colour=red"], 2, "expected an axis"),
        ([], 2, "Missing argument 'RESULTS...'"),
    ],
)
def test_what_cannot_be_done_is_told(wide: Path, tmp_path: Path, words: list[str], code: int, told: str) -> None:
    result = report(*(word.format(wide=wide, tmp=tmp_path) for word in words))
    assert result.exit_code == code
    assert told in result.stderr
    assert result.stdout == ""


def test_without_plotly_the_error_says_what_to_install(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    result = report(str(wide))
    assert result.exit_code == 2
    assert "pip install 'odebench[report]'" in result.stderr


def test_a_filter_leaves_a_page_of_the_cells_that_it_takes(wide: Path) -> None:
    found = page_of(wide, where="solver=rk4 and gradient!=adjoint")
    assert column(found, "solver")["known"] == ["rk4"]
    assert json.loads(blocks(found)["data-cells"])["rows"] == 15
