"""What would spoil a measurement here: facts from files of the system, a verdict on each, and the noise floor."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from odebench import machine
from odebench.cli.app import app
from odebench.cli.doctoring import lines_of
from odebench.health import gpu, load, power, processor, software
from odebench.health.examine import Facts, examine
from odebench.health.finding import Finding, State
from odebench.health.floor import Floor, floor_of, measure_floor
from odebench.health.gpu import Gpu
from odebench.health.load import Counters
from odebench.health.power import Power
from odebench.health.roots import Roots
from odebench.health.verdicts import findings_of

CPU = "devices/system/cpu"
BUILD = {"cuda": None, "capability": "AVX2", "openmp": True, "mkl": True}  # what a worker says of torch
# A laptop with little of what a measurement wants.
PROC = {
    "loadavg": "1.70 1.20 0.90 2/345 6789\n",
    "cpuinfo": "processor\t: 0\nflags\t\t: fpu vme hypervisor sse\n",
    "stat": "cpu  100 0 100 700 50 0 0 50 0 0\ncpu0 100 0 100 700 50 0 0 50 0 0\n",
    "self/cgroup": "0::/box\n",
}
SYS = {
    f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave\n",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave\n",
    f"{CPU}/intel_pstate/no_turbo": "0\n",
    f"{CPU}/smt/active": "1\n",
    f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "3\n",
    f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "4\n",
    "devices/system/clocksource/clocksource0/current_clocksource": "hpet\n",
    "class/thermal/thermal_zone0/temp": "91000\n",
    "class/thermal/thermal_zone1/temp": "40000\n",
    "class/dmi/id/sys_vendor": "QEMU\n",
    "fs/cgroup/box/cpu.max": "50000 100000\n",
    "fs/cgroup/box/cpu.stat": "usage_usec 1000\nnr_throttled 2\nthrottled_usec 8000\n",
    "firmware/acpi/platform_profile": "low-power\n",
}


def tree(at: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text)
    return at


@pytest.fixture
def laptop(tmp_path: Path) -> Roots:
    return Roots(tree(tmp_path / "proc", PROC), tree(tmp_path / "sys", SYS))


@pytest.fixture(scope="module")
def facts() -> Facts:
    """Of this machine, made those of one on which nothing is wrong."""
    found = examine((), seconds=0)
    calm = replace(found.load, average=0.0, busy=(), quota=None, memory=16 << 30, available=8 << 30, swapped=0)
    cpu = replace(
        found.processor, usable=4, present=4, governors=("performance",), turbo=False, virtual="", hottest=40.0,
        clock="tsc", resolution=1e-9,
    )  # fmt: skip
    tools = replace(
        found.software,
        torch="2.13",
        environment={},
        libraries=tuple(replace(e, version="1") for e in found.software.libraries),
    )
    return replace(
        found, processor=cpu, load=calm, power=Power(None, None, ""), gpus=(), software=tools, before=Counters(),
        after=Counters(),
    )  # fmt: skip


def states(facts: Facts) -> dict[tuple[str, str], State]:
    return {(each.topic, each.name): each.state for each in findings_of(facts)}


def found(facts: Facts, topic: str, name: str) -> Finding:
    (finding,) = (each for each in findings_of(facts) if (each.topic, each.name) == (topic, name))
    return finding


def call(*words: str) -> Any:
    return CliRunner().invoke(app, words, prog_name="odebench")


def test_the_command_tells_every_topic_with_a_word_and_ends_with_0() -> None:
    result = call("doctor", "--quick")
    assert result.exit_code == 0
    *headings, summary = [line for line in result.stdout.splitlines() if line and not line.startswith(" ")]
    assert {"processor", "frequency", "clock", "load", "memory", "software", "threads"} <= set(headings)
    assert summary.startswith(("times: ", "nothing here"))
    for library in ("torch", "torchdiffeq", "torchode", "torchsde", "torchdiffeqpack", "diffrax"):
        assert f"  {library} " in result.stdout


def test_for_programs_it_is_findings_and_the_facts_behind_them() -> None:
    result = call("doctor", "--quick", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    said = json.loads(result.stdout)
    assert set(said) == {"findings", "facts"}
    assert {each["state"] for each in said["findings"]} <= set(State)
    assert said["facts"]["floors"] == []
    assert said["facts"]["processor"]["usable"] >= 1


def test_what_is_no_device_is_wrong_usage() -> None:
    result = call("doctor", "--quick", "--device", "gpu")
    assert result.exit_code == 2
    assert "expected cpu, cuda, cuda:N or auto" in result.stderr


def test_the_noise_floor_is_measured_in_several_processes() -> None:
    floor = measure_floor("cpu", seconds=0.0)
    assert floor.trouble == ""
    assert len(floor.medians) == 4  # the fewest, however little time there is
    assert min(floor.medians) > 0
    assert 0 <= floor.between <= floor.told
    assert 0 < floor.busy < 1.5
    assert {"version", "cuda", "capability"} <= set(floor.torch)


def test_the_figures_of_a_floor_are_spreads_of_blocks_and_of_medians() -> None:
    torch = {"cuda": None}
    same = [{"blocks": [1.0, 1.0, 1.0], "busy": [1.0] * 3, "torch": torch}] * 5
    quiet = floor_of("cpu", same)
    assert (quiet.within, quiet.between, quiet.told) == (0.0, 0.0, 0.0)
    drifting = floor_of("cpu", [{**each, "blocks": [1.1**n] * 3} for n, each in enumerate(same)])
    assert (drifting.between, drifting.told) == (pytest.approx(0.1), pytest.approx(0.1))
    restless = floor_of("cpu", [{**each, "blocks": [1.0 + 0.2 * (n % 2)] * 3} for n, each in enumerate(same)])
    assert restless.within == 0.0
    assert restless.told == pytest.approx(0.2)
    once = floor_of("cpu", [*same, {**same[0], "blocks": [1.5] * 3}])
    assert (once.between, once.told) == (0.0, pytest.approx(0.5))


def test_a_floor_that_cannot_be_measured_is_told(facts: Facts) -> None:
    broken = replace(facts, floors=(Floor("cuda", trouble="failed: no CUDA device"),))
    told = found(broken, "noise floor, cuda", "measured")
    assert (told.state, told.figure) == (State.SPOILS, "failed: no CUDA device")


def test_how_noisy_is_too_noisy(facts: Facts) -> None:
    def state(between: float, busy: float = 1.0) -> tuple[State, State]:
        floor = Floor(
            "cpu",
            (1.0, 1.0),
            0.001,
            between / 2,
            between,
            busy,
            BUILD,
        )
        there = replace(facts, floors=(floor,))
        topic = "noise floor, cpu"
        return found(there, topic, "can be told").state, found(there, topic, "ran").state

    assert state(0.001) == (State.FINE, State.FINE)
    assert state(0.04) == (State.MIND, State.FINE)
    assert state(0.2, busy=0.95) == (State.SPOILS, State.MIND)
    assert state(0.2, busy=0.5) == (State.SPOILS, State.SPOILS)


def test_a_calm_machine_has_nothing_to_mind(facts: Facts) -> None:
    assert set(states(facts).values()) <= {State.FINE, State.TOLD}


def test_facts_are_read_from_the_files_of_the_system(laptop: Roots) -> None:
    cpu, at_work = processor.gather(laptop), load.gather(laptop)
    assert cpu.governors == ("powersave",)
    assert (cpu.turbo, cpu.smt, cpu.clock, cpu.virtual) == (True, True, "hpet", "QEMU")
    assert (cpu.hottest, cpu.heat_limited) == (91.0, 7)
    assert (at_work.average, at_work.quota) == (1.7, 0.5)
    assert load.count(laptop) == Counters(stolen=50.0, ticks=1000.0, held_back=8000.0, heat_limited=7)
    assert power.gather(laptop).profile == "low-power"


def test_what_spoils_is_told_with_what_to_do(facts: Facts, laptop: Roots) -> None:
    cpu = replace(processor.gather(laptop), usable=2)
    busy = replace(load.gather(laptop), available=1 << 30, swapped=1 << 30)
    before, after = (
        load.count(laptop),
        replace(load.count(laptop), stolen=150.0, ticks=2000.0, held_back=9e3, heat_limited=9),
    )
    there = replace(
        facts, processor=cpu, load=busy, before=before, after=after, power=Power(False, 40.0, "low-power")
    )  # fmt: skip
    wanted = {
        ("processor", "quota"): State.SPOILS,
        ("processor", "machine"): State.MIND,
        ("frequency", "governor"): State.SPOILS,
        ("frequency", "turbo"): State.MIND,
        ("frequency", "heat"): State.SPOILS,
        ("clock", "source"): State.MIND,
        ("load", "last minute"): State.SPOILS,
        ("load", "stolen"): State.SPOILS,
        ("load", "held back"): State.SPOILS,
        ("memory", "available"): State.MIND,
        ("memory", "swapped"): State.MIND,
        ("power", "battery"): State.SPOILS,
        ("power", "profile"): State.SPOILS,
    }
    assert {key: state for key, state in states(there).items() if key in wanted} == wanted
    for each in findings_of(there):
        assert bool(each.advice) is (each.state in (State.MIND, State.SPOILS)), each
    assert found(there, "load", "stolen").figure == "10.0 % of processor time"


@pytest.mark.parametrize(
    ("average", "cores", "state"),
    [(0.2, 1, State.FINE), (0.3, 1, State.SPOILS), (0.4, 2, State.FINE), (0.9, 2, State.MIND), (1.1, 2, State.SPOILS),
     (10.0, 64, State.FINE), (30.0, 64, State.MIND), (63.5, 64, State.SPOILS)],
)  # fmt: skip
def test_load_spoils_where_no_processor_is_left(facts: Facts, average: float, cores: int, state: State) -> None:
    there = replace(facts, processor=replace(facts.processor, usable=cores), load=replace(facts.load, average=average))
    assert found(there, "load", "last minute").state is state


def test_where_the_system_has_no_such_files_that_is_told_and_nothing_fails(tmp_path: Path) -> None:
    bare = examine((), Roots(tmp_path / "no proc", tmp_path / "no sys"))
    assert (bare.processor.governors, bare.processor.turbo, bare.processor.clock) == ((), None, "")
    assert (bare.load.quota, bare.before, bare.after) == (None, Counters(), Counters())
    assert states(bare)["frequency", "governor"] is State.UNKNOWN


def test_quotas_of_the_older_control_groups_are_read_and_no_limit_is_none(tmp_path: Path) -> None:
    def quota(files: Mapping[str, str], at: str) -> float | None:
        return load.gather(Roots(tmp_path / at / "proc", tree(tmp_path / at / "sys", files))).quota

    limit, period = "fs/cgroup/cpu/cpu.cfs_quota_us", "fs/cgroup/cpu/cpu.cfs_period_us"
    assert quota({limit: "150000\n", period: "100000\n"}, "a") == 1.5
    assert quota({limit: "-1\n", period: "100000\n"}, "b") is None
    assert quota({"fs/cgroup/cpu.max": "max 100000\n"}, "c") is None


def test_files_that_hold_nonsense_are_as_good_as_none(tmp_path: Path) -> None:
    files = {f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "many", "class/thermal/thermal_zone0/temp": "hot"}
    roots = Roots(tree(tmp_path / "proc", {"loadavg": "high\n", "stat": "cpu\n"}), tree(tmp_path / "sys", files))
    cpu = processor.gather(roots)
    assert (cpu.hottest, cpu.heat_limited) == (None, None)
    assert load.count(roots).stolen is None


def test_without_torch_the_rest_is_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = call("doctor")
    assert result.exit_code == 0
    assert "nothing can be measured: pip install torch" in result.stdout
    assert "noise floor, cpu" not in result.stdout


def test_a_library_that_is_missing_comes_with_the_line_that_installs_it(facts: Facts) -> None:
    libraries = tuple(replace(each, version="") for each in facts.software.libraries)
    told = found(replace(facts, software=replace(facts.software, libraries=libraries)), "software", "torchode")
    assert told.state is State.MIND
    assert "pip install 'odebench[torchode]'" in told.advice


def test_variables_that_tie_threads_down_are_told(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    there = replace(facts, software=replace(facts.software, environment=software.gather().environment))
    assert found(there, "threads", "too many").state is State.MIND
    assert found(there, "threads", "pinned").figure == "OMP_PROC_BIND=true"
    assert found(there, "threads", "launches").state is State.SPOILS


def test_a_gpu_in_use_slowed_down_or_unseen_by_torch_is_told(facts: Facts) -> None:
    idle = Gpu("H200", 0, 1 << 20, 140 << 30, 0.0, 345, 1980, (), 30, True)
    floor = Floor("cpu", (1.0, 1.0), 0.0, 0.0, 0.0, 1.0, BUILD)
    calm = replace(facts, gpus=(idle,))
    assert {state for (topic, _), state in states(calm).items() if topic == "GPU 0"} <= {State.FINE, State.TOLD}
    used = replace(idle, others=2, utilisation=97.0, slowed=("it is too hot",), persistent=False)
    there = replace(facts, gpus=(used,), floors=(floor,))
    assert found(there, "GPU 0", "others").state is State.SPOILS
    assert found(there, "GPU 0", "utilisation").state is State.SPOILS
    assert found(there, "GPU 0", "slowed").figure == "it is too hot"
    assert found(there, "GPU 0", "persistence").state is State.MIND
    assert found(there, "GPU", "torch").state is State.MIND
    unknown = replace(idle, others=None, utilisation=None, clock=None, persistent=None)
    assert found(replace(facts, gpus=(unknown,)), "GPU 0", "others").state is State.UNKNOWN


def test_what_a_driver_answers_is_read_and_what_it_does_not_is_left_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    pynvml = pytest.importorskip("pynvml")
    answers = {
        "nvmlInit": None, "nvmlShutdown": None, "nvmlDeviceGetHandleByUUID": "handle",
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=5 << 30, total=80 << 30),
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=12),
        "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=-1), SimpleNamespace(pid=os.getpid())],
        "nvmlDeviceGetCurrentClocksEventReasons": 0x44,
        "nvmlDeviceGetClockInfo": 1500, "nvmlDeviceGetMaxClockInfo": 1980,
    }  # fmt: skip
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, lambda *_, answer=answer: answer)
    for name in ("nvmlDeviceGetPersistenceMode", "nvmlDeviceGetTemperature"):
        monkeypatch.setattr(pynvml, name, refuses)
    monkeypatch.setattr(machine, "gpus", lambda: ({"name": "A100", "uuid": "GPU-1", "memory_bytes": 80 << 30},))
    slowed = ("its power is capped", "it is too hot")
    assert gpu.gather() == [Gpu("A100", 1, 5 << 30, 80 << 30, 12.0, 1500, 1980, slowed, None, None)]


@pytest.mark.parametrize("width", [60, 80, 160, None])
def test_lines_fit_and_say_each_state_in_a_word(facts: Facts, laptop: Roots, width: int | None) -> None:
    there = replace(facts, processor=processor.gather(laptop), load=load.gather(laptop))
    lines = [line.text for line in lines_of(findings_of(there), width)]
    assert max(map(cell_len, lines)) <= (width or 10**6)
    assert any(line.startswith("  ✗ spoils ") for line in lines)
    assert any(line.startswith("  ✓ fine ") for line in lines)
    assert "to be minded; counts, bytes and errors are not concerned" in " ".join(lines[-3:])
