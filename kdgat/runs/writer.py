"""Writes one run into MLflow: only what it lacks, the stamp last.

MLflow can't take a metric or a parameter back. A run whose ledger changed its past (epochs trained
again after a crash) is therefore put aside as deleted, and another MLflow run takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdgat.runs.mirror import Mirror, Point
from kdgat.runs.store import RUN_ID, STAMP, SUPERSEDED, Mirrored, artifact_root

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_ENTITIES_A_BATCH = 1000
_PARAMS_A_BATCH = 100
_DIGEST_CHARACTERS = 36
"""Most that MLflow keeps of a dataset's digest; the whole hash is in its profile and a tag."""


@dataclass
class RunWriter:
    """Writes runs into one store."""

    client: MlflowClient
    store: Path
    _experiments: dict[str, str] = field(default_factory=dict)

    def write(self, mirror: Mirror, stamp: str, copies: Sequence[Mirrored]) -> bool:
        """Bring the MLflow run of `mirror` up to date; whether it was not there before.

        Can be repeated after having stopped anywhere.
        """
        mlflow_id = self._present(mirror, copies)
        created = mlflow_id is None
        points: set[Point] = set()
        if mlflow_id is not None:
            run = self.client.get_run(mlflow_id)
            points = self._points(run)
            if _contradicts(run, points, mirror):
                self._supersede(mlflow_id, mirror.run_id)
                mlflow_id, points = None, set()
        mlflow_id = mlflow_id or self._create(mirror)
        self._log(mlflow_id, mirror, mirror.points - points)
        for name in mirror.files:
            parent = Path(name).parent.as_posix()
            self.client.log_artifact(mlflow_id, str(mirror.folder / name), _artifact_folder(parent))
        self._set_status(mlflow_id, mirror)
        self.client.set_tag(mlflow_id, STAMP, stamp)
        return created

    def delete(self, copies: Sequence[Mirrored]) -> None:
        """Delete every copy of a run, as MLflow deletes: `mlflow gc` would take it away."""
        for copy in copies:
            if copy.active:
                self.client.delete_run(copy.mlflow_id)

    def _present(self, mirror: Mirror, copies: Sequence[Mirrored]) -> str | None:
        """The one copy that counts; others are put aside, one deleted by hand comes back."""
        for copy in copies:
            if copy.active and copy.superseded:
                self.client.delete_run(copy.mlflow_id)
        whole = [copy for copy in copies if not copy.superseded]
        active = [copy.mlflow_id for copy in whole if copy.active]
        for extra in active[1:]:
            self._supersede(extra, mirror.run_id)
        if active:
            return active[0]
        if whole:
            self.client.restore_run(whole[0].mlflow_id)
            return whole[0].mlflow_id
        return None

    def _supersede(self, mlflow_id: str, run_id: str) -> None:
        self.client.set_tag(mlflow_id, SUPERSEDED, run_id)
        self.client.delete_run(mlflow_id)

    def _create(self, mirror: Mirror) -> str:
        experiment = self._experiment(mirror)
        # One transaction: there is never an MLflow run of ours without its tag.
        tags = {RUN_ID: mirror.run_id}
        run = self.client.create_run(experiment, mirror.start_ms, tags, mirror.name)
        return run.info.run_id

    def _experiment(self, mirror: Mirror) -> str:
        """The experiment of a dataset, made where there is none."""
        name = mirror.experiment
        if name not in self._experiments:
            found = self.client.get_experiment_by_name(name)
            self._experiments[name] = (
                found.experiment_id
                if found is not None
                else self.client.create_experiment(
                    name,
                    (artifact_root(self.store) / name).as_uri(),
                    {"kdgat.provenance": mirror.provenance},
                )
            )
        return self._experiments[name]

    def _points(self, run: Run) -> set[Point]:
        return {
            Point(name, each.value, each.timestamp, each.step)
            for name in run.data.metrics
            for each in self.client.get_metric_history(run.info.run_id, name)
        }

    def _log(self, mlflow_id: str, mirror: Mirror, points: frozenset[Point]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        tags = [RunTag(name, value) for name, value in mirror.tags.items()]
        params = [Param(name, value) for name, value in mirror.params.items()]
        metrics = [
            Metric(point.name, point.value, point.time_ms, point.step)
            for point in sorted(points, key=lambda point: (point.step, point.name))
        ]
        # As few calls as its limits allow: each is several transactions.
        room = _ENTITIES_A_BATCH - len(tags) - min(len(params), _PARAMS_A_BATCH)
        self.client.log_batch(mlflow_id, metrics[:room], params[:_PARAMS_A_BATCH], tags, True)
        for part in _parts(params[_PARAMS_A_BATCH:], _PARAMS_A_BATCH):
            self.client.log_batch(mlflow_id, params=part, synchronous=True)
        for part in _parts(metrics[room:], _ENTITIES_A_BATCH):
            self.client.log_batch(mlflow_id, metrics=part, synchronous=True)
        self.client.log_inputs(mlflow_id, [_dataset_input(mirror)])

    def _set_status(self, mlflow_id: str, mirror: Mirror) -> None:
        if mirror.end_ms is not None:
            self.client.set_terminated(mlflow_id, mirror.status, mirror.end_ms)
        else:
            self.client.update_run(mlflow_id, mirror.status)


def restore_experiments(client: MlflowClient, runs: Path) -> list[str]:
    """Bring back deleted experiments of datasets that have runs; a sentence for each.

    MLflow keeps a deleted experiment's name, so that no new one could be made under it. It restores
    all the runs in it too; those that must not be there are deleted again by the sync.
    """
    from mlflow.entities import ViewType

    datasets = {path.name for path in runs.iterdir()} if runs.is_dir() else set()
    notes, token = [], None
    while True:
        page = client.search_experiments(ViewType.DELETED_ONLY, page_token=token)
        for experiment in page:
            if experiment.name in datasets:
                client.restore_experiment(experiment.experiment_id)
                notes.append(
                    f"experiment '{experiment.name}' had been deleted in MLflow and was restored, "
                    "because the ledger has runs on it"
                )
        token = page.token
        if not token:
            return notes


def _contradicts(run: Run, points: set[Point], mirror: Mirror) -> bool:
    """Whether MLflow holds something that the ledger doesn't say (any more)."""
    params = run.data.params
    wrong = any(mirror.params.get(name) != value for name, value in params.items())
    return wrong or bool(points - mirror.points) or run.info.start_time != mirror.start_ms


def _dataset_input(mirror: Mirror) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    facts = {"content_hash": mirror.dataset_hash, "provenance": mirror.provenance}
    dataset = Dataset(
        name=mirror.experiment,
        digest=mirror.dataset_hash[:_DIGEST_CHARACTERS],
        source_type="local",
        source=json.dumps({"uri": f"data/{mirror.experiment}"}),
        profile=json.dumps(facts),
    )
    context = "evaluation" if mirror.tags["kdgat.subject"] else "training"
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _artifact_folder(parent: str) -> str | None:
    """Where a file of the run's folder goes among MLflow's artifacts, which need no second one."""
    inner = parent.removeprefix("artifacts").removeprefix("/")
    return None if inner in ("", ".") else inner


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
