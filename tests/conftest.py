"""What tests of several folders share: where the real captures are."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch and polars are imported: processes that each take every core stand in each
    # other's way.
    for _name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ.setdefault(_name, "1")

import hypothesis
import pytest

# Machines that share their cores with others make any deadline a coin toss.
hypothesis.settings.register_profile("kdgat", deadline=None)
hypothesis.settings.load_profile("kdgat")


_FROM_ELSEWHERE = "npm can't fetch"
"""Begins the reason of tests with programs that no file of the project can install."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where KDGAT_NO_SKIPS is set, a test that skips has failed: what it needs should be there."""
    report = yield
    wanted = os.environ.get("KDGAT_NO_SKIPS") and _FROM_ELSEWHERE not in str(report.longrepr)
    if report.skipped and wanted and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped where nothing may be missing: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real captures; skips the test where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KDGAT_REAL_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no real captures in '{folder}': set KDGAT_REAL_DATA to their folder")
    return folder
