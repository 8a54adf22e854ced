"""Which runs' models a fusion weighs: named by run id, or by kind, of which the newest is meant."""

from __future__ import annotations

from kdgat.configs.model import KINDS, FusionConfig
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError, RunError, did_you_mean
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, is_run_id
from kdgat.ledger.scan import LATEST
from kdgat.ledger.states import State
from kdgat.runs.registry import run_named
from kdgat.stages.table import STAGES
from kdgat.workspace import Workspace


def resolve_scorers(
    ws: Workspace, config: RunConfig, graphs: str
) -> tuple[RunConfig, tuple[RunFolder, ...]]:
    """The config with its scorers as run ids, and their folders, which are trained.

    A kind is the newest completed run of it with the config's dataset, graphs and size, distilled
    if the config is; what no teacher can help is never distilled. Other models have none.

    Raises:
        ConfigError: a fusion is to be weighed.
        RunError: a run does not exist, has not completed, is of another dataset, was trained on
            other graphs than the fusion's (`graphs`), or is named twice.
    """
    if not isinstance(config.model, FusionConfig):
        return config, ()
    folders = tuple(_named(ws, config, graphs, wanted) for wanted in config.model.scorers)
    for wanted, folder in zip(config.model.scorers, folders, strict=True):
        _check(folder.current(), config, graphs, wanted)
    names = tuple(folder.path.name for folder in folders)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RunError(
            f"run '{twice}' would be weighed against itself",
            hint="name each model once in model.scorers, by its kind or its run id",
        )
    return with_scorers(config, names), folders


def with_scorers(config: RunConfig, names: tuple[str, ...]) -> RunConfig:
    """A fusion's config with other scorers."""
    model = config.model.model_copy(update={"scorers": names})
    return config.model_copy(update={"model": model})


def scorers_settled(config: RunConfig) -> bool:
    """Whether it is known which runs a fusion weighs, so that its digest is known too."""
    if not isinstance(config.model, FusionConfig):
        return True
    return all(is_run_id(each) for each in config.model.scorers)


def _named(ws: Workspace, config: RunConfig, graphs: str, wanted: str) -> RunFolder:
    if wanted == "fusion":
        raise ConfigError(
            "a fusion can't weigh a fusion",
            hint="name other kinds or runs as model.scorers, such as model.scorers=[vgae,gat]",
        )
    if wanted not in KINDS:
        return _by_id(ws, wanted)
    dataset, size, distilled = config.dataset.name, config.size, _distilled(config, wanted)

    def fits(record: RunRecord) -> bool:
        same = (record.dataset, record.model, record.size) == (dataset, wanted, size)
        made = (record.subject, record.graphs, record.distilled) == (None, graphs, distilled)
        return same and made

    try:
        return run_named(ws, LATEST, fits)
    except RunError as error:
        words = f"dataset={dataset} model={wanted} size={size}"
        words += f" distillation.teacher={LATEST}" if distilled else ""
        raise RunError(
            f"no completed {'distilled ' if distilled else ''}{size} {wanted} on '{dataset}' as it "
            "is now, with the fusion's data.*, to be weighed",
            hint=f"train it first: kdgat train {words}",
        ) from error


def _by_id(ws: Workspace, wanted: str) -> RunFolder:
    try:
        return run_named(ws, wanted)
    except RunError as error:
        if is_run_id(wanted) or "@" in wanted:
            raise
        # Most likely a kind that is misspelt.
        kinds = [kind for kind in KINDS if kind != "fusion"]
        raise RunError(
            f"model.scorers names '{wanted}': {error.problem}", hint=did_you_mean(wanted, kinds)
        ) from error


def _distilled(config: RunConfig, kind: str) -> bool:
    """Whether a kind's runs are distilled where the config's is."""
    fitted = any(stage.kind == kind and stage.how == "fitted" for stage in STAGES.values())
    return config.distillation.teacher is not None and not fitted


def _check(record: RunRecord, config: RunConfig, graphs: str, wanted: str) -> None:
    if record.subject is not None or record.model == "fusion":
        what = "an evaluation" if record.subject is not None else "a fusion itself"
        raise RunError(
            f"run '{record.run_id}', which model.scorers names as '{wanted}', is {what}",
            hint="name the runs of other models (`kdgat runs list`)",
        )
    if record.dataset != config.dataset.name or record.graphs != graphs:
        raise RunError(
            f"run '{record.run_id}' ({record.name}) was trained on other captures, windows or "
            "features than the fusion would be",
            hint="give the fusion that run's data.* (`kdgat config diff`), or train its models "
            "with the fusion's",
        )
    if record.state is not State.COMPLETED:
        raise RunError(
            f"run '{record.run_id}' ({record.name}), which the fusion weighs, is "
            f"{record.state.value}, not completed",
            hint="train it to its end first; the same overrides resume it",
        )
