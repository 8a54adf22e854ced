"""What earlier runs measured on a type of GPU: its context, and how far predictions were off."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from kdgat.errors import MemoryPlanError
from kdgat.ledger.files import write_json


@dataclass(frozen=True)
class Calibration:
    """Measured on one type of GPU."""

    gpu: str
    runs: int
    """Runs that it comes from."""
    context_bytes: int | None
    """Largest memory in use outside the allocator, or None where no run measured it."""
    allocated_ratio: float
    """Largest measured over predicted peak of what tensors take."""
    reserved_ratio: float | None
    """The same of what the allocator reserves."""
    torch: str
    """Version of the newest of the runs."""


def load_calibrations(path: Path) -> dict[str, Calibration]:
    """Records by GPU; none where nothing was calibrated yet.

    Raises:
        MemoryPlanError: the file is damaged.
    """
    try:
        return {name: Calibration(**each) for name, each in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise MemoryPlanError(
            f"'{path}' can't be read: {error}",
            hint="delete it; `kdgat memory calibrate` makes it again",
        ) from error


def save_calibrations(path: Path, records: dict[str, Calibration]) -> None:
    """Write the records, atomically."""
    write_json(path, {name: asdict(each) for name, each in records.items()})
