"""Which runs a submission asks for: one, a sweep, or the whole pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kdgat.configs.compose import sweep
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError
from kdgat.ledger.scan import LATEST
from kdgat.ops.config import compose_config
from kdgat.ops.job_request import SubmitRequest
from kdgat.slurm.cluster import Cluster
from kdgat.stages.table import STAGES, Stage, stage_of
from kdgat.workspace import Workspace

Work = Literal["train", "evaluate"]
_GRAPH_MODELS = ("vgae", "gat")


@dataclass(frozen=True)
class WantedRun:
    """One run that is asked for."""

    overrides: tuple[str, ...]
    config: RunConfig
    stage: Stage


@dataclass(frozen=True)
class WantedJob:
    """Runs that are asked for together."""

    work: Work
    runs: tuple[WantedRun, ...]
    after: int | None = None
    """The job (its place in the list) whose runs these judge, or whose run is their teacher."""


def wanted_jobs(ws: Workspace, asked: SubmitRequest, cluster: Cluster) -> tuple[WantedJob, ...]:
    """Every run that is asked for, in jobs.

    Raises:
        ConfigError: an override is wrong, no stage trains the model, or a sweep has more runs than
            an array of the cluster.
    """
    more = asked.resource_overrides()
    if asked.pipeline:
        return tuple(_pipeline(ws, asked, more))
    each = sweep(asked.overrides) if asked.multirun else [asked.overrides]
    if cluster.max_array is not None and len(each) > cluster.max_array:
        # Before the configs are composed, which takes a minute for a thousand.
        raise ConfigError(
            f"the sweep has {len(each):,} runs, and an array of {cluster.name} has at most "
            f"{cluster.max_array:,}",
            hint="submit fewer values at once; what is done or submitted is not done again",
        )
    training = WantedJob("train", tuple(_wanted(ws, (*one, *more)) for one in each))
    resources = [run.config.resources for run in training.runs]
    if any(other != resources[0] for other in resources):
        raise ConfigError(
            "the runs of this sweep differ in resources.*, and one job array has one size",
            hint="submit them one after the other",
        )
    judging = WantedJob("evaluate", training.runs, after=0)
    return (training, judging) if asked.evaluate else (training,)


def _pipeline(ws: Workspace, asked: SubmitRequest, more: tuple[str, ...]) -> Iterator[WantedJob]:
    """Each model's stage in turn: large, then small distilled from it, each judged.

    A fusion rests on several runs, and a baseline on no teacher: they are submitted by themselves.
    """
    if asked.multirun:
        raise ConfigError("a pipeline can't be swept", hint="leave out --multirun or --pipeline")
    kept = ("size", "experiment", "distillation.teacher")
    for override in asked.overrides:
        if override.partition("=")[0].lstrip("+") in kept:
            raise ConfigError(
                f"override '{override}' sets what a pipeline goes through by itself",
                hint="leave it out; model=NAME alone chooses one model's part of the pipeline",
            )
    own = [text.removeprefix("model=") for text in asked.overrides if text.startswith("model=")]
    others = tuple(text for text in asked.overrides if not text.startswith("model="))
    place = 0
    for stage in _pipeline_stages(own[-1] if own else None):
        base = (*others, f"model={stage.kind}", *more)
        student = ("size=small", f"distillation.teacher={LATEST}")
        for words, after in (((*base, "size=large"), None), ((*base, *student), place)):
            yield WantedJob("train", (_wanted(ws, words),), after)
            yield WantedJob("evaluate", (), place if after is None else place + 2)
        place += 4


def _pipeline_stages(own: str | None) -> tuple[Stage, ...]:
    """The stages that a submitted pipeline goes through: the named model's, or the graph models'.

    Raises:
        ConfigError: the named one is no part of a pipeline.
    """
    if own is None:
        return tuple(stage for stage in STAGES.values() if stage.kind in _GRAPH_MODELS)
    found = tuple(stage for stage in STAGES.values() if stage.kind == own)
    if found and found[0].how != "gradient":
        why = "weighs runs that are completed" if own == "fusion" else "has no teacher"
        raise ConfigError(
            f"a {own} {why}, and so is no part of a submitted pipeline",
            hint=f"submit it by itself: kdgat submit model={own} size=small",
        )
    return found


def _wanted(ws: Workspace, overrides: tuple[str, ...]) -> WantedRun:
    config = compose_config(ws, overrides)
    return WantedRun(overrides, config, stage_of(config.model))
