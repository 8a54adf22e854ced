"""Ways to change a copy of a checkout, for tests of what is told after a change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

Change = Callable[[Path], None]
"""Makes one change below a root."""


def edit(file: str, *pairs: tuple[str, str]) -> Change:
    """Replace texts that are there once, in one file."""

    def change(root: Path) -> None:
        path = root / file
        text = path.read_text()
        for old, new in pairs:
            assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times"
            text = text.replace(old, new)
        path.write_text(text)

    return change


def everywhere(old: str, new: str) -> Change:
    """Replace a name in all the code."""

    def change(root: Path) -> None:
        for path in (root / "kdgat").rglob("*.py"):
            text = path.read_text()
            if old in text:
                path.write_text(text.replace(old, new))

    return change


def write(file: str, text: str) -> Change:
    """A new file, or a new text of one."""

    def change(root: Path) -> None:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return change


def remove(path: str) -> Change:
    """A file or a folder is gone."""

    def change(root: Path) -> None:
        if (root / path).is_dir():
            shutil.rmtree(root / path)
        else:
            (root / path).unlink()

    return change


def move(old: str, new: str) -> Change:
    """A file or a folder has another name."""

    def change(root: Path) -> None:
        (root / old).rename(root / new)

    return change


def everywhere_and_move(file: str, name: str) -> Change:
    """A module has another name, and whoever imports it knows."""
    dotted = file.removesuffix(".py").replace("/", ".")

    def change(root: Path) -> None:
        everywhere(f"{dotted} ", f"{dotted.rpartition('.')[0]}.{name} ")(root)
        move(file, str(Path(file).with_name(f"{name}.py")))(root)

    return change


def append(file: str, text: str) -> Change:
    """A file, there or not, ends with this."""

    def change(root: Path) -> None:
        path = root / file
        path.write_text((path.read_text() if path.exists() else "") + text)

    return change
