"""A user's mistakes: two lines that name what, where and the value, and nothing broken after."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faces.conftest import Command, Tiny
from tests.faces.mistaken import HEADER, ROWS

CONFIG_MISTAKES = {
    "an unknown field": ("foo.bar=1", "unknown config field 'foo.bar'"),
    "a misspelt field": ("training.max_epoch=5", "did you mean 'training.max_epochs'"),
    "too small": ("training.max_epochs=0", "training.max_epochs = 0", "greater than or equal to 1"),
    "no number": ("model.hidden=many", "model.hidden = 'many'"),
    "no choice": ("training.precision=bf17", "training.precision = 'bf17'"),
    "an unknown model": ("model=gatt", "unknown model 'gatt'", "did you mean 'gat'"),
    "an unknown dataset": ("dataset=hcrl_as", "'hcrl_as'", "did you mean 'hcrl_sa'"),
    "an unknown experiment": ("experiment=simulated-gat-larg", "did you mean"),
    "a fusion of nothing": ("model=fusion", "no completed large vgae", "kdgat train"),
    "a sweep": ("seed=1,2", "'seed=1,2' names several values", "-m"),
    "no override": ("nonsense", "'nonsense' can't be read", "key=value"),
    "not ingested": ("dataset=set_02", "'set_02' is not ingested", "data ingest set_02 --raw"),
    "a field of another model": ("model.latent=3", "model 'gat' has no field 'latent'"),
}


@pytest.mark.parametrize("case", CONFIG_MISTAKES)
def test_a_config_mistake_is_told_and_starts_no_run(
    prepared: Tiny, kdgat: Command, case: str
) -> None:
    override, *words = CONFIG_MISTAKES[case]
    kdgat("train", override).mistake(*words)
    assert prepared.runs() == set()


def test_a_sweep_is_checked_whole_before_its_first_run(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    kdgat("train", "-m", *tiny_config, "seed=1,-1").mistake("seed = -1")
    kdgat("train", "-m", *tiny_config, "dataset=simulated,set_01").mistake("'set_01'")
    kdgat("train", "-m", "model=gat,vgae", "model.layers=1").mistake("'layers'")
    assert prepared.runs() == set()


class TestWorkspace:
    def test_a_folder_without_one_is_named(
        self, tmp_path: Path, kdgat: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("KDGAT_ROOT", "KDGAT_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(tmp_path)
        kdgat("runs", "list").mistake("[tool.kdgat]", str(tmp_path), "KDGAT_ROOT")

    @pytest.mark.usefixtures("empty")
    def test_a_wrong_root_is_named(
        self, tmp_path: Path, kdgat: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KDGAT_ROOT", str(tmp_path / "gone"))
        kdgat("data", "list").mistake("KDGAT_ROOT", str(tmp_path / "gone"))

    def test_a_home_that_is_a_file_is_named(
        self, empty: Tiny, kdgat: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KDGAT_HOME", str(empty.root / "pyproject.toml"))
        words = (str(empty.root / "pyproject.toml"), "Not a directory", "KDGAT_HOME")
        kdgat("data", "simulate", "capture_s=5").mistake(*words)


class TestSimulate:
    @pytest.mark.parametrize(
        ("override", "word"),
        [
            ("capture_s=1", "capture_s = 1"),
            ("captures=1", "'captures=1'"),
            ("known_attacks=[doss]", "'doss'"),
            ("seed=1,2", "'seed=1,2'"),
        ],
    )
    def test_a_wrong_field_is_named(
        self, empty: Tiny, kdgat: Command, override: str, word: str
    ) -> None:
        kdgat("data", "simulate", override).mistake(word)
        assert not empty.home.exists()

    @pytest.mark.parametrize("name", ["DoS-kia.csv", "DoS-kia.csv.gz"])
    def test_captures_of_somebody_else_are_left_alone(
        self, empty: Tiny, kdgat: Command, name: str
    ) -> None:
        theirs = empty.root / "raw" / "train_02_with_attacks" / name
        theirs.parent.mkdir(parents=True)
        theirs.write_text(HEADER + ROWS)
        kdgat("data", "simulate", "--out", "raw").mistake(name, "'raw'")
        assert [path for path in (empty.root / "raw").rglob("*") if path.is_file()] == [theirs]

    @pytest.mark.usefixtures("empty")
    def test_a_file_is_no_folder_to_write_to(self, kdgat: Command) -> None:
        kdgat("data", "simulate", "--out", "pyproject.toml").mistake("'pyproject.toml' is a file")
