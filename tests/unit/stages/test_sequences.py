"""Sequences of prepared windows: the same windows, scaled on benign ones, made when asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import DATASETS, SimulationConfig
from kdgat.configs.model import FusionConfig
from kdgat.configs.run import RunConfig
from kdgat.configs.training import ResourcesConfig, TrainingConfig
from kdgat.data import sequence_store
from kdgat.data.captures import load_manifest, load_messages
from kdgat.data.sealing import labels_sealed
from kdgat.data.sequences import MessageScaler, WindowMessages, window_messages
from kdgat.data.simulate import simulate
from kdgat.data.store import GraphStore, open_store
from kdgat.data.windows import Messages
from kdgat.errors import DataError
from kdgat.ledger.folder import Paused
from kdgat.stages.ingest import ingest
from kdgat.stages.inputs import with_sequences
from kdgat.stages.prepare import Prepared, prepare
from kdgat.stages.scenarios import View, prefix_folder, scenario_folder
from kdgat.stages.sequences import (
    need_prefix_sequences,
    need_scenario_sequences,
    need_training_sequences,
    reads_messages,
)
from kdgat.stages.table import STAGES
from kdgat.stages.train import train
from kdgat.training.checkpoint import TrainedModel
from tests.unit.stages.untrained import GAT, GRU, planned

WINDOW = 10
DATA = DataConfig(
    window_messages=WINDOW, stride_messages=40, training_stride_messages=20, prefix_s=1.0
)
TRAINING = TrainingConfig(max_epochs=2, min_steps_per_epoch=4)
KNOWN = "test_01_known_vehicle_known_attack"
ZERO_SHOT, ADAPTED = View("zero_shot", 1.0), View("adapted", 1.0)
POISONED = View("adapted", 1.0, poisoned=True, variant="poisoned")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    config = SimulationConfig(
        capture_s=5.0, attack_free_s=5.0, known_vehicles=1, known_attacks=("dos",),
        unknown_attacks=("replay",),
    )  # fmt: skip
    simulate(config, tmp_path / "raw")
    ingest(DATASETS["simulated"], tmp_path / "raw", tmp_path / "made")
    return tmp_path / "made"


@pytest.fixture
def prepared(dataset: Path) -> Prepared:
    return prepare(dataset, DATA)


def folders(prepared: Prepared) -> list[Path]:
    return sorted(prepared.folder.rglob("messages"))


def found_again(dataset: Path, store: GraphStore, chosen: np.ndarray) -> list[WindowMessages]:
    """The messages of some windows, which are looked for by the time they begin at."""
    parts = []
    for number, label in enumerate(store.captures):
        record = next(each for each in load_manifest(dataset).captures if each.key == label.key)
        messages = Messages.from_frame(load_messages(dataset, record))
        assert (np.diff(messages.time_s) > 0).all()
        mine = chosen & (store.capture.numpy() == number)
        starts = np.searchsorted(messages.time_s, store.start_s.numpy()[mine])
        parts.append(window_messages(messages, starts, WINDOW))
    return parts


class TestTraining:
    def test_they_are_of_the_stores_windows_scaled_on_benign_training_windows_alone(
        self, dataset: Path, prepared: Prepared
    ) -> None:
        stores = with_sequences(prepared)
        scaler = need_training_sequences(prepared)
        benign = found_again(dataset, stores[0], stores[0].y.numpy() == 0)
        fitted = MessageScaler.fit(benign, DATA.scale_clip)
        np.testing.assert_allclose(scaler.mean, fitted.mean, rtol=1e-9)
        np.testing.assert_allclose(scaler.std, fitted.std, rtol=1e-9)
        every = MessageScaler.fit(
            found_again(dataset, stores[0], np.ones(len(stores[0]), bool)), DATA.scale_clip
        )
        assert every != fitted, "attacks are told from benign traffic by their scale"
        for store in stores:
            parts = found_again(dataset, store, np.ones(len(store), bool))
            assert store.sequences is not None
            values = np.concatenate([scaler.scaled(part) for part in parts])
            assert np.array_equal(store.sequences.values.numpy(), values)
            node = np.concatenate([part.node for part in parts])
            assert np.array_equal(store.sequences.node.numpy(), node)

    def test_a_training_on_graphs_writes_none(self, prepared: Prepared, tmp_path: Path) -> None:
        run, config = planned(
            tmp_path / "runs", prepared, data=DATA, model=GAT, training=TRAINING,
            resources=ResourcesConfig(accelerator="cpu"),
        )  # fmt: skip
        train(run, config, STAGES["classifier"], prepared, tmp_path / "memory")
        assert not folders(prepared)

    def test_they_are_made_once_and_again_after_another_version(
        self, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        need_training_sequences(prepared)
        first = [each.stat().st_ino for each in folders(prepared)]
        need_training_sequences(prepared)
        assert [each.stat().st_ino for each in folders(prepared)] == first
        monkeypatch.setattr(sequence_store, "MESSAGES_VERSION", 99)
        need_training_sequences(prepared)
        assert [each.stat().st_ino for each in folders(prepared)] != first

    def test_of_captures_that_were_ingested_again_there_are_none(self, prepared: Prepared) -> None:
        path = prepared.folder.parent.parent / "captures.json"
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({**manifest, "content_hash": "0" * 16}))
        with pytest.raises(DataError, match="ingested again"):
            need_training_sequences(prepared)
        assert not folders(prepared)

    def test_a_run_that_is_stopped_goes_on_to_the_same_figures(
        self, prepared: Prepared, tmp_path: Path
    ) -> None:
        parts = {"data": DATA, "model": GRU, "training": TRAINING, "seed": 3,
                 "resources": ResourcesConfig(accelerator="cpu", threads=1)}  # fmt: skip

        def trained(place: str, stop_after: int) -> tuple[dict[str, float | None], list[dict]]:
            run, config = planned(tmp_path / place, prepared, **parts)
            steps = iter(range(1000))
            given = (run, config, STAGES["gru"], prepared, tmp_path / "memory")
            try:
                figures = train(*given, asked=lambda: next(steps) >= stop_after)
            except Paused:
                figures = train(*given)
            kept = ("best_epoch", "best_val_task_loss", "epochs", "parameters")
            return {name: figures[name] for name in kept}, run.metrics()

        whole, broken = trained("whole", 10_000), trained("broken", 2)
        assert whole == broken
        assert len(whole[1]) == 2


class TestScenarios:
    @pytest.mark.parametrize("view", [ZERO_SHOT, ADAPTED, POISONED], ids=lambda view: view.name)
    def test_they_are_made_without_labels_of_the_windows_that_are_scored(
        self, dataset: Path, prepared: Prepared, view: View
    ) -> None:
        folder = scenario_folder(dataset, prepared, KNOWN, view)
        scaler = need_training_sequences(prepared)
        with labels_sealed():
            need_scenario_sequences(prepared, KNOWN, view)
            store = open_store(folder, labels=False, sequences=True)
        parts = found_again(dataset, store, np.ones(len(store), bool))
        assert store.sequences is not None
        values = np.concatenate([scaler.scaled(part) for part in parts])
        assert np.array_equal(store.sequences.values.numpy(), values)

    def test_a_poisoned_prefix_has_other_messages_than_a_clean_one(
        self, dataset: Path, prepared: Prepared
    ) -> None:
        found = []
        for view in (ADAPTED, POISONED):
            folder = prefix_folder(dataset, prepared, KNOWN, view)
            need_prefix_sequences(prepared, KNOWN, view)
            found.append(open_store(folder, labels=False, sequences=True))
        clean, poisoned = found
        assert clean.sequences is not None
        assert poisoned.sequences is not None
        assert len(clean.sequences.values) == len(clean) > 0
        assert len(poisoned) > len(clean)


def test_a_fusion_reads_messages_if_any_of_its_models_does() -> None:
    def subject(model: object, *scorers: TrainedModel) -> TrainedModel:
        config = RunConfig.model_validate({"model": model})
        return TrainedModel(torch.nn.Identity(), config, (1, 1), 0, None, scorers)

    gat, gru, fusion = subject(GAT), subject(GRU), FusionConfig()
    assert reads_messages(gru)
    assert reads_messages(subject(fusion, gat, gru))
    assert not reads_messages(subject(fusion, gat, gat))
