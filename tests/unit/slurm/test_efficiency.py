"""What a job used of what it asked for, from what a real sacct printed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kdgat.slurm.efficiency import Efficiency, advice, efficiency
from kdgat.slurm.queue import account_rows
from tests.unit.slurm.given import job
from tests.unit.slurm.test_queue import ACCOUNTS

REQUEST = replace(job("j", "r").request, memory_mb=None, tasks_per_node=1)
GIB = 1 << 30
USUAL = Efficiency(
    state="COMPLETED", elapsed_s=9000, time_limit_s=14_400, cores=4, cpu_s=30_000.0,
    asked_memory_bytes=8 * GIB, used_memory_bytes=6 * GIB,
)  # fmt: skip


def of_job(job_id: str) -> Efficiency:
    rows = [row for row in account_rows(ACCOUNTS) if row.id == job_id]
    found = efficiency(rows, REQUEST)
    assert found is not None
    return found


def test_memory_is_that_of_the_step_that_used_most() -> None:
    used = of_job("26")
    assert used.used_memory_bytes == 501512 * 1024
    assert used.memory_share == pytest.approx(2.4488, abs=1e-3)
    assert used.time_share == pytest.approx(1 / 300)
    assert used.cpu_share == pytest.approx(0.386)


def test_tasks_of_a_node_share_its_memory() -> None:
    rows = [row for row in account_rows(ACCOUNTS) if row.id == "26"]
    used = efficiency(rows, replace(REQUEST, tasks_per_node=2, memory_mb=2048))
    assert used is not None
    assert used.used_memory_bytes == 2 * 501512 * 1024
    assert used.asked_memory_bytes == 2 * GIB


def test_of_a_job_that_runs_only_the_time_is_known_and_nothing_is_advised() -> None:
    used = of_job("27")
    assert (used.elapsed_s, used.cpu_s, used.used_memory_bytes) == (13, None, None)
    assert (used.cpu_share, used.memory_share) == (None, None)
    assert advice(used) == ()


def test_a_job_the_accounting_does_not_know_has_none() -> None:
    assert efficiency([], REQUEST) is None


def test_a_job_that_asked_well_needs_no_advice() -> None:
    assert advice(USUAL) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"elapsed_s": 2736, "cpu_s": 9000.0},
         "used 19 % of the time asked for; ask for --time 01:00:00"),
        ({"elapsed_s": 14_000, "cpu_s": 50_000.0},
         "used 97 % of the time asked for; ask for a little more"),
        ({"cpu_s": 9900.0}, "kept 1.1 of 4 cores busy; 2 would do"),
        ({"used_memory_bytes": GIB}, "used 12 % of the memory asked for; --memory-gb 2 would do"),
        ({"used_memory_bytes": 8 * GIB - 1},
         "used 100 % of the memory asked for; ask for more with --memory-gb"),
        ({"state": "TIMEOUT", "elapsed_s": 14_400, "cpu_s": 50_000.0},
         "it met its time limit; ask for more with --time, or let it go on with `kdgat submit`"),
    ],
)  # fmt: skip
def test_advice_is_a_sentence_with_a_figure(changes: dict[str, object], said: str) -> None:
    assert advice(replace(USUAL, **changes)) == (said,)  # type: ignore[arg-type]
