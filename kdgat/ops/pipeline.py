"""The operation that trains and judges what is missing of a dataset's table."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kdgat.data.captures import load_manifest
from kdgat.errors import KdgatError, StorageError, WorkspaceError
from kdgat.ledger.states import State
from kdgat.ops.evaluation import EvaluationSummary, evaluate
from kdgat.ops.experiment import UNFINISHED, earlier_evaluation, earlier_run
from kdgat.ops.pipeline_steps import Step, Work, resolved, steps_of
from kdgat.ops.training import train_config
from kdgat.progress import Progress, numbered, quiet
from kdgat.runs.registry import run_named
from kdgat.stages.table import graphs_key, stage_of
from kdgat.workspace import Workspace

Standing = Literal["done", "to do", "goes on", "running", "waits"]
Outcome = Literal["trained", "resumed", "evaluated", "already done", "failed", "left out"]


@dataclass(frozen=True)
class PlannedStep:
    """One run of the pipeline, and what there is of it."""

    work: Work
    name: str
    seed: int
    state: Standing
    run_id: str | None
    waits_for: tuple[str, ...]


@dataclass(frozen=True)
class PipelinePlan:
    """What a pipeline would do."""

    dataset: str
    steps: tuple[PlannedStep, ...]
    to_do: int
    """Steps that are not done."""


@dataclass(frozen=True)
class StepReport:
    """How one run of the pipeline ended."""

    work: Work
    name: str
    seed: int
    outcome: Outcome
    run_id: str | None
    seconds: float
    problem: str | None = None
    hint: str | None = None
    trace: str | None = None
    """Where an error came from that nobody foresaw."""


@dataclass(frozen=True)
class Figure:
    """How a model did on the windows of one test scenario."""

    name: str
    seed: int
    run_id: str
    """The run that was judged."""
    protocol: str
    scenario: str
    windows: int
    attack_windows: int
    f1: float | None
    false_positives: int
    false_negatives: int


@dataclass(frozen=True)
class PipelineReport:
    """What a pipeline did, and the figures of all that it judged."""

    dataset: str
    provenance: str
    steps: tuple[StepReport, ...]
    figures: tuple[Figure, ...]
    failed: int
    seconds: float
    next_steps: tuple[str, ...]
    warnings: tuple[str, ...]


def plan_pipeline(
    ws: Workspace,
    *,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] = (),
    baselines: bool = False,
) -> PipelinePlan:
    """What `run_pipeline` would do; nothing is written.

    Raises:
        ConfigError: an override is wrong, or sets what a pipeline sets by itself.
        DataError: the dataset is not ingested.
    """
    steps = steps_of(ws, overrides, seeds, baselines=baselines)
    graphs = _graphs(ws, steps[0])
    names = {step.key: step.name for step in steps}
    done: dict[str, str] = {}
    planned = []
    for step in steps:
        state, run_id = _look(ws, step, done, graphs)
        if state == "done" and run_id is not None:
            done[step.key] = run_id
        waits = tuple(names[need] for need in step.needs if need not in done)
        planned.append(PlannedStep(step.work, step.name, step.config.seed, state, run_id, waits))
    to_do = sum(each.state != "done" for each in planned)
    return PipelinePlan(steps[0].config.dataset.name, tuple(planned), to_do)


def run_pipeline(
    ws: Workspace,
    *,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] = (),
    baselines: bool = False,
    progress: Progress = quiet,
) -> PipelineReport:
    """Train and judge what is missing; a step that fails stops only those that need it.

    Args:
        ws: the workspace.
        overrides: Hydra overrides, which every run gets.
        seeds: each has lines and teachers of its own; none means that of the overrides.
        baselines: also train and judge the models without a graph, and judge autoencoders and
            classifiers alone.
        progress: told of every batch, with the step's number.

    Raises:
        ConfigError: an override is wrong, or sets what a pipeline sets by itself.
        DataError: the dataset is not ingested.
        StorageError: the file system refused.
    """
    started = time.monotonic()
    steps = steps_of(ws, overrides, seeds, baselines=baselines)
    graphs = _graphs(ws, steps[0])
    dataset = steps[0].config.dataset
    done: dict[str, str] = {}
    reports: list[StepReport] = []
    figures: list[Figure] = []
    warnings: dict[str, None] = {}
    names = {step.key: step.name for step in steps}
    for number, step in enumerate(steps, 1):
        missing = next((names[need] for need in step.needs if need not in done), None)
        if missing is not None:
            reports.append(_report(step, "left out", problem=f"it needs {missing}"))
            continue
        listen = numbered(progress, f"{number} of {len(steps)}")
        report, judged, warning = _carry_out(ws, step, done, graphs, listen)
        reports.append(report)
        figures += [] if judged is None else _figures(step, judged)
        warnings |= {} if warning is None else {warning: None}
        if report.run_id is not None:
            done[step.key] = report.run_id
    return PipelineReport(
        dataset.name,
        dataset.provenance,
        tuple(reports),
        tuple(figures),
        sum(each.outcome == "failed" for each in reports),
        time.monotonic() - started,
        _next_steps(dataset.name, dataset.provenance, reports),
        tuple(warnings),
    )


def must_stop(error: KdgatError) -> bool:
    """Whether an error is none of one run's own: the disk, or a signal to end."""
    told = type(error.__cause__).__name__ == "SIGTERMException"
    return told or isinstance(error, StorageError | WorkspaceError)


def _graphs(ws: Workspace, step: Step) -> str:
    """The name of the graphs, which all steps share."""
    manifest = load_manifest(ws.dataset(step.config.dataset.name))
    return graphs_key(manifest, step.config.data)


def _look(
    ws: Workspace, step: Step, done: Mapping[str, str], graphs: str
) -> tuple[Standing, str | None]:
    """What there is of a step, and its run, without torch."""
    if any(need not in done for need in step.needs):
        return "waits", None
    if step.subject is not None:
        subject = run_named(ws, done[step.subject]).record()
        folder = earlier_evaluation(ws, subject, step.config.evaluation)
    else:
        config = resolved(step, done)
        folder = earlier_run(ws, config, stage_of(config.model), graphs)
    if folder is None:
        return "to do", None
    record = folder.current()
    if record.state is State.COMPLETED:
        return "done", record.run_id
    return "running" if record.state in UNFINISHED else "goes on", record.run_id


def _carry_out(
    ws: Workspace, step: Step, done: Mapping[str, str], graphs: str, progress: Progress
) -> tuple[StepReport, EvaluationSummary | None, str | None]:
    """Do one step; its figures if it judges, and why MLflow does not have it yet."""
    started = time.monotonic()

    def ended(outcome: Outcome, run_id: str | None = None, **why: str) -> StepReport:
        return _report(step, outcome, run_id, time.monotonic() - started, **why)

    try:
        if step.subject is not None:
            words = _judging(step)
            judged = evaluate(ws, done[step.subject], overrides=words, progress=progress)
            return ended(judged.outcome, judged.run_id), judged, judged.not_in_mlflow
        state, run_id = _look(ws, step, done, graphs)
        if state == "done":
            return ended("already done", run_id), None, None
        run = train_config(ws, resolved(step, done), progress=progress)
        return ended(run.outcome, run.run_id), None, run.not_in_mlflow
    except KdgatError as error:
        if must_stop(error):
            raise
        return ended("failed", problem=error.problem, hint=error.hint), None, None
    except Exception as error:  # What the other steps give is worth more than an early end.
        trace = "".join(traceback.format_exception(error))
        hint = "the same command tries it again; --json has where it came from"
        return ended("failed", problem=repr(error), hint=hint, trace=trace), None, None


def _judging(step: Step) -> tuple[str, ...]:
    """How to judge, in full: a run that was trained before may have been meant otherwise."""
    how = step.config.evaluation.model_dump(mode="json")
    return tuple(f"evaluation.{name}={value}" for name, value in how.items())


def _report(
    step: Step, outcome: Outcome, run_id: str | None = None, seconds: float = 0.0, **why: str
) -> StepReport:
    seed = step.config.seed
    return StepReport(step.work, step.name, seed, outcome, run_id, seconds, **why)


def _figures(step: Step, judged: EvaluationSummary) -> Iterator[Figure]:
    """The headline figures, of whole scenarios."""
    names = ("windows", "attack_windows", "f1", "false_positives", "false_negatives")
    for row in judged.scenarios:
        if row["attack_type"] == "all" and not row.get("variant"):
            figures = {name: row["metrics"][name] for name in names}
            where = (row["protocol"], row["scenario"])
            yield Figure(step.name, step.config.seed, judged.subject, *where, **figures)


def _next_steps(dataset: str, provenance: str, reports: Iterable[StepReport]) -> tuple[str, ...]:
    if any(each.outcome == "failed" for each in reports):
        return ("the same command goes on with what failed, and with what needs it",)
    simulated = " --include-simulated" * (provenance == "simulated")
    return (f"kdgat leaderboard dataset={dataset}{simulated}",)
