"""The steps of a pipeline: which runs it consists of, and which of them each one needs.

A line is an autoencoder, a classifier, their fusion and its evaluation; or whatever other models
the fusion is to weigh. There are three lines: large, small, and small distilled from large. A model
that learns from no teacher is the same in the last two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, cast

from kdgat.configs.compose import search_space
from kdgat.configs.model import KINDS, FusionConfig, Kind, Size
from kdgat.configs.names import BASELINES
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError
from kdgat.ops.config import compose_config
from kdgat.stages.table import stage_of
from kdgat.workspace import Workspace

Work = Literal["train", "evaluate"]
_Model = tuple[Kind, Size]
_SCORERS = "model.scorers"
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

    @property
    def judging(self) -> tuple[str, ...]:
        """How to judge, in full: a run that was trained before may have been meant otherwise."""
        how = self.config.evaluation.model_dump(mode="json")
        return tuple(f"evaluation.{name}={value}" for name, value in how.items())


def steps_of(
    ws: Workspace, overrides: Sequence[str], seeds: Sequence[int], *, baselines: bool
) -> tuple[Step, ...]:
    """Every step, each after those it needs.

    Args:
        ws: the workspace.
        overrides: Hydra overrides, which every run gets; `model.scorers`, as kinds, the fusions
            alone.
        seeds: each has lines and teachers of its own; none means that of the overrides.
        baselines: also train and judge the models without a graph, and judge autoencoders and
            classifiers alone.

    Raises:
        ConfigError: an override is wrong, or sets what a pipeline sets by itself.
    """
    weighed = [text for text in overrides if _key(text) == _SCORERS]
    overrides = [text for text in overrides if _key(text) != _SCORERS]
    _check((*overrides, *weighed), seeds)
    scorers = _scorers(ws, weighed)
    configs: dict[_Model, RunConfig] = {
        (kind, size): compose_config(
            ws,
            (*overrides, f"model={kind}", f"size={size}", *(weighed if kind == "fusion" else ())),
        )
        for kind, size in _models(scorers, baselines)
    }
    first = configs["fusion", "large"]
    if first.distillation.teacher is not None:
        raise _not_here("distillation={teacher: ...}")
    steps: list[Step] = []
    for seed in dict.fromkeys(seeds or (first.seed,)):
        own: dict[_Model, RunConfig] = {
            model: each.model_copy(update={"seed": seed}) for model, each in configs.items()
        }
        for size, distilled in _LINES:
            steps += _line(own, scorers, size, distilled, each_alone=baselines)
        for kind in BASELINES if baselines else ():
            steps += _judged(_training(own[kind, "large"]))
    # What learns from no teacher is in two lines.
    return tuple({step.key: step for step in steps}.values())


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


def _scorers(ws: Workspace, weighed: Sequence[str]) -> tuple[Kind, ...]:
    """The kinds that the fusions weigh.

    Raises:
        ConfigError: they are not named by kind, or a fusion is among them.
    """
    model = compose_config(ws, ("model=fusion", *weighed)).model
    assert isinstance(model, FusionConfig)
    wrong = [each for each in model.scorers if each not in KINDS or each == "fusion"]
    if wrong:
        kinds = [kind for kind in KINDS if kind != "fusion"]
        raise ConfigError(
            f"a pipeline trains what its fusions weigh, and can't train '{wrong[0]}'",
            hint=f"name kinds as {_SCORERS}: {', '.join(kinds)}",
        )
    return cast("tuple[Kind, ...]", model.scorers)


def _models(scorers: Sequence[Kind], baselines: bool) -> list[_Model]:
    kinds: tuple[Kind, ...] = (*scorers, "fusion")
    sizes: tuple[Size, ...] = tuple(dict.fromkeys(size for size, _ in _LINES))
    models: list[_Model] = [*product(kinds, sizes)]
    return models + [(kind, "large") for kind in BASELINES if baselines and kind not in kinds]


def _key(text: str) -> str:
    """The field that an override sets."""
    return text.partition("=")[0].lstrip("+~")


def _check(overrides: Sequence[str], seeds: Sequence[int]) -> None:
    """Refuse overrides that can't be every run's."""
    for text in overrides:
        key = _key(text)
        if key in _OWN:
            raise _not_here(text)
        if key.startswith("model.") and key != _SCORERS:
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
    configs: Mapping[_Model, RunConfig],
    scorers: Sequence[Kind],
    size: Size,
    distilled: bool,
    *,
    each_alone: bool,
) -> Iterator[Step]:
    def step(kind: Kind, scorers: tuple[str, ...] = ()) -> Step:
        taught = distilled and stage_of(configs[kind, size].model).how != "fitted"
        teacher = _training(configs[kind, "large"]).key if taught else None
        return _training(configs[kind, size], teacher, scorers)

    alone = [step(kind) for kind in scorers]
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
