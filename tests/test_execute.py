"""Workers: every way to end becomes a status and a sentence, and nobody is left behind."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import worker_jobs
from census import alive, survivors

from odebench.execute import verdict
from odebench.execute.crew import Crew, Job, Worker
from odebench.execute.messages import Answer

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture(scope="module")
def crew():
    with Crew() as crew:
        yield crew


def ended(crew: Crew, name: str, payload: object = None, *, timeout: float = 60.0, **options: object) -> Worker:
    crew.start(Job(f"worker_jobs:{name}", payload, timeout, **options))
    (worker,) = crew.wait()
    return worker


def at(code: str) -> str:
    """Where `code` is, as a reason tells it."""
    lines = Path(worker_jobs.__file__).read_text(encoding="utf-8").splitlines()
    return f"(worker_jobs.py:{next(number for number, line in enumerate(lines, 1) if code in line)})"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_worker_answers_piece_by_piece(crew, fresh):
    worker = ended(crew, "answers", {"asked": [1, "two"]}, fresh=fresh)
    said = worker.answer
    assert (worker.status, worker.reason) == ("ok", "")
    assert said.metrics["count"] == 3
    assert math.isnan(said.metrics["figure"])
    assert said.samples == {"seconds": [1.0, math.inf]}
    assert (said.mesh, said.notes, said.settings) == ([0.0, 1.0], ["seen"], {"threads": 1})
    assert said.answer == {"asked": [1, "two"]}


def test_a_forked_worker_has_torch_imported_and_a_fresh_one_has_not(crew):
    assert ended(crew, "has_torch").answer.answer is True
    assert ended(crew, "has_torch", fresh=True).answer.answer is False


def test_this_process_never_imports_torch():
    program = "import sys, odebench.execute.run, odebench.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_forked_worker_may_use_many_threads(crew):
    assert ended(crew, "spawns_torch_threads", threads=2).answer.answer is True


def test_a_worker_is_the_leader_of_its_session_and_reads_nothing(crew):
    assert ended(crew, "session").answer.answer == [True, ""]


@pytest.mark.parametrize(
    ("job", "payload", "status", "reason"),
    [
        ("raises", None, "failed", f"ValueError: one line and another {at('raise ValueError')}"),
        ("exits_politely", None, "failed", f"SystemExit: 0 {at('sys.exit(0)')}"),
        ("diverges", None, "diverged", "the solution is not finite after 3 steps"),
        ("floats", None, "diverged", f"FloatingPointError: overflow {at('raise FloatingPointError')}"),
        ("refuses", None, "refused", "mali is for alf"),
        ("exits", 0, "crashed", "the worker exited with code 0 before it answered; it last printed: last words"),
        ("exits", 7, "crashed", "the worker exited with code 7 before it answered; it last printed: last words"),
        ("segfaults", None, "crashed", f"killed by signal 11 (SIGSEGV) in segfaults {at('ctypes.string_at')}"),
        ("killed", None, "crashed", "killed by signal 9 (SIGKILL)"),
        ("no_such_job", None, "failed", "AttributeError: module 'worker_jobs' has no attribute 'no_such_job'"),
        ("writes_garbage", "rubbish\n", "failed", "the worker's answer cannot be read: 'rubbish'"),
        ("writes_garbage", '{"metrics": {"a": "b"}}\n', "failed", "the worker's answer cannot be read: "),
        ("writes_garbage", '{"surprise": 1}\n', "failed", "the worker's answer cannot be read: "),
    ],
)
def test_every_end_is_told_in_one_sentence(crew, job, payload, status, reason):
    worker = ended(crew, job, payload)
    assert worker.status == status
    assert worker.reason.startswith(reason)


def test_a_fresh_worker_ends_in_the_same_words(crew):
    worker = ended(crew, "segfaults", fresh=True)
    assert worker.status == "crashed"
    assert worker.reason == f"killed by signal 11 (SIGSEGV) in segfaults {at('ctypes.string_at')}"


def test_a_worker_out_of_time_is_killed_and_the_sentence_says_where_it_was(crew):
    worker = ended(crew, "loops", timeout=1.0)
    assert worker.status == "timed_out"
    assert worker.reason.startswith("not finished after 1 s; it was in loops (worker_jobs.py:")
    assert worker.answer.metrics == {"count": 3}


def test_what_was_measured_before_an_error_is_kept(crew):
    assert ended(crew, "raises").answer.metrics == {"count": 3}


def test_memory_that_is_not_there_is_refused_and_not_taken_from_others(crew):
    worker = ended(crew, "allocates", memory_share=0.05)
    assert (worker.status, worker.reason) == ("out_of_memory", f"MemoryError {at('kept.append')}")


def test_an_allocator_that_aborts_ran_out_of_memory(crew):
    assert ended(crew, "aborts_for_memory").status == "out_of_memory"


def test_a_kill_while_the_kernel_was_short_of_memory_is_out_of_memory():
    told = verdict.of_end(Answer(), -signal.SIGKILL, "", "", starved=True)
    assert told == ("out_of_memory", "the kernel killed the worker for lack of memory")


def test_a_hundred_megabytes_of_prints_harm_nobody(crew):
    assert ended(crew, "prints").status == "ok"


def test_processes_that_a_worker_leaves_are_found_wherever_they_hide(monkeypatch):
    marker = f"ODEBENCH_TEST_MARK={uuid.uuid4()}"
    monkeypatch.setenv(*marker.split("="))
    with Crew(preload=False) as crew:
        for fresh in (False, True):
            assert ended(crew, "leaves_children", fresh=fresh).status == "ok"
            assert ended(crew, "answers").status == "ok"  # the zygote has reaped by now
            assert not [line for line in alive(marker) if "sleep" in line]
    assert not survivors(marker)


def test_a_run_goes_on_when_its_zygote_is_killed():
    with Crew(preload=False) as crew:
        for _ in range(2):
            worker = ended(crew, "kills_its_parent")
            assert worker.status == "crashed"
            assert worker.reason == "the process that starts workers was killed while this one ran"
            assert ended(crew, "answers").status == "ok"


def test_workers_run_side_by_side():
    with Crew(preload=False) as crew:
        slow = crew.start(Job("worker_jobs:sleeps", 600, 60.0))
        quick = crew.start(Job("worker_jobs:answers", None, 60.0))
        assert crew.wait() == [quick]
        assert crew.running == [slow]


def test_the_run_sleeps_while_a_worker_works():
    with Crew(preload=False) as crew:
        before = crew.wakeups
        worker = ended(crew, "sleeps", 0.5)
        assert worker.status == "ok"
        # The last message, the end of the pipe, the report of its end; a run that polls would wake hundreds of times.
        assert crew.wakeups - before <= 4


@pytest.mark.parametrize("fresh", [False, True])
def test_no_worker_outlives_a_run_that_is_killed(fresh):
    marker = f"ODEBENCH_TEST_MARK={uuid.uuid4()}"
    program = f"""
import sys
sys.path[:] = {sys.path!r}
from odebench.execute.crew import Crew, Job
crew = Crew(preload=False)
crew.start(Job("worker_jobs:loops", None, 600.0, fresh={fresh}))
crew.start(Job("worker_jobs:leaves_children", None, 600.0))
print(len(crew.wait()), flush=True)
crew.wait()
"""
    environment = {**os.environ, marker.partition("=")[0]: marker.partition("=")[2]}
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
    assert run.stdout is not None
    assert run.stdout.readline() == b"1\n"
    assert alive(marker)
    run.kill()
    run.wait()
    run.stdout.close()
    assert not survivors(marker)


def test_messages_are_taken_in_whatever_pieces_they_come():
    messages = {"metrics": {"a": 1}}, {"mesh": [0.0]}, {"done": True}
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in messages)
    for size in range(1, len(lines) + 1):
        said = Answer()
        for start in range(0, len(lines), size):
            said.feed(lines[start : start + size])
        assert (said.metrics, said.mesh, said.done, said.garbage) == ({"a": 1}, [0.0], True, "")


def test_the_frame_to_blame_is_the_plugins_own():
    library = (os.__file__, 3, "join")
    ours = (str(verdict.Path(verdict.__file__).parents[1] / "integrate.py"), 10, "walk")
    plugin = ("/home/somebody/my_solver.py", 12, "step")
    assert verdict.culprit([library, plugin, ours]) == plugin
    assert verdict.culprit([library, ours]) == ours
    assert verdict.culprit([library]) == library
    assert verdict.culprit([]) is None
