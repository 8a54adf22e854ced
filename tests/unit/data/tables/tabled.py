"""Small tables of a made-up domain, and their dataset.toml."""

from __future__ import annotations

from pathlib import Path

from kdgat.configs.dataset import DatasetConfig
from kdgat.data.captures import DatasetManifest
from kdgat.stages.ingest import ingest

DATASET = DatasetConfig(name="mine", format="table")
HEADER = "when,host,size,verdict,kind"
MAPPING = """\
[columns]
time = "when"
entity = "host"
values = ["size"]
label = "verdict"
attack_type = "kind"

[labels]
attack = ["bad"]
benign = ["good"]
"""
Row = tuple[float, str, float | str, str, str]
GOOD: list[Row] = [(i, f"10.0.0.{i % 3}", 100 + i, "good", "") for i in range(20)]


def write(path: Path, rows: list[Row], header: str = HEADER) -> Path:
    """One table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(",".join(map(str, row)) + "\n" for row in rows)
    path.write_text(f"{header}\n{body}")
    return path


def folder(root: Path, mapping: str = MAPPING, test: list[Row] | None = None) -> Path:
    """A raw folder: benign rows for training, and a test with an attack."""
    (root / "dataset.toml").parent.mkdir(parents=True, exist_ok=True)
    (root / "dataset.toml").write_text(mapping)
    write(root / "train_01_attack_free" / "a.csv", GOOD)
    bad: list[Row] = [(20.0, "10.0.0.1", 9999, "bad", "Big Scan!"), (21.0, "h", 100, "good", "")]
    write(root / "test_01_known" / "b.csv", bad if test is None else test)
    return root


def ingested(raw: Path, out: Path) -> DatasetManifest:
    """The dataset of a raw folder."""
    return ingest(DATASET, raw, out)
