"""What tests of several folders share: where the real captures are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real captures; skips the test where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KDGAT_REAL_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no real captures in '{folder}': set KDGAT_REAL_DATA to their folder")
    return folder
