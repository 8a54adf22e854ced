"""The operation that loads a trained run for programs that ask it for scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdgat.configs.evaluation import EvaluationConfig, Protocol
from kdgat.ops.detect import evaluation_asked, protocol_named
from kdgat.ops.export import need_extra
from kdgat.ops.trained import usable_run
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.stages.detect import Detector


@dataclass(frozen=True)
class ServedModel:
    """What is served, and how it judges."""

    run_id: str
    name: str
    """Dataset, model and size, with `kd` where a teacher took part."""
    dataset: str
    provenance: str
    """Of the data that it was trained on: `real`, `simulated` or `imported`."""
    config_digest: str
    """The experiment's identity: equal digests are equal configs."""
    seed: int
    teacher: str | None
    parameters: int
    protocol: Protocol
    prefix_s: float | None
    """Seconds at the beginning that are taken for the profile and never scored (`adapted`)."""
    window_messages: int
    """Messages in a window."""
    stride_messages: int
    """Messages from one window's beginning to the next one's."""
    threshold: str
    """How it is chosen where an alarm begins: `evaluation.threshold`."""
    alpha: float
    thresholds: dict[str, float]
    """Where an alarm begins, by what a window is measured against, as far as training tells; each
    answer has the threshold that was used."""


@dataclass(frozen=True)
class Scorer:
    """A model in memory, which any number of callers may ask."""

    about: ServedModel
    _first: Detector

    def detector(self) -> Detector:
        """One that has seen nothing, for one caller at a time."""
        return self._first.anew()


def load_scorer(
    ws: Workspace,
    model: str = "latest",
    *,
    protocol: str = "adapted",
    threshold: str | None = None,
    alpha: float | None = None,
) -> Scorer:
    """Load a model as `detect` does.

    Args:
        ws: the workspace.
        model: id of a training run, the beginning of one, `latest`, or a model's version.
        protocol: `adapted` takes the first `data.prefix_s` seconds for the vehicle's profile;
            `zero_shot` measures against the training vehicles.
        threshold: as `evaluation.threshold`; the run's own if it is not given.
        alpha: as `evaluation.alpha`.

    Raises:
        WorkspaceError: the extra `serve` is not installed.
        ConfigError: the protocol or the threshold is none.
        RunError: there is no such run, it is not completed, or it is no training run.
        DataError: the dataset is gone, or changed since the training.
        CheckpointError: the run's best checkpoint is damaged.
    """
    need_extra("serve", ("fastapi",))
    known = protocol_named(protocol)
    options = {"threshold": threshold, "alpha": alpha}
    asked = {name: value for name, value in options.items() if value is not None}
    evaluation_asked(EvaluationConfig(), asked)
    run = usable_run(ws, model)
    from kdgat.data.measured import REFERENCES
    from kdgat.models.table import parameter_count
    from kdgat.stages.detect import Detector

    data, record, calibration = run.model.config.data, run.record, run.model.calibration
    judging = evaluation_asked(run.model.config.evaluation, asked)
    detector = Detector(run.model, run.prepared, known, judging)
    assert calibration is not None, "a Detector takes no model without"
    references = ("own",) if known == "adapted" else ("borrowed", "unprofiled")
    if "profile" not in data.features:
        references = ("unprofiled",)
    about = ServedModel(
        run_id=record.run_id,
        name=record.name,
        dataset=record.dataset,
        provenance=record.provenance,
        config_digest=record.digest,
        seed=record.seed,
        teacher=record.teacher,
        parameters=parameter_count(run.model.model),
        protocol=known,
        prefix_s=data.prefix_s if known == "adapted" else None,
        window_messages=data.window_messages,
        stride_messages=data.stride_messages,
        threshold=judging.threshold,
        alpha=judging.alpha,
        thresholds={
            name: calibration.threshold(
                judging.threshold, judging.alpha, (name,), margin=judging.margin
            )
            for name in REFERENCES.values()
            if name in references
        },
    )
    return Scorer(about, detector)
