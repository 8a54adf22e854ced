"""Result folders of the predecessor: `config.json` and `metrics.json`, checkpoints beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdgat.errors import RunError
from kdgat.runs.imports.found import Fault, FoundRun, found_runs
from kdgat.runs.imports.mapping import facts_of, figures_of
from kdgat.runs.imports.words import CHECKPOINTS

_CONFIG, _METRICS = "config.json", "metrics.json"
_LARGEST_BYTES = 50_000_000
_PLACE_PARTS = 6


def read_folders(root: Path) -> Iterator[FoundRun | Fault]:
    """Every result folder below `root`, itself included, in order of path.

    Raises:
        RunError: there is no such folder, or none of its folders holds results.
    """
    if not root.is_dir():
        raise RunError(
            f"there is no folder '{root}'",
            hint="give a folder of results, an mlruns folder, or sqlite:///FILE",
        )
    folders = sorted({path.parent for name in (_CONFIG, _METRICS) for path in root.rglob(name)})
    folders = [folder for folder in folders if not (folder / "run.json").exists()]
    if not folders:
        raise RunError(
            f"no folder in '{root}' holds {_CONFIG} or {_METRICS}",
            hint="give the folder that the results lie in; kdgat's own runs are no imports",
        )
    for folder in folders:
        try:
            yield from _read(folder, root)
        except (OSError, ValueError, RecursionError) as error:
            yield Fault(_shown(folder, root), str(error))


def _read(folder: Path, root: Path) -> list[FoundRun]:
    parts = {name: _bytes(folder / name) for name in (_CONFIG, _METRICS)}
    config, metrics = (_object(name, parts[name]) for name in (_CONFIG, _METRICS))
    place = folder.resolve().parts[-_PLACE_PARTS:]
    files = [folder / name for name, text in parts.items() if text is not None]
    newest = max(path.stat().st_mtime for path in files)
    return found_runs(
        _shown(folder, root),
        [text or b"" for text in parts.values()],
        facts_of(config, place),
        figures_of(metrics),
        datetime.fromtimestamp(newest, UTC),
        originals={name: text for name, text in parts.items() if text is not None},
        checkpoints=tuple(_checkpoints(folder)),
    )


def _checkpoints(folder: Path) -> list[Path]:
    """Files beside the results, or in a folder of checkpoints there, that hold a model."""
    near = [folder, folder / "checkpoints"]
    paths = [path for each in near if each.is_dir() for path in sorted(each.iterdir())]
    return [path for path in paths if path.suffix in CHECKPOINTS and path.is_file()]


def _bytes(path: Path) -> bytes | None:
    if not path.exists():
        return None
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"{path.name} has {path.stat().st_size:,} bytes")
    return path.read_bytes()


def _object(name: str, text: bytes | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{name} holds {type(value).__name__}, not an object")
    return value


def _shown(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder != root else folder.name
