"""Writes the simulated set of a domain: its tables and the text file that maps them."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from kdgat.configs.dataset import DomainSimulationConfig
from kdgat.data.domains import internet, watertreatment
from kdgat.data.simulate import SimulationSummary
from kdgat.data.tables.mapping import DATASET_FILE
from kdgat.errors import DataError
from kdgat.ledger.files import write_text
from kdgat.progress import Progress, quiet

_DOMAINS = {"internet": internet, "watertreatment": watertreatment}


def simulate_domain(
    config: DomainSimulationConfig, out: Path, progress: Progress = quiet
) -> SimulationSummary:
    """Write the set of `config` below `out`, over an earlier one of the same files.

    The same config gives the same bytes. Each file is written whole or not at all.

    Raises:
        DataError: `out` holds tables that are not of this simulation.
        StorageError: the file system refused.
    """
    check_domain_folder(config, out)
    domain = _DOMAINS[config.domain]
    folders: dict[str, int] = {}
    attacked = 0
    for done, (name, attack) in enumerate(domain.FILES.items()):
        progress("simulating tables", done, len(domain.FILES))
        rng = np.random.default_rng([config.seed, zlib.crc32(name.encode())])
        length_s = config.capture_s if attack else config.attack_free_s
        spans = _spans(config, rng) if attack else []
        text, rows, bad = domain.capture(attack, length_s, spans, config.seed, rng)
        write_text(out / name, text)
        folder = str(Path(name).parent)
        folders[folder] = folders.get(folder, 0) + rows
        attacked += bad
    write_text(out / DATASET_FILE, domain.MAPPING)
    progress("simulating tables", len(domain.FILES), len(domain.FILES))
    return SimulationSummary(len(domain.FILES), sum(folders.values()), attacked, folders)


def check_domain_folder(config: DomainSimulationConfig, out: Path) -> None:
    """Refuse to mix two sets: a leftover would be read as a part of this one.

    Raises:
        DataError: `out` is a file, or holds tables that are not of this simulation.
    """
    if out.is_file():
        raise DataError(f"'{out}' is a file", hint="give a folder that is new or empty")
    mine = {out / name for name in _DOMAINS[config.domain].FILES}
    others = sorted({*out.rglob("*.csv"), *out.rglob("*.csv.gz")} - mine)
    if others:
        raise DataError(
            f"'{out}' holds {len(others)} tables that this simulation does not write, such as "
            f"'{others[0].relative_to(out)}'",
            hint="give an empty folder, or delete that one",
        )


def _spans(config: DomainSimulationConfig, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Bursts, one in each equal part of the time after the clean start."""
    clean = config.capture_s * config.clean_start_share
    part = (config.capture_s - clean) / config.bursts
    long = part * config.burst_share
    starts = clean + part * np.arange(config.bursts) + rng.uniform(0, part - long, config.bursts)
    return [(float(start), float(start + long)) for start in starts]
