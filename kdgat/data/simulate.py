"""A simulated data set, in the raw format and the folders of can-train-and-test.

It is what the quick start trains on, so it takes the very path that real captures take.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.simulation.attacks import ATTACKS, Scene, draw_spans
from kdgat.data.simulation.bus import Traffic, send
from kdgat.data.simulation.draw import draw_vehicle
from kdgat.data.simulation.drive import draw_drive
from kdgat.data.simulation.plan import PlannedCapture, plan
from kdgat.data.simulation.vehicle import Vehicle, schedule
from kdgat.data.simulation.write import write_capture
from kdgat.errors import DataError
from kdgat.progress import Progress, quiet

_EPOCHS_US = (1_450_000_000_000_000, 1_700_000_000_000_000)


@dataclass(frozen=True)
class SimulationSummary:
    """What was written: files, rows, rows labelled as attack, and rows by folder."""

    files: int
    rows: int
    attack_rows: int
    folders: Mapping[str, int]


def simulate(config: SimulationConfig, out: Path, progress: Progress = quiet) -> SimulationSummary:
    """Write the data set of `config` below `out`, over an earlier one of the same files.

    The same config gives the same bytes (with the same versions of Python and numpy). Each capture
    is written whole or not at all.

    Raises:
        ConfigError: an attack is unknown or named twice.
        DataError: `out` holds captures that are not of this simulation.
        StorageError: the file system refused.
    """
    captures = plan(config)
    check_folder(config, out)
    vehicles = [draw_vehicle(number, config) for number in range(_vehicles(config))]
    folders: dict[str, int] = {}
    attack_rows = 0
    for done, capture in enumerate(captures):
        progress("simulating captures", done, len(captures))
        sent = _write(capture, vehicles[capture.vehicle], config, out)
        folders[capture.folder] = folders.get(capture.folder, 0) + len(sent)
        attack_rows += int(sent.attack.sum())
    progress("simulating captures", len(captures), len(captures))
    return SimulationSummary(len(captures), sum(folders.values()), attack_rows, folders)


def _vehicles(config: SimulationConfig) -> int:
    return config.known_vehicles + config.unknown_vehicles


def _write(
    capture: PlannedCapture, vehicle: Vehicle, config: SimulationConfig, out: Path
) -> Traffic:
    """Make one capture and write it; its random choices depend on the seed and its path alone."""
    rng = np.random.default_rng([config.seed, 2, zlib.crc32(capture.path.encode())])
    length_s = config.capture_s if capture.attack else config.attack_free_s
    drive = draw_drive(length_s, rng)
    traffic = schedule(vehicle, drive, length_s, rng)
    if capture.attack:
        scene = Scene(config, vehicle, drive, draw_spans(config, rng), rng)
        traffic = ATTACKS[capture.attack](traffic, scene)
    sent, passed_s = send(traffic, rng)
    write_capture(out / capture.path, sent, passed_s, epoch_us=int(rng.integers(*_EPOCHS_US)))
    return sent


def check_folder(config: SimulationConfig, out: Path) -> None:
    """Refuse to mix two data sets: a leftover would be read as a part of this one.

    Raises:
        ConfigError: an attack is unknown or named twice.
        DataError: `out` is a file, or holds captures that are not of this simulation.
    """
    if out.is_file():
        raise DataError(f"'{out}' is a file", hint="give a folder that is new or empty")
    mine = {out / capture.path for capture in plan(config)}
    others = sorted({*out.glob("*/*.csv"), *out.glob("*/*.csv.gz")} - mine)
    others = [path for path in others if not path.name.startswith(".")]
    if others:
        raise DataError(
            f"'{out}' holds {len(others)} captures that this simulation does not write, "
            f"such as '{others[0].relative_to(out)}'",
            hint="give an empty folder, or delete that one",
        )
