"""The operation that judges a trained run on the official test folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kdgat.configs.compose import compose
from kdgat.configs.evaluation import EvaluationConfig
from kdgat.configs.fields import validated
from kdgat.errors import ConfigError, RunError, did_you_mean
from kdgat.ledger.environment import capture_environment, uncommitted_diff
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, refuse_imported
from kdgat.ledger.scan import readable, run_folders
from kdgat.ledger.states import State
from kdgat.ops.experiment import check_unchanged, evaluation_record
from kdgat.progress import Progress, quiet
from kdgat.runs.registry import run_named
from kdgat.runs.tracking import sync_after
from kdgat.stages.table import EVALUATION_VERSION
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class EvaluationSummary:
    """Figures of one trained run on every test scenario."""

    run_id: str
    subject: str
    name: str
    provenance: str
    split: Literal["test"]
    outcome: Literal["evaluated", "already done"]
    folder: str
    evaluation: dict[str, Any]
    """How it was judged: the fields of `EvaluationConfig`."""
    threshold: float
    """Where an alarm begins in `adapted`, as far as training tells."""
    parameters: int
    checkpoint_bytes: int
    latency_ms: float
    """Median time to score one window alone, in milliseconds, features already made."""
    scenarios: list[dict[str, Any]]
    """For each scenario, attack type in it, protocol and variant, the figures of `WindowMetrics`
    and intervals of some of them. The prefix is never scored, in neither protocol."""
    not_in_mlflow: str | None = None
    """Why MLflow does not have the evaluation yet, if it should."""


def evaluate(
    ws: Workspace,
    run: str = "latest",
    *,
    overrides: Sequence[str] = (),
    again: bool = False,
    progress: Progress = quiet,
) -> EvaluationSummary:
    """Judge a trained run on its dataset's test folders; done once for each way of judging.

    Args:
        ws: the workspace.
        run: id of a training run, the beginning of one, or `latest`.
        overrides: how to judge, such as `evaluation.threshold=conformal evaluation.alpha=0.01`;
            what is not given is as the run's config has it.
        again: judge anew even if it is done.
        progress: told of every scenario.

    Raises:
        ConfigError: an override is wrong, or none of judging.
        RunError: there is no such run, it is not completed, or it is no training run.
        DataError: the dataset is gone, has no test folder, or changed since the training.
        CheckpointError: the run's best checkpoint is damaged.
    """
    subject = run_named(ws, run, lambda record: record.subject is None)
    trained = subject.current()
    refuse_imported(trained)
    _need_trained(trained)
    check_unchanged(ws, subject, trained)
    config = judging(subject, overrides)
    if not again and (done := _earlier(ws, trained, config)) is not None:
        return _summary(ws, done, "already done")

    def begun() -> RunFolder:
        values = {**subject.config(), "evaluation": config.model_dump(mode="json")}
        return RunFolder.create(ws.runs, evaluation_record(trained, config), values)

    environment = capture_environment(ws.root)
    folder = judge(ws, subject, begun, environment, uncommitted_diff(ws.root), progress)
    return replace(
        _summary(ws, folder, "evaluated"), not_in_mlflow=sync_after(ws, folder.path.name)
    )


def judge(
    ws: Workspace,
    subject: RunFolder,
    begun: Callable[[], RunFolder],
    environment: dict[str, Any],
    diff: str | None = None,
    progress: Progress = quiet,
) -> RunFolder:
    """Judge a trained run into the folder of its evaluation.

    Args:
        ws: the workspace.
        subject: the run to judge.
        begun: gives the evaluation's folder, when nothing stands in the way of judging.
        environment: what it runs on.
        diff: what the code differs by from its commit.
        progress: told of every scenario.

    Raises:
        As `evaluate`.
    """
    trained = subject.current()
    _need_trained(trained)
    check_unchanged(ws, subject, trained)
    # torch takes seconds to import, and only a new judgement needs it.
    from kdgat.stages.evaluate import evaluate as evaluate_stage
    from kdgat.stages.prepare import prepare
    from kdgat.training.checkpoint import BEST, load_best

    model = load_best(subject.checkpoints / BEST)
    prepared = prepare(ws.dataset(trained.dataset), model.config.data, progress)
    folder = begun()
    config = validated(folder.config(), f"'{folder.path / 'config.json'}'").evaluation
    with folder.working(environment, diff):
        report = evaluate_stage(
            folder,
            model,
            subject.checkpoints / BEST,
            ws.dataset(trained.dataset),
            prepared,
            config,
            progress,
        )
        headline = {
            f"{result.protocol}/{result.scenario}/{name}": getattr(result.metrics, name)
            for result in report.scenarios
            if result.attack_type == "all" and not result.variant
            for name in ("f1", "auroc", "precision", "recall", "false_alarms_per_hour")
        }
        folder.update(metrics=headline)
    return folder


def _need_trained(record: RunRecord) -> None:
    if record.subject is not None:
        raise RunError(
            f"run '{record.run_id}' is itself an evaluation, of '{record.subject}'",
            hint=f"`kdgat runs show {record.run_id}` prints it",
        )
    if record.state is not State.COMPLETED:
        raise RunError(
            f"run '{record.run_id}' is {record.state.value}, not completed",
            hint="train it to its end first; the same overrides resume it",
        )


def judging(subject: RunFolder, overrides: Sequence[str] = ()) -> EvaluationConfig:
    """How a run is to be judged: as its own config says, but for the overrides.

    Raises:
        ConfigError: an override can't be read, or is of another part of the config.
    """
    own = validated(subject.config(), f"'{subject.path / 'config.json'}'").evaluation
    if not overrides:
        return own
    known = [f"evaluation.{name}" for name in EvaluationConfig.model_fields]
    names = [text.partition("=")[0] for text in overrides]
    for name, text in zip(names, overrides, strict=True):
        if name not in known:
            raise ConfigError(
                f"'{text}' says nothing of how a run is judged",
                hint=did_you_mean(name, known, otherwise=f"choose from: {', '.join(known)}"),
            )
    given = compose(overrides).evaluation
    fields = [name.partition(".")[2] for name in names]
    return own.model_copy(update={name: getattr(given, name) for name in fields})


def _earlier(ws: Workspace, trained: RunRecord, config: EvaluationConfig) -> RunFolder | None:
    """A whole evaluation of the same run, judged so, by this version."""
    digest = evaluation_record(trained, config).digest
    for folder, record in readable(run_folders(ws.runs / trained.dataset, depth=2)):
        same = record.digest == digest and record.stage_version == EVALUATION_VERSION
        if same and record.state is State.COMPLETED and record.stage == "evaluation":
            return folder
    return None


def _summary(
    ws: Workspace, folder: RunFolder, outcome: Literal["evaluated", "already done"]
) -> EvaluationSummary:
    record = folder.record()
    path = folder.artifacts / "evaluation.json"
    try:
        report = json.loads(path.read_bytes())
        return EvaluationSummary(
            run_id=record.run_id,
            subject=record.subject or "",
            name=record.name,
            provenance=record.provenance,
            split="test",
            outcome=outcome,
            folder=ws.show(folder.path),
            evaluation=folder.config()["evaluation"],
            **report,
        )
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"'{path}' can't be read: {error}",
            hint=f"`kdgat evaluate {record.subject} --again` writes a new one",
        ) from error
