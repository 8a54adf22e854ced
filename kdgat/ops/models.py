"""Operations on registered models: list, show, register, promote, compare, copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdgat.configs.fields import leaves
from kdgat.configs.promotion import promotion_rule
from kdgat.errors import RunError, StorageError
from kdgat.ledger.files import atomic_path, write_json
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import RunRecord
from kdgat.ledger.scan import readable, run_folders
from kdgat.ledger.states import State
from kdgat.runs.champions import Promotion
from kdgat.runs.champions import promote as promote_version
from kdgat.runs.registry import (
    BEST,
    ModelVersion,
    find_version,
    folder_of,
    intact_folder,
    models,
)
from kdgat.runs.registry import register as register_run
from kdgat.runs.tracking import sync_after
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class RegisteredModel:
    """One model: its newest version, and who holds the aliases."""

    model: str
    provenance: str
    versions: int
    newest: int
    champion: int | None
    challenger: int | None


@dataclass(frozen=True)
class ModelList:
    """Every registered model."""

    items: tuple[RegisteredModel, ...]
    total: int


@dataclass(frozen=True)
class ModelEvent:
    """What was decided about a model, and why."""

    time: str
    kind: str
    version: int | None
    alias: str | None
    reason: str | None


@dataclass(frozen=True)
class ModelView:
    """One model: its versions, newest first, and its history."""

    model: str
    versions: tuple[ModelVersion, ...]
    history: tuple[ModelEvent, ...]


@dataclass(frozen=True)
class Registration:
    """A version that a run has now."""

    version: ModelVersion
    new: bool
    """False where this very checkpoint was registered before."""
    not_in_mlflow: str | None
    """Why MLflow has no copy of it yet."""


@dataclass(frozen=True)
class Promoted:
    """What became of a promotion."""

    promotion: Promotion
    not_in_mlflow: str | None


@dataclass(frozen=True)
class Difference:
    """One config field or figure that two versions don't share."""

    name: str
    first: Any
    second: Any


@dataclass(frozen=True)
class ModelDiff:
    """What two versions don't share; None where one of them lacks it."""

    first: ModelVersion
    second: ModelVersion
    config: tuple[Difference, ...]
    lineage: tuple[Difference, ...]
    metrics: tuple[Difference, ...]


@dataclass(frozen=True)
class PulledModel:
    """A copy of a version: checkpoint, config, record and lineage."""

    version: ModelVersion
    folder: str
    files: tuple[str, ...]


def list_models(ws: Workspace) -> ModelList:
    """Every registered model by name."""
    items = []
    for name, versions in models(ws).items():
        aliases = {alias: each.version for each in versions.values() for alias in each.aliases}
        newest = versions[max(versions)]
        items.append(
            RegisteredModel(
                model=name,
                provenance=str(newest.tags.get("provenance")),
                versions=len(versions),
                newest=newest.version,
                champion=aliases.get("champion"),
                challenger=aliases.get("challenger"),
            )
        )
    return ModelList(tuple(items), len(items))


def show_model(ws: Workspace, model: str) -> ModelView:
    """A model with all its versions (`MODEL`), or with the one that is named (`MODEL@champion`).

    Raises:
        RunError: there is no such model, version or alias.
    """
    found = find_version(ws, model)
    versions = [found] if "@" in model else list(models(ws)[found.model].values())[::-1]
    history = tuple(
        ModelEvent(
            time=event.time,
            kind=event.kind,
            version=event.details.get("version"),
            alias=event.details.get("alias"),
            reason=event.details.get("reason"),
        )
        for event in Journal(ws.journal).events()
        if event.details.get("model") == found.model
    )
    return ModelView(found.model, tuple(versions), history)


def register(ws: Workspace, run: str = "latest", *, challenger: bool = True) -> Registration:
    """Register a completed training run's best checkpoint, with its lineage.

    Args:
        ws: the workspace.
        run: id of a training run, the beginning of one, or `latest`.
        challenger: make it the model's challenger as well.

    Raises:
        RunError: there is no such run, it is no training run, or it is not completed.
        CheckpointError: its best checkpoint is missing or damaged.
    """
    version, new = register_run(ws, run)
    if challenger and new:
        rule = promotion_rule()
        version = promote_version(ws, version.reference, rule, alias="challenger").version
    what = f"'{version.reference}'"
    return Registration(version, new, sync_after(ws, version.run_id, what))


def promote(
    ws: Workspace,
    model: str,
    *,
    alias: str = "champion",
    force: bool = False,
    reason: str = "",
    dry_run: bool = False,
    rule: Sequence[str] = (),
) -> Promoted:
    """Give a version an alias, if the promotion rule finds it better than the one that has it.

    Args:
        ws: the workspace.
        model: `MODEL@3` or `MODEL@challenger`; `MODEL` alone is its challenger, or the newest.
        alias: `champion` or `challenger`.
        force: whatever the rule says; needs a reason.
        reason: why, kept in the journal.
        dry_run: only say what would be done.
        rule: fields of the rule, such as `metric=recall` or `margin=0.01`.

    Raises:
        RunError: there is no such version or alias, it was never evaluated, or it may not be.
        ConfigError: a field of the rule is wrong.
        CheckpointError: the version's checkpoint is not the registered one any more.
    """
    done = promote_version(
        ws,
        model,
        promotion_rule(rule),
        alias=alias,
        force=force,
        reason=reason,
        dry_run=dry_run,
    )
    what = f"'{done.version.reference}' as {alias}"
    told = sync_after(ws, done.version.run_id, what) if done.promoted else None
    return Promoted(done, told)


def diff_models(ws: Workspace, first: str, second: str) -> ModelDiff:
    """What two versions don't share: config, lineage, figures of training and newest evaluation.

    Raises:
        RunError: there is no such version, or its run's folder is gone.
    """
    one, other = find_version(ws, first), find_version(ws, second)
    return ModelDiff(
        first=one,
        second=other,
        config=_differences(_config(ws, one), _config(ws, other)),
        lineage=_differences(one.tags, other.tags),
        metrics=_differences(_figures(ws, one), _figures(ws, other)),
    )


def pull_model(ws: Workspace, model: str, to: Path) -> PulledModel:
    """Copy a version's checkpoint with its config, record and lineage to a new folder.

    The folder is there whole or not at all.

    Raises:
        RunError: there is no such version, or its run's folder is gone.
        CheckpointError: the checkpoint is not the registered one any more.
        StorageError: the folder is there already, or can't be written.
    """
    import shutil

    version = find_version(ws, model)
    folder = intact_folder(ws, version)
    to = to.expanduser().absolute()
    if to.exists():
        raise StorageError(f"'{to}' is there already", hint="choose a new folder with --to")
    sources = {"best.ckpt": folder.path / BEST}
    sources |= {name: folder.path / name for name in ("config.json", "run.json")}
    with atomic_path(to) as aside:
        aside.mkdir()
        for name, source in sources.items():
            shutil.copyfile(source, aside / name)
        write_json(aside / "lineage.json", asdict(version))
    return PulledModel(version, str(to), (*sources, "lineage.json"))


def _config(ws: Workspace, version: ModelVersion) -> dict[str, Any]:
    folder = folder_of(ws, version)
    if folder is None:
        raise RunError(
            f"the folder of run '{version.run_id}', which is '{version.reference}', is gone",
            hint="restore it, or choose another version (`kdgat models list`)",
        )
    return leaves(folder.config())


def _figures(ws: Workspace, version: ModelVersion) -> dict[str, Any]:
    """Figures of a version's training, and of its newest whole evaluation."""
    folder = folder_of(ws, version)
    figures: dict[str, Any] = {} if folder is None else dict(folder.record().metrics)
    evaluation = _evaluation(ws, version)
    return figures if evaluation is None else {**figures, **evaluation.metrics}


def _evaluation(ws: Workspace, version: ModelVersion) -> RunRecord | None:
    for _, record in readable(run_folders(ws.runs / str(version.tags["dataset"]), depth=2)):
        if record.subject == version.run_id and record.state is State.COMPLETED:
            return record
    return None


def _differences(first: dict[str, Any], second: dict[str, Any]) -> tuple[Difference, ...]:
    names = dict.fromkeys([*first, *second])
    return tuple(
        Difference(name, first.get(name), second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    )
