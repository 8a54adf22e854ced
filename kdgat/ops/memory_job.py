"""What planning a run's memory needs to know of the run, and what of it has to be assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from kdgat.configs.data import DataConfig
from kdgat.configs.model import ModelConfig, model_preset
from kdgat.configs.resources import Gpu
from kdgat.configs.run import RunConfig
from kdgat.data.captures import load_manifest
from kdgat.data.features import EDGE_FEATURE_NAMES, feature_names
from kdgat.data.sizes import GraphSizes, read_sizes
from kdgat.errors import ConfigError, DataError, RunError
from kdgat.ledger.scan import LATEST
from kdgat.memory.calibration import Calibration, load_calibrations
from kdgat.memory.programs import Prober
from kdgat.memory.run import RunPlan, plan_run
from kdgat.memory.spec import StepPrograms, StepSpec
from kdgat.ops.config import compose_config
from kdgat.runs.registry import run_named
from kdgat.stages.table import graphs_key, stage_of
from kdgat.workspace import Workspace

_ASSUMED_WINDOWS = 60_000
_ASSUMED_NODES, _ASSUMED_EDGES, _ASSUMED_SPREAD = 0.32, 0.57, 0.2
"""Nodes and edges a message of the window, and their relative spread, as in hcrl_sa's captures."""


@dataclass(frozen=True, eq=False)
class MemoryJob:
    """A run that is to be planned, and the process that traces its steps."""

    ws: Workspace
    config: RunConfig
    sizes: tuple[GraphSizes, GraphSizes]
    features: tuple[int, int]
    teacher: ModelConfig | None
    assumed: tuple[str, ...]
    calibrations: Mapping[str, Calibration]
    prober: Prober

    @property
    def name(self) -> str:
        """What the run's model will be called."""
        return f"{self.config.dataset.name}-{self.config.model.kind}-{self.config.size}"

    def plan(
        self,
        card: Gpu,
        *,
        total_bytes: int | None = None,
        ranks: int = 1,
        expandable_segments: bool = False,
    ) -> RunPlan:
        """The run's plan on one type of device, as `plan_run` makes it."""
        return plan_run(
            self.config,
            self.sizes,
            self.features,
            card,
            self.prober.programs,
            self.ws.memory / "plans",
            teacher=self.teacher,
            total_bytes=total_bytes,
            calibration=self.calibrations.get(card.name),
            ranks=ranks,
            expandable_segments=expandable_segments,
        )

    def programs(self, spec: StepSpec) -> StepPrograms:
        """What the steps of `spec` do with memory."""
        return self.prober.programs(spec).programs


@contextmanager
def memory_job(ws: Workspace, overrides: Sequence[str], *, early: bool) -> Iterator[MemoryJob]:
    """The run that `overrides` make, as long as the block lasts.

    Composing the config takes a second; with `early` torch is imported meanwhile.

    Raises:
        ConfigError: an override is wrong, or the model is not trained in batches on graphs.
        DataError: the prepared graphs can't be read.
        RunError: there is no such teacher.
    """
    with Prober(ws.memory / "programs") as prober:
        if early:
            prober.start()
        config = compose_config(ws, overrides)
        _need_gradients(config)
        sizes, assumed = _run_sizes(ws, config)
        teacher, note = _teacher_model(ws, config)
        yield MemoryJob(
            ws=ws,
            config=config,
            sizes=sizes,
            features=(len(feature_names(config.data.features)), len(EDGE_FEATURE_NAMES)),
            teacher=teacher,
            assumed=(*assumed, *note),
            calibrations=load_calibrations(ws.memory / "calibration.json"),
            prober=prober,
        )


def _need_gradients(config: RunConfig) -> None:
    stage = stage_of(config.model)
    if stage.how != "gradient":
        what = {"policy": "a policy on other models' scores", "fitted": "fitted in one go"}
        raise ConfigError(
            f"a {config.model.kind} is {what[stage.how]}, and takes no memory worth planning",
            hint="leave the plan out; the run needs none",
        )


def _run_sizes(
    ws: Workspace, config: RunConfig
) -> tuple[tuple[GraphSizes, GraphSizes], tuple[str, ...]]:
    """Sizes of the run's graphs, and what of them is assumed."""
    benign_only = stage_of(config.model).benign_only
    folder = ws.dataset(config.dataset.name)
    try:
        manifest = load_manifest(folder)
    except DataError:
        # Not ingested yet: a plan can still be made, and says what it rests on.
        train = _ASSUMED_WINDOWS
        what = f"'{config.dataset.name}' is not ingested: {train:,} training windows"
    else:
        graphs = folder / "graphs" / graphs_key(manifest, config.data)
        if (graphs / "prepare.json").exists():
            train, validation = (
                read_sizes(graphs / side, benign_only=benign_only)
                for side in ("train", "validation")
            )
            return (train, validation), ()
        rows = sum(record.rows for record in manifest.of_role("train"))
        share = 1 - config.data.validation_fraction
        train = max(1, int(rows / config.data.training_stride_messages * share))
        what = f"'{config.dataset.name}' is not prepared: {train:,} training windows"
    fraction = config.data.validation_fraction
    validation = max(1, int(train * fraction / (1 - fraction)))
    sizes = (_assumed(train, config.data), _assumed(validation, config.data))
    told = f"{what}, of {sizes[0].nodes.mean():.0f} nodes and {sizes[0].edges.mean():.0f} edges"
    return sizes, (told,)


def _assumed(windows: int, config: DataConfig) -> GraphSizes:
    """Sizes such as windows of real traffic have."""
    random = np.random.default_rng(windows)

    def drawn(share: float) -> np.ndarray:
        typical = share * config.window_messages
        values = random.normal(typical, _ASSUMED_SPREAD * typical, windows)
        return values.round().clip(1, config.window_messages - 1).astype(np.int64)

    return GraphSizes(drawn(_ASSUMED_NODES), drawn(_ASSUMED_EDGES))


def _teacher_model(ws: Workspace, config: RunConfig) -> tuple[ModelConfig | None, tuple[str, ...]]:
    """The teacher's model, and what of it is assumed."""
    wanted = config.distillation.teacher
    if wanted is None:
        return None, ()
    kind, size = config.model.kind, config.distillation.teacher_size
    try:
        folder = run_named(
            ws,
            wanted,
            lambda record: (
                (record.dataset, record.model, record.size, record.subject)
                == (config.dataset.name, kind, size, None)
            ),
        )
    except RunError:
        if wanted != LATEST:
            raise
        return model_preset(kind, size), (f"the teacher is a {size} {kind} as preset",)
    values = folder.config()
    return RunConfig.model_validate(values).model, ()
