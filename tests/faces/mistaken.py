"""Raw files and records, written as a user's mistakes leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.faces.conftest import Tiny

HEADER = "timestamp,arbitration_id,data_field,attack\n"

ROWS = "".join(f"{i / 1000:.6f},1A0,00112233,0\n" for i in range(2000))


def write(path: Path, content: str | bytes) -> Path:
    """A raw file in a training folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def change_record(tiny: Tiny, run: str, **changes: Any) -> None:
    """Write other values into a run's record."""
    from kdgat.ledger.folder import RunFolder

    RunFolder(tiny.run(run)).update(**changes)
