"""What is kept in the home folder: damaged caches, and files that a purge will delete."""

from __future__ import annotations

import os
from dataclasses import replace

from kdgat.ops.checkup.finding import Surroundings
from kdgat.ops.checkup.records import look_at_history, look_at_indexes, look_at_memory
from kdgat.ops.checkup.running import mended
from kdgat.ops.checkup.storage import look_at_scratch
from tests.unit.ops.checkup.made import DAY_S, put


def test_damaged_caches_are_deleted_and_made_again(here: Surroundings) -> None:
    ws = here.ws
    index = put(ws.knowledge / "indexes" / "guide.db", "no database")
    manifest = put(ws.history / "manifest-00000001.json", "{half")
    part = put(ws.history / "parts" / "a-runs.parquet", "PAR1 cut")
    gpus = put(ws.memory / "calibration.json", "[1")
    found = [*look_at_indexes(here), *look_at_history(here), *look_at_memory(here)]
    assert [each.finding.kind for each in found] == ["docs", "history", "memory"]
    done, left = mended(found)
    assert len(done) == 3
    assert left == []
    assert not any(path.exists() for path in (index, manifest, part, gpus))
    again = [*look_at_indexes(here), *look_at_history(here), *look_at_memory(here)]
    assert again == []


def test_files_on_scratch_near_their_purge_are_counted(here: Surroundings) -> None:
    old = put(here.ws.data / "captures.parquet", "x" * 1000)
    new = put(here.ws.data / "new.parquet", "x")
    for path, days in ((old, 57), (new, 3)):
        os.utime(path, (here.now - days * DAY_S,) * 2)
    assert list(look_at_scratch(here)) == []
    there = replace(here, environ={"SCRATCH": str(here.ws.root.parent)})
    (found,) = look_at_scratch(there)
    assert found.finding.what.removeprefix("at least ").startswith("1 file (0.0 GB)")
    assert "46 days or more" in found.finding.what
    assert "captures.parquet', for 57" in found.finding.what
    os.utime(old, (here.now - 80 * DAY_S,) * 2)
    (found,) = look_at_scratch(there)
    assert "purges come after 90" in found.finding.what
