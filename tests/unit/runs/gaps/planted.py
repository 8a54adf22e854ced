"""Histories of real run folders: one in which nothing is lacking, and ten gaps to plant into it.

Configs are whole ones of this version, with their true digests, so that commands can be composed
from them. Figures are drawn with a fixed seed.
"""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from kdgat.configs.dataset import DATASETS
from kdgat.configs.fields import validated
from kdgat.configs.model import model_preset
from kdgat.configs.run import RunConfig
from kdgat.ledger.files import write_json
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import RunRecord, new_run_id
from kdgat.ledger.states import State
from kdgat.runs.gaps.axes import AXES, DISTILLATION
from kdgat.workspace import Workspace
from tests.unit.ledger.made import new_record

START = datetime(2026, 11, 1, 8, tzinfo=UTC)
SCENARIOS = {
    "test_01_known_vehicle_known_attack": 1,
    "test_02_unknown_vehicle_known_attack": -1,
    "test_03_known_vehicle_unknown_attack": 1,
    "test_04_unknown_vehicle_unknown_attack": -1,
}
"""And whether a figure there is above or below the mean."""
NOISE = 0.002
SEEDS = 8
TRAINING_S = {"large": 3600.0, "small": 90.0}
EVALUATION_S = 20.0
V100 = "v100-16gb"
QUESTION = """---
title: Do three trainings on set_01 exist?
status: open
opened: 2026-11-01
trigger:
  text: three trainings on set_01 exist
  sql: select count(*) >= 3 from runs where dataset = 'set_01'
---
"""


@dataclass
class Ledger:
    """Writes runs, each a minute after the last."""

    ws: Workspace
    random: random.Random = field(default_factory=lambda: random.Random(7))
    minutes: Any = field(default_factory=itertools.count)
    written: int = 0

    def train(
        self,
        dataset: str,
        kind: str,
        size: str = "large",
        *,
        seed: int = 0,
        changes: dict[str, Any] | None = None,
        teacher: str | None = None,
        gpu: str = V100,
        **more: Any,
    ) -> RunRecord:
        """A training; `changes` holds dotted fields, `more` those of the record."""
        config = whole_config(dataset, kind, size, seed, changes or {}, teacher)
        values = config.model_dump(mode="json")
        state = more.pop("state", State.COMPLETED)
        folder = self._write(
            config, values, stage="classifier", seed=seed, teacher=teacher, state=state,
            graphs="g" * 16, digest=config.digest(), duration_s=TRAINING_S[size],
            metrics={
                "best_val_task_loss": 0.1, "parameters": 1000.0 * values["model"].get("hidden", 1),
                "measured_allocated_bytes": 1e9, "measured_reserved_bytes": 2.5e9,
                "measured_context_bytes": 5e8,
            } if state is State.COMPLETED else {},
            **more,
        )  # fmt: skip
        write_json(folder.artifacts / "memory.json", {"plan": {"gpu": gpu}})
        return folder.record()

    def judge(
        self,
        of: RunRecord,
        f1: float,
        *,
        apart: float = 0.02,
        auroc: float = 0.95,
        protocol: str = "zero_shot",
    ) -> RunRecord:
        """Its evaluation; known vehicles are so much above the mean, unknown ones below."""
        values = json.loads(
            (RunFolder(self.folder(of).path).path / "config.json").read_text(encoding="utf-8")
        )
        folder = self._write(
            validated(values, "planted"), values, stage="evaluation", seed=of.seed,
            teacher=of.teacher, subject=of.run_id, duration_s=EVALUATION_S, graphs=of.graphs,
            digest="e" * 16,
        )  # fmt: skip
        rows = [
            {
                "scenario": name, "attack_type": "all", "protocol": protocol,
                "metrics": {
                    "windows": 1000, "attack_windows": 300, "auroc": auroc, "f1": f1 + side * apart,
                },
            }
            for name, side in SCENARIOS.items()
        ]  # fmt: skip
        report = {"threshold": 0.5, "parameters": of.metrics.get("parameters"), "latency_ms": 1.0}
        write_json(folder.artifacts / "evaluation.json", {**report, "scenarios": rows})
        return folder.record()

    def judged(
        self, dataset: str, kind: str, size: str = "large", *, f1: float, **more: Any
    ) -> RunRecord:
        """A training with its evaluation, its figure off by noise."""
        shown = {name: more.pop(name) for name in ("apart", "auroc", "protocol") if name in more}
        record = self.train(dataset, kind, size, **more)
        self.judge(record, f1 + self.random.gauss(0, NOISE), **shown)
        return record

    def swept(
        self, dataset: str, kind: str, size: str = "large", *, f1: float, without: str = "",
        **more: Any,
    ) -> RunRecord:  # fmt: skip
        """A recipe of several seeds, and each field worth varying with another value beside it.

        Returns:
            A run of the recipe.
        """
        base = [self.judged(dataset, kind, size, f1=f1, seed=seed, **more) for seed in range(SEEDS)]
        distilled = more.get("teacher") is not None
        values = flat(whole_config(dataset, kind, size, 0, {}, more.get("teacher")))
        for axis in (*(DISTILLATION if distilled else ()), *AXES[kind]):
            if axis.field == without:
                continue
            other = json.loads(axis.trials(str(values[axis.field]))[-1])
            for seed in range(3):
                self.judged(
                    dataset, kind, size, f1=f1 - 0.005, seed=seed, **more,
                    changes={**more.get("changes", {}), axis.field: other},
                )  # fmt: skip
        return base[0]

    def folder(self, record: RunRecord) -> RunFolder:
        """Where a run lies."""
        return RunFolder(next(self.ws.runs.glob(f"*/*/{record.run_id}")))

    def _write(
        self, config: RunConfig, values: dict[str, Any], *, duration_s: float, **changes: Any
    ) -> RunFolder:
        now = START + timedelta(minutes=next(self.minutes))
        ended = now + timedelta(seconds=duration_s)
        record = new_record(
            run_id=new_run_id(now), dataset=config.dataset.name, model=config.model.kind,
            provenance=config.dataset.provenance, size=config.size, created_at=now.isoformat(),
            started_at=now.isoformat(), ended_at=ended.isoformat(),
            **{"state": State.COMPLETED, **changes},
        )  # fmt: skip
        self.written += 1
        return RunFolder.create(self.ws.runs, record, values)


def whole_config(
    dataset: str, kind: str, size: str, seed: int, changes: dict[str, Any], teacher: str | None
) -> RunConfig:
    """A config of this version."""
    preset = RunConfig(
        dataset=DATASETS[dataset], model=model_preset(kind, size), size=size, seed=seed
    )  # pyright: ignore[reportArgumentType]
    values = preset.model_dump(mode="json")
    values["distillation"]["teacher"] = teacher
    for name, value in changes.items():
        part, _, leaf = name.partition(".")
        values[part][leaf] = value
    return validated(values, "planted")


def flat(config: RunConfig) -> dict[str, Any]:
    """A config's fields by dotted name."""
    return {
        f"{part}.{leaf}": value
        for part, inner in config.model_dump(mode="json").items()
        if isinstance(inner, dict)
        for leaf, value in inner.items()
    }


def complete(ledger: Ledger, *, gaps: bool = False) -> None:
    """Two datasets with teacher, student, autoencoder and baseline; nothing is lacking.

    With `gaps`, ten are planted: each stands where its line says so.
    """
    for dataset, level in (("hcrl_sa", 0.80), ("set_01", 0.70)):
        first, second = gaps and dataset == "hcrl_sa", gaps and dataset == "set_01"
        if first:
            # 1. Two trainings of one experiment contradict each other: this one and base seed 0.
            ledger.judged(dataset, "gat", f1=level - 0.1)
        teacher = ledger.swept(dataset, "gat", f1=level)
        # 2. A field was never varied. 3. A threshold holds on the training vehicles alone.
        # 4. Autoencoders were trained on a card far larger than they need.
        ledger.swept(
            dataset, "vgae", f1=level - 0.1, without="model.latent" if first else "",
            gpu="h100-94gb" if second else V100,
            **({"apart": 0.2, "auroc": 0.97} if first else {}),
        )  # fmt: skip
        kd = {"teacher": teacher.run_id}
        ledger.swept(dataset, "gat", "small", f1=level - 0.05, **kd)
        # 5. A baseline without a graph is ahead of every graph model.
        for seed in range(SEEDS):
            ahead = 0.04 if second else -0.15
            ledger.judged(dataset, "gradient_boosting", f1=level + ahead, seed=seed)
        other = {"learning_rate": 0.3, "iterations": 400, "max_leaf_nodes": 62}
        varied = {f"model.{name}": value for name, value in other.items()}
        ledger.judged(dataset, "gradient_boosting", f1=level - 0.3, changes=varied)
        name = f"{dataset}-gat-large"
        journal = Journal(ledger.ws.journal)
        journal.append(
            "registered", model=name, version=1, run_id=teacher.run_id, tags={},
            checkpoint_sha256="0" * 64,
        )  # fmt: skip
        journal.append(
            "alias_set", model=name, alias="champion", version=1, run_id=teacher.run_id, reason=""
        )
        if first:
            _dominated(ledger, dataset, level - 0.05, kd)
        if second:
            # 7. The best autoencoder rests on one seed.
            lucky = {"training.learning_rate": 0.004}
            ledger.judged(dataset, "vgae", f1=level - 0.099, changes=lucky, gpu="h100-94gb")
            # 8. A completed training that nobody judged.
            ledger.train(dataset, "gat", changes={"model.hidden": 48})
            # 9. A training that broke off and was never tried again.
            ledger.train(
                dataset, "vgae", changes={"model.hidden": 48}, state=State.FAILED,
                reason="CUDA error: unspecified launch failure",
            )  # fmt: skip
    if gaps:
        # 10. An open question whose trigger fired.
        folder = ledger.ws.modes / "questions"
        folder.mkdir(parents=True)
        (folder / "0001-three-trainings.md").write_text(QUESTION, encoding="utf-8")


def _dominated(ledger: Ledger, dataset: str, level: float, kd: dict[str, Any]) -> None:
    """6. A beaten setting goes on in use, and trying the better one is cheap."""
    for seed in range(8):
        for dropout, f1 in ((0.0, level - 0.06), (0.2, level - 0.01)):
            changes = {"model.dropout": dropout, "training.weight_decay": 0.01}
            ledger.judged(dataset, "gat", "small", f1=f1, seed=seed, changes=changes, **kd)
    for seed in range(5):
        changes = {"model.dropout": 0.0, "training.weight_decay": 0.02}
        ledger.judged(dataset, "gat", "small", f1=level - 0.06, seed=seed, changes=changes, **kd)


TEN = frozenset({
    "contradiction", "axis never varied", "threshold", "cheaper GPU", "baseline wins",
    "dominated setting", "one seed", "not judged", "never retried", "open question",
})  # fmt: skip
"""Kinds of the gaps that are planted, one each."""
BEST = "threshold"
"""Another threshold takes an evaluation and no training."""
