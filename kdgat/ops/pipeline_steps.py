"""The steps of a pipeline: which runs it consists of, and which of them each one needs.

A line is an autoencoder, a classifier, their fusion and its evaluation. There are three of them:
large, small, and small distilled from large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from kdgat.configs.compose import search_space
from kdgat.configs.model import FusionConfig, Kind, Size
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError
from kdgat.ops.config import compose_config
from kdgat.workspace import Workspace

Work = Literal["train", "evaluate"]
_Model = tuple[Kind, Size]
BASELINES: tuple[Kind, ...] = ("gradient_boosting", "mlp", "profile", "id_frequency")
"""Models without a graph, which have one size here."""
_SCORERS: tuple[Kind, ...] = ("vgae", "gat")
_LINES: tuple[tuple[Size, bool], ...] = (("large", False), ("small", False), ("small", True))
"""Size, and whether it is distilled from the first line."""
_OWN = ("model", "size", "experiment", "distillation.teacher", "distillation.teacher_size")
"""What a pipeline sets by itself."""


@dataclass(frozen=True)
class Step:
    """One run of the pipeline; other steps are named by their keys."""

    key: str
    work: Work
    name: str
    config: RunConfig
    """Of an evaluation, the config of the run that it judges."""
    teacher: str | None = None
    scorers: tuple[str, ...] = ()
    subject: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps that must be done before."""
        return tuple(filter(None, (*self.scorers, self.teacher, self.subject)))


def steps_of(
    ws: Workspace, overrides: Sequence[str], seeds: Sequence[int], *, baselines: bool
) -> tuple[Step, ...]:
    """Every step, each after those it needs.

    Args:
        ws: the workspace.
        overrides: Hydra overrides, which every run gets.
        seeds: each has lines and teachers of its own; none means that of the overrides.
        baselines: also train and judge the models without a graph, and judge autoencoders and
            classifiers alone.

    Raises:
        ConfigError: an override is wrong, or sets what a pipeline sets by itself.
    """
    _check(overrides, seeds)
    configs: dict[_Model, RunConfig] = {
        (kind, size): compose_config(ws, (*overrides, f"model={kind}", f"size={size}"))
        for kind, size in _models(baselines)
    }
    first = configs["vgae", "large"]
    if first.distillation.teacher is not None:
        raise _not_here("distillation={teacher: ...}")
    steps: list[Step] = []
    for seed in dict.fromkeys(seeds or (first.seed,)):
        own: dict[_Model, RunConfig] = {
            model: each.model_copy(update={"seed": seed}) for model, each in configs.items()
        }
        for size, distilled in _LINES:
            steps += _line(own, size, distilled, each_alone=baselines)
        for kind in BASELINES if baselines else ():
            steps += _judged(_training(own[kind, "large"]))
    return tuple(steps)


def resolved(step: Step, done: Mapping[str, str]) -> RunConfig:
    """The step's config with the ids of the runs that it rests on, which are in `done` by key."""
    config = step.config
    if step.scorers:
        assert isinstance(config.model, FusionConfig)
        scorers = tuple(done[key] for key in step.scorers)
        model = config.model.model_copy(update={"scorers": scorers})
        config = config.model_copy(update={"model": model})
    if step.teacher is None:
        return config
    distillation = config.distillation.model_copy(update={"teacher": done[step.teacher]})
    return config.model_copy(update={"distillation": distillation})


def _models(baselines: bool) -> list[_Model]:
    kinds: tuple[Kind, ...] = (*_SCORERS, "fusion")
    sizes: tuple[Size, ...] = tuple(dict.fromkeys(size for size, _ in _LINES))
    models: list[_Model] = [*product(kinds, sizes)]
    return models + [(kind, "large") for kind in BASELINES if baselines]


def _check(overrides: Sequence[str], seeds: Sequence[int]) -> None:
    """Refuse overrides that can't be every run's."""
    for text in overrides:
        key = text.partition("=")[0].lstrip("+~")
        if key in _OWN:
            raise _not_here(text)
        if key.startswith("model."):
            raise ConfigError(
                f"override '{text}' is for one kind of model, and a pipeline trains several",
                hint=f"train that one by itself: kdgat train model=KIND {text}",
            )
        if key == "seed" and seeds:
            raise ConfigError(
                f"override '{text}' is given beside --seeds", hint="leave one of them out"
            )
    for name in search_space(overrides)[1]:
        raise ConfigError(
            f"'{name}' has several values, and a pipeline takes one",
            hint="several seeds go by --seeds 42,1,2; `kdgat train -m` sweeps one model",
        )


def _not_here(text: str) -> ConfigError:
    return ConfigError(
        f"override '{text}' sets what a pipeline goes through by itself",
        hint="leave it out, or train that model alone: `kdgat train`",
    )


def _line(
    configs: Mapping[_Model, RunConfig], size: Size, distilled: bool, *, each_alone: bool
) -> Iterator[Step]:
    def step(kind: Kind, scorers: tuple[str, ...] = ()) -> Step:
        teacher = _training(configs[kind, "large"]).key if distilled else None
        return _training(configs[kind, size], teacher, scorers)

    alone = [step(kind) for kind in _SCORERS]
    for each in alone:
        yield from _judged(each) if each_alone else (each,)
    yield from _judged(step("fusion", tuple(each.key for each in alone)))


def _training(config: RunConfig, teacher: str | None = None, scorers: tuple[str, ...] = ()) -> Step:
    name = f"{config.dataset.name}-{config.model.kind}-{config.size}{'-kd' * (teacher is not None)}"
    return Step(f"{name} {config.seed}", "train", name, config, teacher, scorers)


def _judged(training: Step) -> tuple[Step, Step]:
    """A training and its evaluation."""
    key = f"{training.key} evaluation"
    judging = Step(key, "evaluate", training.name, training.config, subject=training.key)
    return training, judging
