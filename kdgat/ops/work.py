"""The operation that a job carries out on its node: one run, from where it stands."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Literal, Self

from kdgat.configs.run import RunConfig
from kdgat.data.captures import load_manifest
from kdgat.errors import KdgatError, RunError
from kdgat.ledger.environment import capture_environment
from kdgat.ledger.folder import Paused, RunFolder
from kdgat.ledger.record import RunRecord
from kdgat.ledger.states import State
from kdgat.ops.evaluation import judge
from kdgat.ops.experiment import check_unchanged, own_config, resolve_teacher
from kdgat.ops.scorers import resolve_scorers
from kdgat.progress import Progress, quiet
from kdgat.runs.registry import run_named
from kdgat.slurm.reconcile import cancel_dependents
from kdgat.slurm.snapshot import RECORD
from kdgat.stages.table import graphs_key, stage_of
from kdgat.training.ranks import ranks_of
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class WorkReport:
    """How a job's work on a run ended."""

    run_id: str
    name: str
    outcome: Literal["done", "already done", "prepared", "paused"]
    requeue: bool = False
    """Whether the job is to be put into the queue again, to go on from its checkpoint."""
    reason: str | None = None


def work(
    ws: Workspace,
    run: str,
    *,
    prepare: bool = False,
    environ: Mapping[str, str] | None = None,
    progress: Progress = quiet,
) -> WorkReport:
    """Train or judge a run that was submitted, with the config it was frozen with.

    A SIGUSR1, which the scheduler sends before the time is over, makes a training save after its
    next step and end as `paused`.

    Args:
        ws: the workspace; its root is the frozen code.
        run: id of the run.
        prepare: only make the graphs and plan the memory, before several processes share the run.
        environ: the environment variables of the job; by default this process's.
        progress: told of every batch.

    Raises:
        RunError: there is no such run, it was cancelled, or another job works on it.
        KdgatError: it can't be trained or judged; the run is then marked as failed, and the runs
            that wait for it as cancelled.
    """
    env = os.environ if environ is None else environ
    folder = run_named(ws, run)
    record = folder.current()
    with _Asked() as asked:
        if record.state is State.COMPLETED:
            return WorkReport(record.run_id, record.name, "already done")
        _check_turn(record, env)
        try:
            if record.subject is not None:
                return _evaluated(ws, folder, record, prepare, env, progress)
            return _trained(ws, folder, record, prepare, env, asked, progress)
        except Exception as error:
            _pass_on(ws, folder, error)
            raise


class _Asked:
    """Whether the scheduler asked to save and stop; listens while its block lasts."""

    def __init__(self) -> None:
        self._told = False

    def __call__(self) -> bool:
        return self._told

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGUSR1, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGUSR1, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._told = True


def _check_turn(record: RunRecord, env: Mapping[str, str]) -> None:
    if record.state is State.CANCELLED:
        raise RunError(
            f"run '{record.run_id}' was cancelled: {record.reason}",
            hint="submit it again: the same words take it up where it stands",
        )
    # Of one job the scheduler runs one at a time, so what says it is running is an attempt before.
    if record.state is State.RUNNING and record.job != env.get("KDGAT_JOB"):
        raise RunError(
            f"run '{record.run_id}' is running on {record.host} (process {record.pid})",
            hint="wait for it, or cancel it: kdgat cancel RUN",
        )


def _trained(
    ws: Workspace,
    folder: RunFolder,
    record: RunRecord,
    prepare: bool,
    env: Mapping[str, str],
    asked: _Asked,
    progress: Progress,
) -> WorkReport:
    # By processes, whose memory a node without cgroups counts as another of this one's: so before
    # torch is in it.
    environment = _environment(ws, env)
    config = own_config(folder, record)
    ranks = None if prepare else ranks_of(config.resources, env)
    check_unchanged(ws, folder, record)
    teacher, scorers = _needed(ws, config)
    stage = stage_of(config.model)
    # torch takes seconds to import: what is wrong with the run is told before.
    from kdgat.stages.prepare import prepare as make_graphs
    from kdgat.stages.train import plan
    from kdgat.stages.train import train as train_stage

    prepared = make_graphs(ws.dataset(config.dataset.name), config.data, progress)
    if ranks is None:
        plan(folder, config, stage, prepared, ws.memory, teacher)
        return WorkReport(record.run_id, record.name, "prepared")
    paused = _when_paused(env)
    working = folder.working(environment, when_paused=paused) if ranks.leads else nullcontext()
    try:
        with working:
            metrics = train_stage(
                folder, config, stage, prepared, ws.memory, teacher, progress, asked, scorers
            )
            if ranks.leads:
                folder.update(metrics=metrics)
    except Paused:
        state, reason = paused
        again = state is State.SUBMITTED
        return WorkReport(record.run_id, record.name, "paused", again, reason)
    return WorkReport(record.run_id, record.name, "done")


def _evaluated(
    ws: Workspace,
    folder: RunFolder,
    record: RunRecord,
    prepare: bool,
    env: Mapping[str, str],
    progress: Progress,
) -> WorkReport:
    if prepare:
        return WorkReport(record.run_id, record.name, "prepared")
    subject = run_named(ws, record.subject or "")
    judge(ws, subject, lambda: folder, _environment(ws, env), None, progress)
    return WorkReport(record.run_id, record.name, "done")


def _needed(ws: Workspace, config: RunConfig) -> tuple[RunFolder | None, tuple[RunFolder, ...]]:
    """The runs that a training rests on: its teacher, and the models it weighs."""
    graphs = graphs_key(load_manifest(ws.dataset(config.dataset.name)), config.data)
    return resolve_teacher(ws, config, graphs)[1], resolve_scorers(ws, config, graphs)[1]


def _when_paused(env: Mapping[str, str]) -> tuple[State, str]:
    """State and reason of a run that was asked to stop, before its job begins again or gives up."""
    restarts, most = (int(env.get(n, 0)) for n in ("SLURM_RESTART_COUNT", "KDGAT_MAX_RESTARTS"))
    if restarts < most:
        return State.SUBMITTED, f"its time was nearly over; goes on in restart {restarts + 1}"
    return State.TIMEOUT, f"its time was over, after {restarts} of {most} restarts"


def _environment(ws: Workspace, env: Mapping[str, str]) -> dict[str, Any]:
    """What the run runs on; of the code what was noted when it was frozen."""
    environment = capture_environment(ws.root, env)
    try:
        frozen = json.loads((ws.root.parent / RECORD).read_bytes())
        told = {f"git_{name}": frozen[name] for name in ("commit", "branch", "dirty")}
        return {**environment, **told, "snapshot": frozen["name"]}
    except (OSError, ValueError, KeyError, TypeError):
        # Not frozen: the root is a checkout, of which git told.
        return environment


def _pass_on(ws: Workspace, folder: RunFolder, error: Exception) -> None:
    """Note why a run failed, also before it began, and tell the runs that wait for it."""
    reason = error.problem if isinstance(error, KdgatError) else repr(error)
    if "SIGTERM" in reason:
        # Who sent it, and whether the job comes again, the scheduler knows.
        return
    record = folder.record()
    if record.state in (State.PLANNED, State.SUBMITTED):
        folder.fail(reason)
    if record.job is not None:
        cancel_dependents(ws, record.job, reason, run_id=record.run_id)
