"""The journal: events that are whole, in order, and nobody else's."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import StorageError
from kdgat.ledger.journal import Journal, standing
from kdgat.ledger.record import new_run_id

APPENDS = """
import sys
from pathlib import Path
from kdgat.ledger.journal import Journal

journal = Journal(Path(sys.argv[1]))
for number in range(25):
    print(journal.append("archived", run_id=f"{sys.argv[2]}-{number}").id)
"""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def register(journal: Journal, model: str, version: int, run_id: str) -> None:
    details: dict[str, Any] = {"checkpoint_sha256": "c" * 64, "tags": {}}
    journal.append("registered", model=model, version=version, run_id=run_id, **details)


def promote(journal: Journal, model: str, alias: str, version: int, run_id: str) -> None:
    journal.append(
        "alias_set", model=model, alias=alias, version=version, run_id=run_id, reason="better"
    )


def test_a_journal_that_does_not_exist_is_empty(journal: Journal) -> None:
    assert journal.events() == []
    assert journal.broken() == []
    assert not journal.folder.exists()


def test_events_come_back_as_written_and_in_order(journal: Journal) -> None:
    written = [journal.append("archived", run_id=str(number)) for number in range(20)]
    assert journal.events() == written
    assert [event.details for event in written] == [{"run_id": str(n)} for n in range(20)]
    assert len({event.id for event in written}) == 20


def test_an_event_is_one_readable_file_and_nothing_is_left_beside_it(journal: Journal) -> None:
    event = journal.append("alias_removed", model="set_01-gat-small", alias="champion")
    assert [path.name for path in journal.folder.iterdir()] == [f"{event.id}.json"]
    assert json.loads((journal.folder / f"{event.id}.json").read_bytes()) == {
        "id": event.id,
        "time": event.time,
        "kind": "alias_removed",
        "model": "set_01-gat-small",
        "alias": "champion",
    }


def test_an_event_sorts_after_those_that_a_faster_clock_wrote(journal: Journal) -> None:
    ahead = new_run_id(datetime.now(UTC) + timedelta(hours=1))
    journal.folder.mkdir()
    values = {"id": ahead, "time": "2026-11-21", "kind": "archived", "run_id": "a"}
    (journal.folder / f"{ahead}.json").write_text(json.dumps(values))
    later = journal.append("unarchived", run_id="a")
    assert later.id > ahead
    assert journal.standing().archived == frozenset()


def test_a_file_that_only_looks_like_the_last_event_of_all_times_stops_nobody(
    journal: Journal,
) -> None:
    journal.folder.mkdir()
    (journal.folder / "99991231-235959-999abcd.json").write_text("{}")
    assert journal.append("archived", run_id="a") in journal.events()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("20261121-101112-345ab12.json", '{"id": "20261121-101112-345ab12", "ti'),
        ("20261121-101112-345ab12.json", ""),
        ("20261121-101112-345ab12.json", "[1]"),
        ("20261121-101112-345ab12.json", '{"id": "another", "time": "t", "kind": "archived"}'),
        ("20261121-101112-345ab12.json", '{"id": "20261121-101112-345ab12", "time": "t"}'),
        ("notes.txt", "remember the milk"),
    ],
)
def test_a_torn_or_foreign_file_is_skipped_and_named(
    journal: Journal, name: str, content: str
) -> None:
    event = journal.append("archived", run_id="a")
    (journal.folder / name).write_text(content)
    assert journal.events() == [event]
    (fault,) = journal.broken()
    assert f"'{journal.folder / name}'" in fault.problem
    assert "move" in fault.hint


def test_a_file_that_was_mended_or_spoilt_is_read_anew(journal: Journal) -> None:
    event = journal.append("archived", run_id="a")
    path = journal.folder / f"{event.id}.json"
    whole = path.read_text()
    assert journal.events() == [event]
    path.write_text("{")
    assert journal.events() == []
    path.write_text(whole)
    assert journal.events() == [event]
    path.unlink()
    assert journal.events() == journal.broken() == []


def test_a_folder_in_the_journal_is_named(journal: Journal) -> None:
    (journal.folder / "backup.json").mkdir(parents=True)
    assert journal.events() == []
    assert len(journal.broken()) == 1


def test_what_is_still_being_written_is_neither_an_event_nor_a_fault(journal: Journal) -> None:
    journal.folder.mkdir()
    (journal.folder / ".partial-0-x.json").write_text("{")
    assert journal.events() == []
    assert journal.broken() == []


@pytest.mark.parametrize(
    ("kind", "details"),
    [("deleted", {}), ("archived", {}), ("archived", {"run_id": "a", "time": "now"})],
)
def test_an_event_that_nobody_could_read_is_not_written(
    journal: Journal, kind: str, details: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=kind):
        journal.append(kind, **details)
    assert not journal.folder.exists()


def test_many_processes_append_at_once_and_none_overwrites_another(journal: Journal) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", APPENDS, str(journal.folder), str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    said = [writer.communicate(timeout=120)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 8
    assert sorted(event.id for event in journal.events()) == sorted(chain.from_iterable(said))
    wanted = {f"{number}-{event}" for number in range(8) for event in range(25)}
    assert journal.standing().archived == wanted
    assert all(ids == sorted(ids) for ids in said)
    assert list(journal.folder.glob(".*")) == []


def test_a_name_that_another_process_took_is_not_written_over(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter(["20261121-101112-345aaaa", "20261121-101112-345aaaa", "20261121-101112-345bbbb"])
    monkeypatch.setattr("kdgat.ledger.journal.new_run_id", lambda _: next(ids))
    first = journal.append("archived", run_id="a")
    second = journal.append("archived", run_id="b")
    assert [first.id, second.id] == ["20261121-101112-345aaaa", "20261121-101112-345bbbb"]
    assert journal.events() == [first, second]


def test_a_file_system_without_hard_links_will_do(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    event = journal.append("archived", run_id="a")
    assert journal.events() == [event]
    assert list(journal.folder.glob(".*")) == []


def test_a_journal_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the journal should be")
    with pytest.raises(StorageError, match="journal"):
        Journal(tmp_path / "journal").append("archived", run_id="a")


def test_the_last_word_on_a_run_stands(journal: Journal) -> None:
    for kind in ("archived", "unarchived", "archived"):
        journal.append(kind, run_id="a")
    journal.append("archived", run_id="b")
    journal.append("unarchived", run_id="b")
    journal.append("removed", run_id="c", name="n", folder="f")
    now = journal.standing()
    assert (now.archived, now.removed) == (frozenset({"a"}), frozenset({"c"}))


def test_an_alias_stands_where_it_was_set_last(journal: Journal) -> None:
    register(journal, "m", 1, "a")
    register(journal, "m", 2, "b")
    promote(journal, "m", "champion", 1, "a")
    promote(journal, "m", "challenger", 2, "b")
    assert journal.standing().aliases_of("a") == ("m@champion",)
    promote(journal, "m", "champion", 2, "b")
    now = journal.standing()
    assert now.aliases_of("a") == ()
    assert now.aliases_of("b") == ("m@challenger", "m@champion")
    assert now.versions_of("a") == ("m version 1",)


def test_of_two_runs_that_claim_one_version_the_first_has_it(journal: Journal) -> None:
    register(journal, "m", 1, "a")
    register(journal, "m", 1, "b")
    assert journal.standing().versions == {"m": {1: "a"}}


def test_an_alias_goes_when_it_or_its_version_is_removed(journal: Journal) -> None:
    promote(journal, "m", "champion", 1, "a")
    promote(journal, "m", "challenger", 2, "b")
    journal.append("alias_removed", model="m", alias="champion")
    journal.append("alias_removed", model="m", alias="champion")
    assert journal.standing().aliases == {"m": {"challenger": 2}}
    journal.append("version_removed", model="m", version=2)
    assert journal.standing().aliases_of("b") == ()
    assert journal.standing().versions_of("b") == ()


def test_an_event_of_a_later_kdgat_changes_nothing_here(journal: Journal) -> None:
    journal.append("archived", run_id="a")
    journal.folder.joinpath("20991121-101112-345ab12.json").write_text(
        '{"id": "20991121-101112-345ab12", "time": "t", "kind": "starred", "run_id": "a"}'
    )
    events = journal.events()
    assert [event.kind for event in events] == ["archived", "starred"]
    assert standing(events) == standing(events[:1])
