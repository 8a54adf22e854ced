"""A store, and folders to put into it."""

from __future__ import annotations

from pathlib import Path

from kdgat.assets.adding import add_tree
from kdgat.assets.record import Asset
from kdgat.assets.store import AssetStore
from kdgat.workspace import Workspace

CAPTURES = {"train_01/benign.csv": "a,b\n1,2\n", "train_01/dos.csv": "a,b\n3,4\n", "README": "x"}


def folder(path: Path, files: dict[str, str] = CAPTURES) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def workspace(root: Path, store: Path) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text("[tool.kdgat]\n")
    return Workspace(root, root / ".kdgat", asset_store=store)


def added(store: AssetStore, source: Path, name: str = "can", **options: bool) -> Asset:
    add_tree(store, source, name, "dataset", **options)
    return store.find(name)
