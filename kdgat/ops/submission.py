"""The plan of a submission: what there is of the wanted runs, and the jobs for the rest.

Nothing is written here but the cache of memory plans. `ops/submit.py` carries a plan out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import kdgat
from kdgat.configs.run import RunConfig, json_digest
from kdgat.data.captures import DatasetManifest, load_manifest
from kdgat.errors import ConfigError, DataError, RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job, JobFolder, JobState, JobTask
from kdgat.ledger.record import RunRecord, new_run_id, utc_now
from kdgat.ledger.states import State
from kdgat.ops.experiment import (
    UNFINISHED,
    earlier_evaluation,
    earlier_run,
    evaluation_record,
    new_record,
    resolve_planned_teacher,
    with_teacher,
)
from kdgat.ops.job_request import (
    Placed,
    SubmitRequest,
    evaluation_job,
    planned_memory,
    training_job,
)
from kdgat.ops.scorers import resolve_scorers
from kdgat.ops.wanted import WantedJob, WantedRun, Work
from kdgat.slurm.cluster import Cluster, Cost, cost
from kdgat.slurm.script import render
from kdgat.stages.table import graphs_key
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.memory import PlannedMemory
    from kdgat.slurm.snapshot import Snapshot

Outcome = Literal["new", "resume", "intended", "live", "done"]
"""What a submission does with a run: begin it; let it go on; ask whether its job was taken; leave
it to those who work on it; nothing."""
TO_DO = frozenset({"new", "resume"})
_CODE = Path(kdgat.__file__).parents[1]


@dataclass(frozen=True)
class DraftRun:
    """One run, and what there is of it."""

    work: Work
    wanted: WantedRun
    config: RunConfig
    """The config with the run ids of teacher and scorers."""
    record: RunRecord
    outcome: Outcome
    folder: RunFolder | None = None
    needs: RunRecord | None = None
    """The run that must complete before: its teacher or the one it judges."""


@dataclass(frozen=True)
class DraftJob:
    """One wanted job: the job for what is to do, if anything is, and all of its runs."""

    placed: Placed
    runs: tuple[DraftRun, ...]
    job: Job | None = None
    script: str = ""

    @property
    def to_do(self) -> tuple[DraftRun, ...]:
        """The runs that the job works on, by the number of their task."""
        return tuple(run for run in self.runs if run.outcome in TO_DO)


@dataclass
class Notes:
    """What a plan rests on and what a person should know, each told once."""

    assumed: dict[str, None] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    memory: dict[str, PlannedMemory | None] = field(default_factory=dict)
    """Plans by all that they depend on, so that a second look at the runs plans nothing anew."""


def draft(
    ws: Workspace,
    cluster: Cluster,
    asked: SubmitRequest,
    wanted: Sequence[WantedJob],
    snapshot: Snapshot,
    notes: Notes,
    *,
    strict: bool,
) -> tuple[DraftJob, ...]:
    """What there is of the wanted runs, and the jobs for the rest.

    Args:
        ws: the workspace.
        cluster: where they are to run.
        asked: what was asked for.
        wanted: the runs.
        snapshot: the code they will run.
        notes: takes what the plan rests on.
        strict: refuse datasets that are not ingested, whose runs can't be told apart.

    Raises:
        ConfigError, DataError, RunError, SlurmError, MemoryPlanError: the runs can't be submitted.
    """
    drafts: list[DraftJob] = []
    planned: dict[str, RunRecord] = {}
    template = _template(ws)
    for each in wanted:
        before = None if each.after is None else drafts[each.after]
        if each.work == "train":
            placed = training_job(cluster, asked, each.runs[0].config.resources)
            teacher = None if before is None else before.runs[0].record
            runs = tuple(
                _training(ws, run, teacher, planned, notes, fresh=asked.fresh, strict=strict)
                for run in each.runs
            )
        else:
            assert before is not None
            placed = evaluation_job(cluster, asked, before.placed)
            runs = tuple(_evaluation(ws, run) for run in before.runs)
        planned |= {run.record.run_id: run.record for run in runs if run.outcome != "done"}
        made = DraftJob(placed, runs)
        drafts.append(_with_job(ws, cluster, made, drafts, snapshot, template, notes))
    return tuple(drafts)


def code_root() -> Path:
    """The checkout that this very code is in, which is what a job is to run."""
    return _CODE


def task_cost(cluster: Cluster, made: DraftJob) -> Cost:
    """What one task takes at its time limit."""
    return cost(cluster, made.placed.partition, made.placed.request)


def _training(
    ws: Workspace,
    wanted: WantedRun,
    teacher: RunRecord | None,
    planned: Mapping[str, RunRecord],
    notes: Notes,
    *,
    fresh: bool,
    strict: bool,
) -> DraftRun:
    config = wanted.config if teacher is None else with_teacher(wanted.config, teacher.run_id)
    manifest = _manifest(ws, config, notes, strict=strict)
    if manifest is None:
        record = new_record(config, wanted.stage, "", "")
        return DraftRun("train", wanted, config, record, "new", needs=teacher)
    graphs = graphs_key(manifest, config.data)
    config, _ = resolve_scorers(ws, config, graphs)
    config, found = resolve_planned_teacher(ws, config, graphs, planned)
    folder = None if fresh else earlier_run(ws, config, wanted.stage, graphs)
    if folder is None:
        record = new_record(config, wanted.stage, manifest.content_hash, graphs)
        return DraftRun("train", wanted, config, record, "new", needs=_unless_done(found))
    record, outcome = folder.current(), _outcome(ws, folder)
    return DraftRun("train", wanted, config, record, outcome, folder, _unless_done(found))


def _evaluation(ws: Workspace, subject: DraftRun) -> DraftRun:
    needs, judged = _unless_done(subject.record), subject.config.evaluation
    folder = None if subject.outcome == "new" else earlier_evaluation(ws, subject.record, judged)
    if folder is None:
        record = evaluation_record(subject.record, judged)
        return DraftRun("evaluate", subject.wanted, subject.config, record, "new", needs=needs)
    record, outcome = folder.current(), _outcome(ws, folder)
    return DraftRun("evaluate", subject.wanted, subject.config, record, outcome, folder, needs)


def _outcome(ws: Workspace, folder: RunFolder) -> Outcome:
    record = folder.current()
    if record.state is State.COMPLETED:
        return "done"
    job = None if record.job is None else job_record(ws, record.job)
    # A run that goes on keeps its old state until its job is known to be taken.
    if job is not None and job.state is JobState.INTENDED and record.state is not State.RUNNING:
        return "intended"
    planned = folder.record().state is State.PLANNED
    if planned and job is not None and job.state is JobState.SUBMITTED and job.scheduler_id:
        # Whoever submitted it was stopped before he could write that down.
        return "live"
    if record.state is State.PLANNED and (job is None or job.state is not JobState.SUBMITTED):
        return "resume"
    return "live" if record.state in UNFINISHED else "resume"


def job_record(ws: Workspace, job_id: str) -> Job | None:
    """The record of a job; None where it is missing or broken."""
    try:
        return JobFolder(ws.jobs / job_id).record()
    except RunError:
        return None


def _unless_done(record: RunRecord | None) -> RunRecord | None:
    return None if record is None or record.state is State.COMPLETED else record


def _manifest(
    ws: Workspace, config: RunConfig, notes: Notes, *, strict: bool
) -> DatasetManifest | None:
    name = config.dataset.name
    try:
        return load_manifest(ws.dataset(name))
    except DataError:
        if strict:
            raise
        told = f"'{name}' is not ingested here, so which of its runs are done is not known"
        notes.assumed[told] = None
        return None


def _with_job(
    ws: Workspace,
    cluster: Cluster,
    made: DraftJob,
    before: Sequence[DraftJob],
    snapshot: Snapshot,
    template: str,
    notes: Notes,
) -> DraftJob:
    """The draft with a job for what is to do."""
    to_do, request = made.to_do, made.placed.request
    if not to_do:
        return made
    local = cluster.scheduler == "none"
    job = Job(
        job_id=new_run_id(),
        cluster=cluster.name,
        created_at=utc_now(),
        tasks=tuple(
            JobTask(run.record.run_id, run.work, run.needs.run_id if run.needs else None)
            for run in to_do
        ),
        request=request,
        needs=tuple(dict.fromkeys(_needed_jobs(ws, cluster, to_do, before))),
        # Nobody can be asked what became of a job without a scheduler.
        state=JobState.SUBMITTED if local else JobState.INTENDED,
        snapshot=snapshot.name,
        array=len(to_do) > 1,
        details={
            "commit": snapshot.commit,
            "dirty": snapshot.dirty,
            **_memory(ws, made, notes),
        },
    )
    script = render(
        job,
        cluster,
        python=sys.executable,
        code=snapshot.path,
        home=ws.home.resolve(),
        template=template,
    )
    return DraftJob(made.placed, made.runs, job, script)


def _needed_jobs(
    ws: Workspace, cluster: Cluster, to_do: Sequence[DraftRun], before: Sequence[DraftJob]
) -> Iterator[str]:
    """The jobs that these runs wait for.

    Raises:
        RunError: a run they need is worked on by no job of this cluster.
    """
    ours = {
        run.record.run_id: each.job.job_id
        for each in before
        if each.job is not None
        for run in each.to_do
    }
    for needed in (run.needs for run in to_do if run.needs is not None):
        if needed.run_id in ours:
            yield ours[needed.run_id]
            continue
        job = None if needed.job is None else job_record(ws, needed.job)
        if job is None or job.cluster != cluster.name or cluster.scheduler == "none":
            where = f"job '{job.job_id}' of {job.cluster}" if job else f"a process on {needed.host}"
            raise RunError(
                f"run '{needed.run_id}', which is needed first, is {needed.state.value} by {where}",
                hint="wait for it to complete, then submit again",
            )
        yield job.job_id


def _memory(ws: Workspace, made: DraftJob, notes: Notes) -> dict[str, object]:
    """The tightest plan of a job's trainings, as the job's record keeps it."""
    plans: list[PlannedMemory] = []
    for run in made.to_do:
        if run.work != "train" or run.wanted.stage.how != "gradient":
            continue
        overrides = run.wanted.overrides
        request = made.placed.request
        alike = run.wanted.config.model_copy(update={"seed": 0}).model_dump(mode="json")
        key = json_digest([alike, request.gpu, request.memory_mb, request.tasks_per_node])
        if key not in notes.memory:
            notes.memory[key], why = planned_memory(ws, overrides, made.placed)
            notes.assumed |= dict.fromkeys(why)
        plan = notes.memory[key]
        if plan is not None:
            plans.append(plan)
            notes.assumed |= dict.fromkeys(plan.assumed)
            notes.warnings |= dict.fromkeys(plan.warnings)
        if run.needs is not None:
            told = "students are planned with the newest teacher of their kind, until it is trained"
            notes.assumed[told] = None
    if not plans:
        return {}
    tightest = max(plans, key=lambda plan: plan.peak_reserved_bytes)
    names = (
        "gpu", "capacity_bytes", "peak_allocated_bytes", "peak_reserved_bytes", "headroom_bytes",
        "steps_per_epoch", "limited_by", "cached",
    )  # fmt: skip
    return {"memory": {name: getattr(tightest, name) for name in names}}


def _template(ws: Workspace) -> str:
    """The workspace's template, or else the one that comes with kdgat."""
    for root in (ws.root, _CODE):
        path = root / "slurm" / "job.sh.in"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise ConfigError(
        f"there is no template of a job's script in '{ws.show(ws.clusters.parent)}'",
        hint="restore slurm/job.sh.in from kdgat's repository",
    )
