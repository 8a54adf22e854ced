"""The operation that simulates captures, and how simulated ones are told from real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdgat.configs.compose import compose_simulation
from kdgat.data.simulate import check_folder
from kdgat.data.simulate import simulate as write_simulation
from kdgat.ledger.files import write_json
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

SIMULATED = "simulated"
_MARK = ".simulation.json"


@dataclass(frozen=True)
class SimulationResult:
    """What was simulated, and where it lies."""

    folder: str
    files: int
    rows: int
    attack_rows: int
    folders: Mapping[str, int]


def simulate_data(
    ws: Workspace,
    *,
    overrides: Sequence[str] = (),
    out: Path | None = None,
    progress: Progress = quiet,
) -> SimulationResult:
    """Write simulated raw captures; `overrides` are fields of SimulationConfig.

    Raises:
        ConfigError: an override is wrong.
        DataError: `out` holds captures that are not simulated.
        StorageError: the file system refused.
    """
    config = compose_simulation(overrides)
    folder = out or simulated_raw(ws)
    check_folder(config, folder)
    values = config.model_dump(mode="json")
    # Marked before the first capture: what is broken off half-way is neither real nor whole.
    write_json(folder / _MARK, {"complete": False, "config": values})
    summary = write_simulation(config, folder, progress)
    write_json(folder / _MARK, {"complete": True, "config": values})
    return SimulationResult(
        ws.show(folder), summary.files, summary.rows, summary.attack_rows, summary.folders
    )


def simulated_raw(ws: Workspace) -> Path:
    """The workspace's own folder of simulated captures."""
    return ws.dataset(SIMULATED) / "raw"


def simulation_mark(raw: Path) -> Path | None:
    """The mark of a simulation that `raw` is: its folder, a capture folder of it, or one file."""
    place = raw.resolve()
    marks = [folder / _MARK for folder in (place, place.parent, place.parent.parent)]
    return next((mark for mark in marks if mark.is_file()), None)


def is_whole(mark: Path) -> bool:
    """Whether the simulation of this mark was written to its end."""
    try:
        return bool(json.loads(mark.read_bytes())["complete"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
