"""Operations on MLflow's copy of the runs: bring it up to date, and look at it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from kdgat.errors import RunError
from kdgat.progress import Progress, quiet
from kdgat.runs.registry import resolve_model
from kdgat.runs.store import artifact_root, database, store_uri
from kdgat.runs.tracking import SyncReport, sync_runs
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class MlflowUi:
    """How MLflow's own pages are served."""

    command: tuple[str, ...]
    address: str
    store: str


def sync(
    ws: Workspace,
    *,
    runs: Sequence[str] = (),
    rebuild: bool = False,
    progress: Progress = quiet,
) -> SyncReport:
    """Bring MLflow up to date with the run folders and the registered models.

    Args:
        ws: the workspace.
        runs: ids of runs, their beginnings, or `model@champion`; none for all.
        rebuild: delete the store and make it again from the runs.
        progress: told of every run.

    Raises:
        RunError: a run that was named does not exist.
        StorageError: another sync is going on, or the store is locked or can't be written.
    """
    named = [resolve_model(ws, run) for run in runs]
    return sync_runs(ws, runs=named or None, rebuild=rebuild, progress=progress)


def mlflow_ui(ws: Workspace, *, host: str = "127.0.0.1", port: int = 5000) -> MlflowUi:
    """The command that serves MLflow's pages on the workspace's store.

    Raises:
        RunError: there is no store yet.
    """
    if not database(ws.mlflow).is_file():
        raise RunError(
            f"there is no MLflow store in '{ws.show(ws.mlflow)}' yet",
            hint="`kdgat runs sync` makes it from the runs",
        )
    command = (
        sys.executable, "-m", "mlflow", "ui",
        "--backend-store-uri", store_uri(ws.mlflow),
        "--registry-store-uri", store_uri(ws.mlflow),
        "--default-artifact-root", artifact_root(ws.mlflow).as_uri(),
        "--host", host, "--port", str(port),
    )  # fmt: skip
    return MlflowUi(command, f"http://{host}:{port}", ws.show(ws.mlflow))
