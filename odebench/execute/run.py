"""A run: suites -> plan -> one record per cell, each on disk before the next cell starts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from odebench import machine
from odebench.errors import NothingSelected, UsageError
from odebench.execute.crew import Crew, Job, Worker
from odebench.execute.folder import choose, resumable
from odebench.execute.observer import Observer, Silence
from odebench.execute.originals import Originals, Versions, importable, remarks
from odebench.execute.owners import owners, plugins_of
from odebench.execute.planning import make_request, prepare_plan
from odebench.execute.schedule import Schedule, Task, now
from odebench.execute.stages import TRAINING, stage_of
from odebench.execute.truths import Truths
from odebench.plan import Plan, Planned
from odebench.provenance import Provenance, behind, joint_digest
from odebench.record import Cell, Record
from odebench.store import Store, key_of
from odebench.suite.loading import Suite
from odebench.suite.select import Filter

_PROBE = 120.0  # seconds for a worker to import torch and count GPUs


@dataclass(frozen=True)
class RunResult:
    """What a run left: the folder, every record in it in the order of the plan, and what a command ends with."""

    folder: Path
    records: tuple[Record, ...]
    exit_code: int  # 0, or 3 if some cell is neither ok nor refused


def run_suites(
    request: Mapping[str, Any],
    *,
    output: Path | None = None,
    resume: Path | None = None,
    where: Filter | None = None,
    jobs: int = 1,
    observer: Observer | None = None,
) -> RunResult:
    """Measure every cell that `request` asks for.

    Args:
        request: "suites", "plugins", "overrides", as `plan.prepare` takes them; all optional for a resumed run.
        output: the results folder, new or empty; None: `results/<suite>-<UTC time>`.
        resume: a results folder to go on with, instead of `output`.
        where: which of the cells to run; None: all, or for a resumed run without suites those it was started with.
        jobs: CPU cells at a time. GPU cells always run alone.
        observer: is told how it goes.

    Raises:
        SuiteError: a suite is invalid; holds every finding. Nothing was run.
        UsageError: the folder cannot be used, or cannot be resumed with these suites. Nothing was run.
        NothingSelected: the filter left no cell.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP; every finished cell is saved, and no worker is left.
    """
    if jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {jobs}")
    if output is not None and resume is not None:
        raise UsageError(f"--resume {resume} goes on in that folder; leave -o {output} out")
    watcher: Observer = observer or Silence()
    with _signals(), Crew() as crew, Truths() as truths, ExitStack() as ending:
        source = resumable(resume, bool(request.get("suites"))) if resume is not None else None
        gone = ending.enter_context(importable(resume))
        wanted = make_request(request, source.suite if source else None)
        plan = prepare_plan(wanted, crew)
        if source is not None:
            where = where if where is not None or request.get("suites") else source.filter()
            if any(request.get(each) for each in ("suites", "plugins", "overrides")):
                source.check(plan, wanted, crew)
        chosen = select(plan, where)
        folder = resume if resume is not None else choose(output, plan.suites)
        with Store(folder, [each.cell for each in plan.cells]) as store:
            stands_for = {copy: named for named, copy in wanted.get("stand_ins", {}).items()}
            store.describe([_as_named(suite, stands_for).to_data() for suite in plan.suites])
            known = {key_of(each.cell) for each in chosen.cells}
            watcher.start(chosen, folder, [each for each in store.records() if key_of(each.cell) in known])
            missing = [each for each in chosen.cells if key_of(each.cell) not in store.found]
            if missing:
                lost = [*gone, *stands_for.values()]
                for remark in remarks(folder, plan.plugins, (each.cell for each in missing), store.records(), lost):
                    watcher.note(remark)
                _describe_machine(store, plan, missing, crew, {"filter": where.text if where else None, "jobs": jobs})
            _run_of(plan, missing, store, crew, truths, watcher, jobs).go()
            records = tuple(store.records())
    return RunResult(folder, records, exit_code(records))


def select(plan: Plan, where: Filter | None) -> Plan:
    """The plan with only the cells that the filter takes.

    Raises:
        NothingSelected: those are none.
    """
    if where is None:
        return plan
    cells = tuple(each for each in plan.cells if where.matches(each.cell))
    if not cells:
        raise NothingSelected(f"-k {where.text!r} selects none of the {len(plan.cells)} cells")
    return replace(plan, cells=cells)


def exit_code(records: Iterable[Record]) -> int:
    """0 if every cell is ok or refused, else 3."""
    return 0 if all(record.status in ("ok", "refused") for record in records) else 3


@dataclass
class _Run:
    """The loop of one run, and what it needs at hand."""

    store: Store
    crew: Crew
    truths: Truths
    schedule: Schedule
    observer: Observer
    jobs: int
    plugins: Callable[[Cell], tuple[Provenance, ...]]  # of the cell's suite, as the plan loaded them
    originals: Originals
    versions: Versions

    def go(self) -> None:
        """Until no cell is left."""
        self.crew.heard = self._heard
        while True:
            refused = self.schedule.refused()
            if refused:
                self._save(*(self._refusal(planned) for planned in refused))
            elif (task := self.schedule.next()) is not None:
                self._start(task)
            elif self.crew.running:
                for worker in self.crew.wait():
                    self._ended(worker)
            else:
                break

    def _start(self, task: Task) -> None:
        worker = self.crew.start(task.job)
        self.schedule.running[worker] = task
        if task.is_cell:
            self.observer.cell_started(task.cell)
        else:
            assert task.truth is not None
            self.truths.began(task.truth, worker)
            self.observer.truth_started(task.cell)

    def _heard(self, worker: Worker) -> None:
        task = self.schedule.running.get(worker)
        if task is not None and task.is_cell:
            stage = TRAINING if task.job.name == "train" else stage_of(worker.answer)
            self.observer.cell_stage(task.cell, stage)

    def _ended(self, worker: Worker) -> None:
        task = self.schedule.running.pop(worker)
        if task.is_cell:
            self._save(self._record(task, worker))
            if task.job.name == "train":
                _forget(Path(task.job.payload["checkpoint"]))
            return
        trouble = self.truths.ended(worker)
        self.observer.truth_ended(task.cell)
        if trouble:
            self.observer.note(f"no true answer for {task.cell.problem}, so no errors against it: {trouble}")

    def _record(self, task: Task, worker: Worker) -> Record:
        said = worker.answer
        notes = list(said.notes)
        if task.truth is not None and (trouble := self.truths.trouble(task.truth)):
            notes.append(f"no true answer to compare with: {trouble}")
        return self._stamped(
            Record(
                task.cell, worker.status, worker.reason, said.metrics, said.samples, said.mesh, tuple(notes),
                {**said.settings, "jobs": self.jobs}, started=task.started, curves=said.curves,
            ),
            # A worker that died before it could say what it had loaded had the plan's plugins in front of it.
            self.plugins(task.cell) if said.plugins is None else tuple(map(Provenance.from_data, said.plugins)),
        )  # fmt: skip

    def _refusal(self, planned: Planned) -> Record:
        return self._stamped(
            Record(planned.cell, "refused", planned.refusal or "", started=now()), self.plugins(planned.cell)
        )

    def _stamped(self, record: Record, plugins: tuple[Provenance, ...]) -> Record:
        used = behind(record.cell, plugins)
        self.originals.keep(used)  # it may have been edited since the plan was made
        return replace(
            record, notes=(*record.notes, *self.versions.remarks(record.cell, used)),
            machine=machine.fingerprint(), commit=machine.commit(), version=machine.version(),
            plugin_digest=joint_digest(used), plugins=[each.to_record() for each in plugins],
        )  # fmt: skip

    def _save(self, *records: Record) -> None:
        self.store.append(*records)
        for record in records:
            self.observer.cell_finished(record)


def _run_of(
    plan: Plan, missing: list[Planned], store: Store, crew: Crew, truths: Truths, watcher: Observer, jobs: int
) -> _Run:
    """The run of the `missing` cells, with what is known of their suites and plugins."""
    owner = owners(plan)

    def plugins(cell: Cell) -> tuple[Provenance, ...]:
        return plugins_of(plan, owner(cell))

    originals = Originals(store.folder)
    originals.keep(_own(plan))
    schedule = Schedule([(each, owner(each.cell)) for each in missing], truths, jobs, store.folder)
    return _Run(store, crew, truths, schedule, watcher, jobs, plugins, originals, Versions(store.records()))


def _describe_machine(
    store: Store, plan: Plan, missing: Iterable[Planned], crew: Crew, options: Mapping[str, Any]
) -> None:
    # As records have them; several suites may ask for several.
    threads = sorted({suite.measure.threads for suite in plan.suites})
    facts = machine.describe() | {"threads": threads[0] if len(threads) == 1 else threads, "run": options}
    store.describe_machine(facts)
    devices = {each.cell.device for each in missing if each.refusal is None}
    if devices:
        # What torch itself says can only be asked in a worker. CUDA must not be touched in a fork.
        crew.start(Job("probe", {}, _PROBE, fresh=devices != {"cpu"}))
        (worker,) = crew.wait()
        store.describe_machine(facts | {"torch": worker.answer.answer or {"trouble": worker.reason}})


def _own(plan: Plan) -> list[Provenance]:
    """The plugins whose sources are kept whether or not a row comes of them: those that suites name."""
    named = {each for suite in plan.suites for each in suite.plugins}
    return [each for each in plan.plugins if each.plugin in named]


def _as_named(suite: Suite, stands_for: Mapping[str, str]) -> Suite:
    """The suite with the plugins that it names, where copies stand in for them."""
    return replace(suite, plugins=tuple(stands_for.get(each, each) for each in suite.plugins))


def _forget(checkpoint: Path) -> None:
    """What a finished training run no longer needs."""
    checkpoint.unlink(missing_ok=True)
    with suppress(OSError):  # others are still there
        checkpoint.parent.rmdir()


@contextmanager
def _signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the run as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
