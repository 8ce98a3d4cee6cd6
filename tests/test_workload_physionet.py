"""Stays in intensive care, from files in the format of the PhysioNet/CinC Challenge 2012. None of them is real."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from odebench import api
from odebench.errors import DataError, OptionError
from odebench.registry import workloads
from odebench.workloads import physionet
from odebench.workloads.physionet import Physionet
from odebench.workloads.physionet_files import FEATURES, OUTCOMES, Stays, read_outcomes, read_stays

FIRST = 132539
SUITE = """
name: stays
kind: train
problems: [{physionet: {folder: FOLDER, sets: a, stays: 0, quantum: 4.0, latent: 4, hidden: 8, recognition: 8,
                        noise: 0.1, kl_delay: 0, mortality: 1.0}}]
solvers: [tsit5]
gradients: [aca]
stepping: [{adaptive: {rtol: 1e-3, atol: 1e-3, dense: true}}]
batches: [16]
train: {steps: 100, lr: 0.05}
plugins: [PLUGIN]
"""


def written(folder: Path, lines: list[str], number: int = FIRST, letter: str = "a") -> Path:
    """One stay, of lines after those that every file begins with."""
    path = folder / f"set-{letter}" / f"{number}.txt"
    path.parent.mkdir(exist_ok=True)
    head = ["Time,Parameter,Value", f"00:00,RecordID,{number}", "00:00,Age,54", "00:00,Height,-1"]
    path.write_text("\n".join(head + lines) + "\n")
    return path


def ward(folder: Path, count: int) -> None:
    """Stays whose values all lie about a level, which is that of those who die where it is high; and their outcomes."""
    draw, outcomes = random.Random(0), [OUTCOMES]
    for number in range(FIRST, FIRST + count):
        level, lines = draw.random(), []
        for _ in range(30):
            minute, name = draw.randrange(48 * 60), draw.choice(FEATURES[:8])
            lines.append(f"{minute // 60:02d}:{minute % 60:02d},{name},{level + 0.05 * draw.random():.4f}")
        written(folder, sorted(lines), number)
        outcomes.append(f"{number},6,1,5,-1,{int(level > 0.7)}")
    (folder / "Outcomes-a.txt").write_text("\n".join(outcomes) + "\n")


def read(folder: Path, sets: str = "a", quantum: float = 1.0, most: int = 0, outcomes: bool = False) -> Stays:
    return read_stays(folder, sets, quantum, most, outcomes)


def test_a_latent_ode_learns_the_stays_and_who_dies(tmp_path: Path) -> None:
    ward(tmp_path, 60)
    path = tmp_path / "stays.yaml"
    path.write_text(SUITE.replace("FOLDER", str(tmp_path)).replace("PLUGIN", physionet.__name__))
    (record,) = api.run(path, output=tmp_path / "out")
    assert record.status == "ok", record.reason
    metrics = record.metrics
    assert metrics["quality"] < metrics["quality_reference"] / 2
    assert metrics["auroc"] > 0.8
    assert metrics["gradient_error_discrete"] < 1e-11


def test_what_is_wrong_with_the_files_is_the_reason_of_the_record(tmp_path: Path) -> None:
    path = tmp_path / "stays.yaml"
    path.write_text(SUITE.replace("FOLDER", str(tmp_path / "nowhere")).replace("PLUGIN", physionet.__name__))
    (record,) = api.run(path, output=tmp_path / "out")
    assert record.status == "failed"
    assert f"{tmp_path / 'nowhere' / 'set-a'}: there is no such folder; unpack set-a.tar.gz" in record.reason


def test_times_are_rounded_and_what_falls_together_is_averaged(tmp_path: Path) -> None:
    written(tmp_path, ["00:10,HR,80", "00:20,HR,90", "01:20,HR,60", "01:20,pH,7.4", "01:40,HR,100", "47:50,pH,7.2"])
    stays = read(tmp_path)
    rate, acid = FEATURES.index("HR"), FEATURES.index("pH")
    assert stays.times.tolist() == [[0, 1, 2, 48]]
    assert stays.lengths.tolist() == [4]
    assert stays.holds[0, :, rate].tolist() == [True, True, True, False]
    assert stays.holds[0, :, acid].tolist() == [False, True, False, True]
    assert stays.holds.sum() == 5
    # 85, 60 and 100 on a scale from 60 to 100; 7.4 and 7.2 on one from 7.2 to 7.4.
    assert stays.values[0, :3, rate].tolist() == [0.625, 0, 1]
    assert stays.values[0, [1, 3], acid].tolist() == [1, 0]
    fine = read(tmp_path, quantum=0.1)
    assert fine.times.tolist() == [[2, 3, 13, 17, 478]]


def test_features_are_scaled_over_all_stays_and_stays_come_in_order(tmp_path: Path) -> None:
    written(tmp_path, ["00:00,HR,100", "00:00,K,4", "05:00,K,4"], FIRST + 7, "b")
    written(tmp_path, ["00:00,HR,50", "03:00,HR,75"], FIRST + 3)
    written(tmp_path, ["00:00,Weight,-1"], FIRST + 1)  # without an observation
    stays = read(tmp_path, "ab")
    assert stays.ids.tolist() == [FIRST + 3, FIRST + 7]
    assert stays.values[:, 0, FEATURES.index("HR")].tolist() == [0, 1]
    assert stays.values[0, 1, FEATURES.index("HR")] == 0.5
    assert not stays.values[:, :, FEATURES.index("K")].any()  # a constant has no scale
    assert stays.holds[1, :, FEATURES.index("K")].all()
    assert not stays.holds[:, :, FEATURES.index("Weight")].any()
    assert read(tmp_path, "ab", most=2).ids.tolist() == [FIRST + 3]


def test_outcomes_go_with_their_stays_and_a_set_may_have_none(tmp_path: Path) -> None:
    for place, letter in enumerate("aab"):
        written(tmp_path, ["00:00,HR,50"], FIRST + place, letter)
    (tmp_path / "Outcomes-a.txt").write_text(f"{OUTCOMES}\n{FIRST + 1},6,1,5,2,1\n{FIRST},6,1,5,-1,0\n")
    assert read(tmp_path, "ab", outcomes=True).died.tolist() == [0, 1, -1]
    assert read(tmp_path, "ab").died.tolist() == [-1, -1, -1]


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    written(tmp_path, ["00:00,HR,50"])
    assert read(tmp_path).holds.sum() == 1
    written(tmp_path, ["00:00,HR,50", "00:00,K,4"])
    assert read(tmp_path).holds.sum() == 2


def test_a_minibatch_is_the_same_whatever_was_asked_before(tmp_path: Path) -> None:
    ward(tmp_path, 20)

    def standing(f, y0, ts, params, leading=None):
        return y0.expand(len(ts), *y0.shape)

    options = Physionet(str(tmp_path), sets="a")
    one, other = (options.build(0, torch.float64, torch.device("cpu")) for _ in range(2))
    other.loss(3, 5, standing)
    assert one.loss(7, 5, standing) == other.loss(7, 5, standing)
    assert one.loss(7, 5, standing) != one.loss(8, 5, standing)


def test_padding_has_no_part_in_a_stay(tmp_path: Path) -> None:
    ward(tmp_path, 20)
    task = Physionet(str(tmp_path), sets="a", quantum=0.5).build(0, torch.float64, torch.device("cpu"))

    def drifting(f, y0, ts, params, leading=None):
        return y0 + torch.tensor(ts, dtype=y0.dtype).reshape(-1, 1, 1)

    with torch.no_grad():
        whole = task.evaluate(drifting)["quality"]
        squares, counts = 0.0, 0
        test = task.test
        for row in range(len(test)):
            task.test = test.cut(torch.tensor([row]))
            count = int(task.test.holds.sum())
            squares, counts = squares + task.evaluate(drifting)["quality"] * count, counts + count
    assert len(set(test.lengths.tolist())) > 1
    assert whole == pytest.approx(squares / counts, rel=1e-12)


BROKEN = [
    ("00:00,HR", ":5: expected HH:MM,Parameter,Value, got '00:00,HR'"),
    ("00:00,HR,80,1", ":5: expected HH:MM,Parameter,Value"),
    ("0:61,HR,80", ":5: expected a time HH:MM, got '0:61'"),
    ("00:00,HR,8o", ":5: expected a finite number for HR, got '8o'"),
    ("00:00,HR,nan", ":5: expected a finite number for HR, got 'nan'"),
    ("00:00,HR,", ":5: expected a finite number for HR, got nothing"),
    ("00:00,Lactat,2", ":5: no parameter is called 'Lactat'; did you mean 'Lactate'?"),
    ("", ":5: expected HH:MM,Parameter,Value, got nothing"),
]


@pytest.mark.parametrize(("line", "said"), BROKEN)
def test_a_broken_line_is_located(tmp_path: Path, line: str, said: str) -> None:
    path = written(tmp_path, [line, "01:00,HR,70"])
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert f"{path}{said}" in str(caught.value)
    assert "unpack it anew from set-a.tar.gz of physionet.org" in str(caught.value)


def test_files_cut_short_or_of_another_record_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, ["01:00,HR,70"])
    whole = path.read_bytes()
    for content, said in (
        (whole[:-2], ":5: the file breaks off in the midst of a line, '01:00,HR,7'"),
        (whole[:20], ":1: the file breaks off in the midst of a line"),
        (b"", ":1: expected the header 'Time,Parameter,Value', got nothing"),
        (whole[:21], f":2: expected '00:00,RecordID,{FIRST}', got nothing"),
        (whole.replace(b"132539", b"132540"), f":2: expected '00:00,RecordID,{FIRST}', got '00:00,RecordID,132540'"),
        (whole.replace(b"Time,", b"Date,"), ":1: expected the header"),
        (whole.replace(b"HR", b"\xff\xfe"), f": byte {whole.index(b'HR')} is no ASCII character"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read(tmp_path)
        assert f"{path}{said}" in str(caught.value), said


def test_a_folder_that_is_empty_or_holds_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set-a").mkdir()
    with pytest.raises(DataError, match=r"set-a: no \.txt file is in it"):
        read(tmp_path)
    (tmp_path / "set-a" / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"notes\.txt: expected files called by a record number"):
        read(tmp_path)
    (tmp_path / "set-a" / "notes.txt").unlink()
    written(tmp_path, [])
    with pytest.raises(DataError, match="none of 1 stays has an observation"):
        read(tmp_path)
    written(tmp_path, ["00:00,HR,50"])
    with pytest.raises(DataError, match="1 stays with observations"):
        Physionet(str(tmp_path), sets="a").build(0, torch.float64, torch.device("cpu"))


def test_broken_outcomes_are_located(tmp_path: Path) -> None:
    written(tmp_path, ["00:00,HR,50"])
    path = tmp_path / "Outcomes-a.txt"
    with pytest.raises(DataError, match=r"Outcomes-a\.txt: there is no such file"):
        read(tmp_path, outcomes=True)
    for lines, said in (
        ("1,2,3", ":2: expected six whole numbers, the last one 0 or 1, got '1,2,3'"),
        (f"{FIRST},6,1,5,-1,2", ":2: expected six whole numbers"),
        (f"{FIRST},6,1,5,-1,0\n{FIRST},6,1,5,-1,0", f":3: record {FIRST} has a line already"),
        ("7,6,1,5,-1,0", f": no line for record {FIRST}, which is in {tmp_path / 'set-a'}"),
    ):
        path.write_text(f"{OUTCOMES}\n{lines}\n")
        with pytest.raises(DataError) as caught:
            read(tmp_path, outcomes=True)
        assert f"{path}{said}" in str(caught.value), said
    path.write_text(f"{OUTCOMES}\n{FIRST},6,1,5,-1,0")
    with pytest.raises(DataError, match=":2: the file breaks off"):
        read_outcomes(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "must be given 'folder'"),
        ({"folder": ".", "sets": "c"}, "sets must be one of a, b, ab; got 'c'"),
        ({"folder": ".", "quantum": 0.0}, "quantum must be from 1/60"),
        ({"folder": ".", "mortality": -1.0}, "mortality must be at least 0"),
        ({"folder": ".", "kl_decay": 1.0}, "kl_decay must be at least 0 and below 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        workloads.get("physionet").build(options)


def test_there_are_the_37_features_of_the_source() -> None:
    assert len(set(FEATURES)) == len(FEATURES) == 37
