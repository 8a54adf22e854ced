"""Operations that train: a run, a sweep, and a run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kdgat.configs.compose import sweep
from kdgat.configs.run import RunConfig
from kdgat.data.captures import load_manifest
from kdgat.errors import RunError
from kdgat.ledger.environment import capture_environment, uncommitted_diff
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import JobFolder
from kdgat.ledger.states import State
from kdgat.ops.config import compose_config
from kdgat.ops.experiment import (
    check_unchanged,
    earlier_run,
    new_record,
    own_config,
    refuse_unfinished,
    resolve_teacher,
)
from kdgat.ops.scorers import resolve_scorers
from kdgat.progress import Progress, quiet
from kdgat.runs.registry import run_named
from kdgat.runs.tracking import sync_after
from kdgat.slurm.local import run_frozen
from kdgat.slurm.snapshot import CODE
from kdgat.stages.table import PROFILE, graphs_key, stage_of
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class TrainingSummary:
    """How a training run ended."""

    run_id: str
    name: str
    folder: str
    outcome: Literal["trained", "resumed", "already done"]
    digest: str
    teacher: str | None
    metrics: dict[str, float | None]
    profile: dict[str, float] | None = None
    """With `resources.profile`: how many steps were timed, and the shares of a step's time."""
    not_in_mlflow: str | None = None
    """Why MLflow does not have the run yet, if it should."""
    scorers: tuple[str, ...] = ()
    """The runs whose models it weighs."""


@dataclass(frozen=True)
class ReplaySummary:
    """A run done again: its figures beside the original's."""

    original: str
    again: TrainingSummary
    identical: bool
    """Whether best epoch and its loss are the same to the last bit."""
    original_metrics: dict[str, float | None]


def train(
    ws: Workspace,
    *,
    overrides: Sequence[str] = (),
    fresh: bool = False,
    progress: Progress = quiet,
) -> TrainingSummary:
    """Train one model; an experiment that is done is not done again, a broken-off one goes on.

    Args:
        ws: the workspace.
        overrides: Hydra overrides, such as `dataset=hcrl_sa model=gat size=small`.
        fresh: train anew even if the same experiment is done or broken off.
        progress: told of every batch.

    Raises:
        ConfigError: an override is wrong, or no stage trains that model.
        DataError: the dataset is not ingested.
        RunError: the teacher or a model to be weighed can't be found, or the same experiment is
            running now.
    """
    return train_config(ws, compose_config(ws, overrides), fresh=fresh, progress=progress)


def train_sweep(
    ws: Workspace,
    *,
    overrides: Sequence[str],
    fresh: bool = False,
    progress: Progress = quiet,
) -> tuple[TrainingSummary, ...]:
    """Train every combination of the overrides' values, one after the other.

    All configs are checked before the first is trained, and that their datasets are here.
    """
    configs = [compose_config(ws, combination) for combination in sweep(overrides)]
    for config in configs:
        stage_of(config.model)
        load_manifest(ws.dataset(config.dataset.name))
    return tuple(train_config(ws, config, fresh=fresh, progress=progress) for config in configs)


def replay(ws: Workspace, run: str, *, progress: Progress = quiet) -> ReplaySummary:
    """Train a run again from its own folder's config, as a new run.

    Raises:
        RunError: there is no such run, it is no training run, or its config is not the one it
            was trained with.
        DataError: the dataset is gone, or changed since the training.
    """
    folder = run_named(ws, run, lambda record: record.subject is None)
    record = folder.record()
    if record.subject is not None:
        raise RunError(
            f"run '{record.run_id}' is an evaluation of '{record.subject}'",
            hint=f"`kdgat evaluate {record.subject} --again` repeats it",
        )
    if folder.current().state is not State.COMPLETED:
        raise RunError(
            f"run '{record.run_id}' is {folder.current().state.value}, so it has no figures to "
            "compare with",
            hint="train it to its end first; the same overrides resume it",
        )
    config = own_config(folder, record)
    check_unchanged(ws, folder, record)
    again = train_config(ws, config, fresh=True, progress=progress)
    deciding = ("best_epoch", "best_val_task_loss")
    same = all(again.metrics.get(name) == record.metrics.get(name) for name in deciding)
    return ReplaySummary(record.run_id, again, same, record.metrics)


def replay_frozen(ws: Workspace, run: str) -> ReplaySummary:
    """As `replay`, with the code that the run's job was frozen with.

    Raises:
        RunError: there is no such run, no job trained it, or its frozen code is gone.
        SlurmError: the replay failed.
    """
    folder = run_named(ws, run, lambda record: record.subject is None and record.job is not None)
    job_id = folder.record().job
    if job_id is None:
        raise RunError(
            f"run '{folder.path.name}' was trained without a job, so its code was not frozen",
            hint="leave out --snapshot: today's code trains it again",
        )
    snapshot = JobFolder(ws.jobs / job_id).record().snapshot
    code = ws.snapshots / str(snapshot) / CODE
    if not code.is_dir():
        raise RunError(
            f"the frozen code of job '{job_id}' is gone: there is no '{ws.show(code)}'",
            hint="leave out --snapshot: today's code trains it again",
        )
    values = json.loads(run_frozen(code, ws.home.resolve(), ("replay", folder.path.name, "--json")))
    return ReplaySummary(**{**values, "again": TrainingSummary(**values["again"])})


def train_config(
    ws: Workspace, config: RunConfig, *, fresh: bool = False, progress: Progress = quiet
) -> TrainingSummary:
    """Train a composed config; see `train`."""
    stage = stage_of(config.model)
    manifest = load_manifest(ws.dataset(config.dataset.name))
    graphs = graphs_key(manifest, config.data)
    config, scorers = resolve_scorers(ws, config, graphs)
    config, teacher = resolve_teacher(ws, config, graphs)
    # torch takes seconds to import: a mistake in the config or a missing dataset is told before.
    from kdgat.stages.prepare import prepare
    from kdgat.stages.train import train as train_stage

    prepared = prepare(ws.dataset(config.dataset.name), config.data, progress)
    folder = None if fresh else earlier_run(ws, config, stage, graphs)
    outcome: Literal["trained", "resumed"] = "trained"
    if folder is not None:
        record = folder.current()
        if record.state is State.COMPLETED:
            return _summary(ws, folder, "already done")
        refuse_unfinished(record)
        outcome = "resumed"
    else:
        record = new_record(config, stage, manifest.content_hash, graphs)
        folder = RunFolder.create(ws.runs, record, config.model_dump(mode="json"))
    with folder.working(capture_environment(ws.root), uncommitted_diff(ws.root)):
        metrics = train_stage(
            folder, config, stage, prepared, ws.memory, teacher, progress, scorers=scorers
        )
        folder.update(metrics=metrics)
    return replace(_summary(ws, folder, outcome), not_in_mlflow=sync_after(ws, folder.path.name))


def _summary(
    ws: Workspace, folder: RunFolder, outcome: Literal["trained", "resumed", "already done"]
) -> TrainingSummary:
    record = folder.record()
    profile = folder.artifacts / PROFILE / "profile.json"
    return TrainingSummary(
        run_id=record.run_id,
        name=record.name,
        folder=ws.show(folder.path),
        outcome=outcome,
        digest=record.digest,
        teacher=record.teacher,
        scorers=record.scorers,
        metrics=record.metrics,
        profile=json.loads(profile.read_bytes()) if profile.is_file() else None,
    )
