"""The leaderboard of a process that has asked before is that of one that has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.ledger.journal import Journal
from kdgat.ops.analytics import Leaderboard, leaderboard
from kdgat.runs import database as database_module
from kdgat.runs import held as held_module
from kdgat.runs.compact import compact
from kdgat.runs.history import open_history
from kdgat.workspace import Workspace
from tests.unit.runs.judged import judged, trained


def asked_afresh(ws: Workspace) -> Leaderboard:
    database_module._databases.clear()
    return leaderboard(ws)


@pytest.mark.parametrize("change", ["none", "fresh", "teacher removed", "teacher gone"])
def test_recipes_held_from_earlier_questions_are_the_same(tmp_path: Path, change: str) -> None:
    ws = Workspace(root=tmp_path, home=tmp_path / ".kdgat")
    teachers = [trained(ws, config={"model.hidden": hidden}) for hidden in (64, 64, 128)]
    for number in range(12):
        teacher = teachers[number % 3].run_id if number % 2 else None
        config = {"model.dropout": number // 6 / 10}
        judged(ws, number / 20, seed=number % 5, config=config, teacher=teacher)
    compact(ws)
    for _ in range(4):
        leaderboard(ws)
    match change:
        case "fresh":
            judged(ws, 0.99, seed=9)
        case "teacher removed":
            Journal(ws.journal).append("removed", run_id=teachers[0].run_id, name="x", folder="y")
        case "teacher gone":
            (folder,) = ws.runs.glob(f"*/*/{teachers[0].run_id}")
            folder.rename(tmp_path / "elsewhere")
    held = leaderboard(ws)
    assert len(held.tables[0].rows) == 2
    assert held == asked_afresh(ws)
    assert held == leaderboard(ws)


def test_rows_that_take_too_much_memory_stay_in_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = Workspace(root=tmp_path, home=tmp_path / ".kdgat")
    judged(ws, 0.5)
    compact(ws)
    monkeypatch.setitem(held_module._ROW_BYTES, "runs", 10**9)
    database_module._databases.clear()
    for _ in range(4):
        with open_history(ws) as history:
            assert history.query("select count(*) from runs").rows == ((2,),)
            where = history.query("select distinct database_name from duckdb_tables()").rows
            assert ("held",) not in where
