"""Operations that train: a run, a sweep, and a run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kdgat.configs.compose import sweep
from kdgat.configs.fields import validated
from kdgat.configs.run import RunConfig, identity_of, json_digest
from kdgat.data.captures import load_manifest
from kdgat.errors import DataError, RunError
from kdgat.ledger.environment import capture_environment, uncommitted_diff
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, new_run_id, utc_now
from kdgat.ledger.scan import LATEST, find_run, readable, run_folders
from kdgat.ledger.states import RESUMABLE, State
from kdgat.ops.config import compose_config
from kdgat.progress import Progress, quiet
from kdgat.runs.registry import resolve_model
from kdgat.runs.tracking import sync_after
from kdgat.stages.table import Stage, graphs_key, stage_of
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
    not_in_mlflow: str | None = None
    """Why MLflow does not have the run yet, if it should."""


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
        RunError: the teacher can't be found, or the same experiment is running now.
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
    folder = find_run(ws.runs, resolve_model(ws, run), lambda record: record.subject is None)
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
    values = folder.config()
    config = validated(values, f"'{folder.path / 'config.json'}'")
    _check_own_config(folder, values, record)
    check_unchanged(ws, folder, record)
    again = train_config(ws, config, fresh=True, progress=progress)
    deciding = ("best_epoch", "best_val_task_loss")
    same = all(again.metrics.get(name) == record.metrics.get(name) for name in deciding)
    return ReplaySummary(record.run_id, again, same, record.metrics)


def train_config(
    ws: Workspace, config: RunConfig, *, fresh: bool = False, progress: Progress = quiet
) -> TrainingSummary:
    """Train a composed config; see `train`."""
    stage = stage_of(config.model)
    manifest = load_manifest(ws.dataset(config.dataset.name))
    graphs = graphs_key(manifest, config.data)
    config, teacher = resolve_teacher(ws, config, graphs)
    # torch takes seconds to import: a mistake in the config or a missing dataset is told before.
    from kdgat.stages.prepare import prepare
    from kdgat.stages.train import train as train_stage

    prepared = prepare(ws.dataset(config.dataset.name), config.data, progress)
    folder = None if fresh else _earlier(ws, config, stage, graphs)
    outcome: Literal["trained", "resumed"] = "trained"
    if folder is not None:
        record = folder.current()
        if record.state is State.COMPLETED:
            return _summary(ws, folder, "already done")
        _refuse_running(record)
        outcome = "resumed"
    else:
        record = _new_record(config, stage, manifest.content_hash, graphs)
        folder = RunFolder.create(ws.runs, record, config.model_dump(mode="json"))
    with folder.working(capture_environment(ws.root), uncommitted_diff(ws.root)):
        metrics = train_stage(folder, config, stage, prepared, ws.memory, teacher, progress)
        folder.update(metrics=metrics)
    return replace(_summary(ws, folder, outcome), not_in_mlflow=sync_after(ws, folder.path.name))


def check_unchanged(ws: Workspace, folder: RunFolder, trained: RunRecord) -> None:
    """Refuse to judge or repeat a run on other captures than those it was trained on.

    Raises:
        DataError: the dataset is gone, or its captures or the making of graphs changed since.
    """
    manifest = load_manifest(ws.dataset(trained.dataset))
    if manifest.content_hash != trained.dataset_hash:
        raise DataError(
            f"dataset '{trained.dataset}' changed since run '{trained.run_id}' was trained",
            hint="ingest the captures it was trained on, or train again on these",
        )
    config = validated(folder.config(), f"'{folder.path / 'config.json'}'")
    if graphs_key(manifest, config.data) != trained.graphs:
        raise DataError(
            f"run '{trained.run_id}' was trained on graphs that this version makes differently",
            hint="train again: the same overrides make a new run",
        )


def resolve_teacher(
    ws: Workspace, config: RunConfig, graphs: str
) -> tuple[RunConfig, RunFolder | None]:
    """The config with its teacher as a run id, and the teacher's folder.

    Raises:
        RunError: the teacher does not exist, has not completed, is of another dataset or kind, or
            was trained on other graphs than the student's (`graphs`).
    """
    wanted = config.distillation.teacher
    if wanted is None:
        return config, None
    dataset, kind = config.dataset.name, config.model.kind

    def fits(record: RunRecord) -> bool:
        same = record.dataset == dataset and record.model == kind
        whole = record.size == "large" and record.subject is None
        return same and whole and record.graphs == graphs

    try:
        folder = find_run(ws.runs, resolve_model(ws, wanted), fits)
    except RunError as error:
        if wanted != LATEST:
            raise
        raise RunError(
            f"no completed large {kind} on '{dataset}' as it is now, with the student's data.*, to "
            "be the teacher",
            hint=f"train it first: kdgat train dataset={dataset} model={kind} size=large",
        ) from error
    record = folder.current()
    if (record.dataset, record.model) != (dataset, kind) or record.subject is not None:
        raise RunError(
            f"teacher '{record.run_id}' is {record.name} ({record.stage}), the student "
            f"{dataset}-{kind}-{config.size}",
            hint="choose a teacher of the same dataset and model (`kdgat runs list`)",
        )
    if record.graphs != graphs:
        raise RunError(
            f"teacher '{record.run_id}' was trained on other captures, windows or features than "
            "the student would be",
            hint="give the student the teacher's data.* (`kdgat config diff`), or train a teacher "
            "with the student's",
        )
    if record.state is not State.COMPLETED:
        raise RunError(
            f"teacher '{record.run_id}' is {record.state.value}, not completed",
            hint="train it to its end first; the same overrides resume it",
        )
    distillation = config.distillation.model_copy(update={"teacher": record.run_id})
    return config.model_copy(update={"distillation": distillation}), folder


def _check_own_config(folder: RunFolder, values: dict[str, Any], record: RunRecord) -> None:
    """Refuse a config.json that was changed: what it lacks would silently be a default."""
    try:
        same = json_digest(identity_of(values)) == record.digest
    except (KeyError, TypeError, AttributeError):
        same = False
    if not same:
        raise RunError(
            f"'{folder.path / 'config.json'}' is not the config that run '{record.run_id}' was "
            f"trained with (its digest is not {record.digest})",
            hint="restore the file, or train with overrides of your own (`kdgat train`)",
        )


def _earlier(ws: Workspace, config: RunConfig, stage: Stage, graphs: str) -> RunFolder | None:
    """The newest run of this very experiment that is done, running or can go on."""
    from kdgat.training.checkpoint import BEST, damage

    identity = (config.digest(), graphs, stage.name, stage.version)
    fitting = [
        (folder, record)
        for folder, record in readable(run_folders(ws.runs / config.dataset.name, depth=2))
        if (record.digest, record.graphs, record.stage, record.stage_version) == identity
    ]
    for folder, record in fitting:
        if record.state is State.COMPLETED and damage(folder.checkpoints / BEST) is None:
            return folder
    live = {State.RUNNING} | RESUMABLE
    return next((folder for folder, record in fitting if record.state in live), None)


def _refuse_running(record: RunRecord) -> None:
    if record.state is State.RUNNING:
        raise RunError(
            f"run '{record.run_id}' of this very experiment is running on {record.host} "
            f"(process {record.pid})",
            hint="wait for it, stop it, or train anew beside it with --fresh",
        )


def _new_record(config: RunConfig, stage: Stage, dataset_hash: str, graphs: str) -> RunRecord:
    return RunRecord(
        run_id=new_run_id(),
        stage=stage.name,
        stage_version=stage.version,
        dataset=config.dataset.name,
        provenance=config.dataset.provenance,
        model=config.model.kind,
        size=config.size,
        digest=config.digest(),
        dataset_hash=dataset_hash,
        graphs=graphs,
        seed=config.seed,
        created_at=utc_now(),
        teacher=config.distillation.teacher,
    )


def _summary(
    ws: Workspace, folder: RunFolder, outcome: Literal["trained", "resumed", "already done"]
) -> TrainingSummary:
    record = folder.record()
    return TrainingSummary(
        run_id=record.run_id,
        name=record.name,
        folder=ws.show(folder.path),
        outcome=outcome,
        digest=record.digest,
        teacher=record.teacher,
        metrics=record.metrics,
    )
