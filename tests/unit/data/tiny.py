"""Raw captures of a few ids, written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kdgat.configs.dataset import DatasetConfig

DATASET = DatasetConfig(name="tiny", provenance="simulated")
HEADER = "timestamp,arbitration_id,data_field,attack\n"


def write(path: Path, rows: Sequence[str]) -> None:
    """Write the rows of one raw capture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "\n".join(rows) + "\n")


def benign(_: int) -> bool:
    """No message is an attack."""
    return False


def traffic(count: int, attack: Callable[[int], bool] = benign, forged: str = "") -> list[str]:
    """Periodic messages with a counter; an attack's payload is `forged`."""
    return [
        f"{i / 1000},{i % 7:03X},{forged if attack(i) else f'{i:04X}'},{int(attack(i))}"
        for i in range(count)
    ]


def write_folder(path: Path, count: int) -> None:
    """One raw capture, every tenth message of which is an attack."""
    write(path, traffic(count, lambda i: i % 10 == 0, "FFFF"))
