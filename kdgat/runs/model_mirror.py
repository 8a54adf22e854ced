"""MLflow's model registry as a copy of ours: versions with the same numbers, aliases, lineage.

A version's source is a real MLflow model (signature, checkpoint, scaling) among the artifacts of
its run, so that `mlflow.pyfunc.load_model` works. A model's stamp is its last tag, as with runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from kdgat.errors import KdgatError
from kdgat.ledger.files import atomic_path
from kdgat.runs.registry import BEST, ModelVersion, folder_of, intact_folder, models
from kdgat.runs.scoring import save_for_mlflow
from kdgat.runs.store import STAMP, mirrored, model_stamps
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_MIRROR_VERSION = 1
_PAGE = 200


@dataclass
class MirroredModels:
    """Which models were brought up to date, and what could not be as it should."""

    models: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def models_to_mirror(ws: Workspace) -> list[str]:
    """Models of which MLflow has no copy as they are now; does not import MLflow.

    Raises:
        StorageError: the store is locked.
        sqlite3.Error: its tables are of an unknown version.
    """
    kept, ours = model_stamps(ws.mlflow), models(ws)
    changed = [name for name, versions in ours.items() if kept.get(name) != _stamp(versions)]
    return changed + sorted(set(kept) - set(ours))


def mirror_models(ws: Workspace, client: MlflowClient) -> MirroredModels:
    """Bring MLflow's registry up to date; can be repeated after having stopped anywhere."""
    done, ours = MirroredModels(), models(ws)
    kept = model_stamps(ws.mlflow)
    for name in sorted(set(kept) - set(ours)):
        client.delete_registered_model(name)
        done.models.append(name)
    for name, versions in ours.items():
        if kept.get(name) != _stamp(versions):
            _mirror(ws, client, name, versions, done)
            done.models.append(name)
    return done


def _stamp(versions: Mapping[int, ModelVersion]) -> str:
    facts = [
        [each.version, each.run_id, each.checkpoint_sha256, each.registered_at, each.aliases]
        for each in versions.values()
    ]
    text = json.dumps([_MIRROR_VERSION, facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _mirror(
    ws: Workspace,
    client: MlflowClient,
    name: str,
    versions: Mapping[int, ModelVersion],
    done: MirroredModels,
) -> None:
    """One model: its versions in order, then its aliases, then the stamp."""
    if not _exists(client, name):
        client.create_registered_model(name)
    there = _versions(client, name)
    for number in sorted(set(there) - set(versions)):
        client.delete_model_version(name, str(number))
    for number in range(1 + max(there, default=0), 1 + max(versions)):
        _add(ws, client, name, number, versions.get(number), done)
    missing = sorted(set(versions) - set(_versions(client, name)))
    if missing:
        done.notes.append(
            f"MLflow gives a deleted version's number to no other: {name} lacks "
            f"{', '.join(map(str, missing))} (`kdgat runs sync --rebuild` makes it whole)"
        )
    _set_aliases(client, name, versions.values(), missing)
    client.set_registered_model_tag(name, STAMP, _stamp(versions))


def _add(
    ws: Workspace,
    client: MlflowClient,
    name: str,
    number: int,
    version: ModelVersion | None,
    done: MirroredModels,
) -> None:
    """The next version; one that was removed leaves its number unused."""
    if version is None:
        made = client.create_model_version(name, "removed", await_creation_for=0)
        client.delete_model_version(name, made.version)
        return
    mlflow_id, source = _source(ws, client, version, done)
    tags = {f"kdgat.{key}": json.dumps(value).strip('"') for key, value in version.tags.items()}
    tags |= {
        "kdgat.run_id": version.run_id,
        "kdgat.registered_at": version.registered_at,
        "kdgat.checkpoint_sha256": version.checkpoint_sha256,
    }
    made = client.create_model_version(name, source, mlflow_id, tags=tags, await_creation_for=0)
    if int(made.version) != number:
        done.notes.append(
            f"'{version.reference}' is version {made.version} in MLflow, where somebody deleted or "
            "added one by hand (`kdgat runs sync --rebuild` makes it again)"
        )


def _source(
    ws: Workspace, client: MlflowClient, version: ModelVersion, done: MirroredModels
) -> tuple[str | None, str]:
    """The MLflow run and the folder of the model, which is written if it is not there."""
    copies = mirrored(ws.mlflow).get(version.run_id, [])
    mlflow_id = next((each.mlflow_id for each in copies if not each.superseded), None)
    if mlflow_id is None:
        done.notes.append(f"'{version.reference}': run '{version.run_id}' is not in MLflow")
        return None, f"missing:{version.run_id}"
    target = _local(client.get_run(mlflow_id).info.artifact_uri or "") / "model"
    try:
        if not (target / "MLmodel").is_file():
            folder = intact_folder(ws, version)
            graphs = ws.dataset(version.tags["dataset"]) / "graphs" / str(version.tags["graphs"])
            with atomic_path(target) as aside:
                save_for_mlflow(aside, folder.path / BEST, graphs, dict(version.tags))
        return mlflow_id, target.as_uri()
    except KdgatError as error:
        # The registry still tells what was registered; only loading through MLflow is lost.
        done.notes.append(f"'{version.reference}' can't be loaded by MLflow: {error.problem}")
        folder = folder_of(ws, version)
        return mlflow_id, (target if folder is None else folder.path).as_uri()


def _set_aliases(
    client: MlflowClient, name: str, versions: Iterable[ModelVersion], missing: list[int]
) -> None:
    wanted = {
        alias: each.version
        for each in versions
        for alias in each.aliases
        if each.version not in missing
    }
    there = client.get_registered_model(name).aliases
    for alias in sorted(set(there) - set(wanted)):
        client.delete_registered_model_alias(name, alias)
    for alias, number in sorted(wanted.items()):
        if str(there.get(alias)) != str(number):
            client.set_registered_model_alias(name, alias, str(number))


def _exists(client: MlflowClient, name: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _versions(client: MlflowClient, name: str) -> list[int]:
    found, token = [], None
    while True:
        page = client.search_model_versions(f"name = '{name}'", _PAGE, page_token=token)
        found += [int(each.version) for each in page]
        token = page.token
        if not token:
            return sorted(found)


def _local(uri: str) -> Path:
    """The folder that a file URI (or a plain path) names."""
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else Path(uri)
