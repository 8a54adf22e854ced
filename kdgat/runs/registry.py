"""Registered models: versions and aliases, worked out from the journal.

The journal is the truth; MLflow's registry is a copy of it (`model_mirror.py`). A model is named
`<dataset>-<model>-<size>`; a version is one run's best checkpoint; an alias points to a version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from kdgat.errors import CheckpointError, RunError, did_you_mean
from kdgat.ledger.files import content_hash
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal, JournalEvent
from kdgat.ledger.record import RunRecord, refuse_imported
from kdgat.ledger.scan import find_run, run_folders
from kdgat.ledger.states import State
from kdgat.workspace import Workspace

Alias = Literal["champion", "challenger"]
ALIASES: tuple[Alias, ...] = ("champion", "challenger")
BEST = "checkpoints/best.ckpt"
"""The checkpoint that is registered, within the run's folder."""


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model."""

    model: str
    version: int
    run_id: str
    checkpoint_sha256: str
    registered_at: str
    aliases: tuple[str, ...] = ()
    tags: dict[str, Any] = field(default_factory=dict)
    """Lineage: dataset_hash, teacher, digest, commit, provenance, kd and more."""

    @property
    def reference(self) -> str:
        """How it is called: `hcrl_sa-gat-large@3`."""
        return f"{self.model}@{self.version}"


def models(ws: Workspace) -> dict[str, dict[int, ModelVersion]]:
    """Every model's versions by number, as the journal has them; those removed are left out."""
    return models_after(Journal(ws.journal).events())


def models_after(events: Iterable[JournalEvent]) -> dict[str, dict[int, ModelVersion]]:
    """The models after these events. Of two that claim one version number the first has it."""
    found: dict[str, dict[int, ModelVersion]] = {}
    taken: set[tuple[str, int]] = set()
    aliases: dict[tuple[str, str], int] = {}
    for event in events:
        match event.kind, event.details:
            case "registered", {"model": str(model), "version": int(version)}:
                if (model, version) not in taken:
                    taken.add((model, version))
                    found.setdefault(model, {})[version] = _version(event)
            case "version_removed", {"model": str(model), "version": int(version)}:
                found.get(model, {}).pop(version, None)
            case "alias_set", {"model": str(model), "alias": str(alias), "version": int(version)}:
                aliases[model, alias] = version
            case "alias_removed", {"model": str(model), "alias": str(alias)}:
                aliases.pop((model, alias), None)
            case _:
                continue
    for (model, alias), version in sorted(aliases.items()):
        if version in found.get(model, {}):
            old = found[model][version]
            found[model][version] = replace(old, aliases=(*old.aliases, alias))
    return {model: found[model] for model in sorted(found) if found[model]}


def register(ws: Workspace, run: str) -> tuple[ModelVersion, bool]:
    """Register a run's best checkpoint as the next version of its model.

    Returns:
        The version, and whether it is new; a checkpoint that is registered already keeps its own.

    Raises:
        RunError: there is no such run, it is no training run, or it is not completed.
        CheckpointError: its best checkpoint is missing or damaged.
    """
    folder = run_named(ws, run, lambda record: record.subject is None)
    record = folder.current()
    sha256 = _intact_checkpoint(folder, record)
    journal, model = Journal(ws.journal), model_name(record)
    while True:
        events = journal.events()
        for version in models_after(events).get(model, {}).values():
            if (version.run_id, version.checkpoint_sha256) == (record.run_id, sha256):
                return version, False
        event = journal.append(
            "registered",
            model=model,
            version=1 + max(_numbers(events, model), default=0),
            run_id=record.run_id,
            checkpoint_sha256=sha256,
            tags=_lineage(record),
        )
        mine = models(ws).get(model, {}).get(event.details["version"])
        # Another process may have taken the number at the same moment; then the next one is tried.
        if mine is not None and mine.run_id == record.run_id:
            return mine, True


def find_version(ws: Workspace, reference: str) -> ModelVersion:
    """The version of `MODEL@3`, `MODEL@champion`, or `MODEL` alone (challenger, else the newest).

    Raises:
        RunError: there is no such model, version or alias; names those that exist.
    """
    name, at, wanted = reference.partition("@")
    known = models(ws)
    if name not in known:
        raise RunError(
            f"no registered model '{name}'",
            hint=did_you_mean(name, known)
            if known
            else "`kdgat models register RUN` registers a run's best checkpoint",
        )
    versions = known[name]
    if not at:
        wanted = "challenger" if _with_alias(versions, "challenger") else str(max(versions))
    found = versions.get(int(wanted)) if wanted.isdecimal() else _with_alias(versions, wanted)
    if found is None:
        there = [str(number) for number in versions]
        there += sorted(alias for version in versions.values() for alias in version.aliases)
        raise RunError(
            f"model '{name}' has no '@{wanted}'",
            hint="there is " + ", ".join(f"{name}@{each}" for each in there),
        )
    return found


def resolve_model(ws: Workspace, reference: str) -> str:
    """The run id that `dataset-model-size@champion`, `@challenger` or `@3` stands for.

    What has no `@` (a run id, the beginning of one, `latest`) is returned as it is, so that this
    can be called wherever a run is named. Cheap: it reads the journal.

    Raises:
        RunError: there is no such model, version or alias, or its run was removed.
    """
    if "@" not in reference:
        return reference
    version = find_version(ws, reference)
    if version.run_id in Journal(ws.journal).standing().removed:
        raise RunError(
            f"run '{version.run_id}', which is '{version.reference}', was removed",
            hint="choose another version (`kdgat models show " + version.model + "`)",
        )
    return version.run_id


def run_named(
    ws: Workspace, reference: str, accept: Callable[[RunRecord], bool] = lambda _: True
) -> RunFolder:
    """The run that a user names: by its id, the beginning of one, `latest`, or a model's version.

    Args:
        ws: the workspace.
        reference: what the user said.
        accept: which runs `latest` may be; see `find_run`.

    Raises:
        RunError: none fits, several do, or the one named can't be read.
    """
    run_id = resolve_model(ws, reference)
    return find_run(ws.runs, run_id, accept, journal=Journal(ws.journal))


def folder_of(ws: Workspace, version: ModelVersion) -> RunFolder | None:
    """The folder of a version's run, or None when it is gone."""
    dataset = ws.runs / str(version.tags.get("dataset", ""))
    for folder in run_folders(dataset, depth=2) if dataset.is_dir() else []:
        if folder.path.name == version.run_id:
            return folder
    return None


def intact_folder(ws: Workspace, version: ModelVersion) -> RunFolder:
    """The folder of a version's run, whose checkpoint is the one that was registered.

    Raises:
        RunError: the run's folder is gone.
        CheckpointError: the checkpoint is missing, or was changed since.
    """
    folder = folder_of(ws, version)
    if folder is None:
        raise RunError(
            f"the folder of run '{version.run_id}', which is '{version.reference}', is gone",
            hint="restore it, or choose another version (`kdgat models list`)",
        )
    if _hash(folder) != version.checkpoint_sha256:
        raise CheckpointError(
            f"checkpoint '{folder.path / BEST}' is not the one that was registered as "
            f"'{version.reference}'",
            hint="restore the file, or choose another version (`kdgat models list`)",
        )
    return folder


def model_name(record: RunRecord) -> str:
    """The name under which a run's model is registered; students with and without teacher share
    it, and the tag `kd` tells them apart."""
    return f"{record.dataset}-{record.model}-{record.size}"


def _version(event: JournalEvent) -> ModelVersion:
    details = event.details
    tags = details.get("tags")
    return ModelVersion(
        model=details["model"],
        version=details["version"],
        run_id=str(details.get("run_id", "")),
        checkpoint_sha256=str(details.get("checkpoint_sha256", "")),
        registered_at=event.time,
        tags=tags if isinstance(tags, dict) else {},
    )


def _with_alias(versions: dict[int, ModelVersion], alias: str) -> ModelVersion | None:
    return next((each for each in versions.values() if alias in each.aliases), None)


def _numbers(events: Iterable[JournalEvent], model: str) -> list[int]:
    """Every version number that was ever given out: none is used twice."""
    return [
        event.details["version"]
        for event in events
        if event.kind == "registered" and event.details.get("model") == model
    ]


def _lineage(record: RunRecord) -> dict[str, Any]:
    return {
        "dataset": record.dataset,
        "provenance": record.provenance,
        "dataset_hash": record.dataset_hash,
        "graphs": record.graphs,
        "digest": record.digest,
        "teacher": record.teacher,
        "kd": record.distilled,
        "stage": record.stage,
        "seed": record.seed,
        "commit": record.environment.get("git_commit"),
        "dirty": record.environment.get("git_dirty"),
    }


def _intact_checkpoint(folder: RunFolder, record: RunRecord) -> str:
    """The checkpoint's SHA-256, if it is the one that the training wrote."""
    refuse_imported(record)
    if record.subject is not None:
        raise RunError(
            f"run '{record.run_id}' is an evaluation of '{record.subject}' and has no model",
            hint=f"`kdgat models register {record.subject}` registers the model it judged",
        )
    if record.state is not State.COMPLETED:
        raise RunError(
            f"run '{record.run_id}' is {record.state.value}, not completed",
            hint="train it to its end first; the same overrides resume it",
        )
    found = _hash(folder)
    if found is None or found != record.artifacts.get(BEST):
        raise CheckpointError(
            f"checkpoint '{folder.path / BEST}' "
            + ("is missing" if found is None else "is not the one that the training wrote"),
            hint="restore the file, or train anew with --fresh",
        )
    return found


def _hash(folder: RunFolder) -> str | None:
    path: Path = folder.path / BEST
    try:
        return content_hash(path)
    except OSError:
        return None
