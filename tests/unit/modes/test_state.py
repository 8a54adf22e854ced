"""Which mode is current: the default, a switch, damage, two switches at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kdgat.errors import ModeError, StorageError
from kdgat.modes.state import (
    DEFAULT,
    ModeState,
    current_mode,
    questions_shown,
    read_state,
    state_path,
    switch,
)
from kdgat.workspace import Workspace
from tests.unit.modes.packs_made import made, mode_text, write_mode


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return made(tmp_path / "workspace")


def damage(ws: Workspace, content: bytes) -> None:
    state_path(ws).parent.mkdir(parents=True, exist_ok=True)
    state_path(ws).write_bytes(content)


def leftovers(ws: Workspace) -> list[str]:
    return [path.name for path in ws.home.rglob("*") if path.name.startswith(".")]


def test_nobody_has_switched_in_a_new_workspace_and_looking_writes_nothing(ws: Workspace) -> None:
    assert read_state(ws) == ModeState(DEFAULT)
    assert (current_mode(ws), questions_shown(ws)) == ("mlops", False)
    assert not ws.home.exists()


def test_a_switch_holds_from_the_next_look_and_says_when_and_by_what(ws: Workspace) -> None:
    state = switch(ws, "research", "prompt")
    assert read_state(ws) == state
    assert questions_shown(ws)
    assert state.by == "prompt"
    assert state.since is not None
    assert datetime.now(UTC) - datetime.fromisoformat(state.since) < timedelta(minutes=1)
    assert switch(ws, "mlops", "cli").mode == current_mode(ws) == "mlops"
    assert not questions_shown(ws)


def test_a_switch_to_the_current_mode_writes_nothing(ws: Workspace) -> None:
    assert switch(ws, DEFAULT, "cli").since is None
    assert not state_path(ws).exists()
    first = switch(ws, "research", "prompt")
    before = state_path(ws).stat()
    assert switch(ws, "research", "cli") == first
    assert state_path(ws).stat() == before


def test_a_mode_of_ones_own_can_be_the_current_one(ws: Workspace) -> None:
    write_mode(ws, "writing", mode_text())
    switch(ws, "writing", "cli")
    assert (current_mode(ws), questions_shown(ws)) == ("writing", True)


@pytest.mark.parametrize("content", ["no front matter", mode_text(questions="on")])
def test_a_mode_whose_file_is_wrong_is_not_switched_to(ws: Workspace, content: str) -> None:
    switch(ws, "research", "cli")
    write_mode(ws, "writing", content)
    with pytest.raises(ModeError, match=r"modes/writing\.md:\d"):
        switch(ws, "writing", "cli")
    with pytest.raises(ModeError, match="there is no mode 'list'"):
        switch(ws, "list", "cli")
    assert current_mode(ws) == "research"
    assert leftovers(ws) == []


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe\x00", b"[]", b'"research"', b"null", b"{}", b'{"mode": null}',
        b'{"mode": 5}', b'{"mode": ""}', b'{"mode": "a\\u001b[2J"}', b"[" * 100_000,
        b'{"mode": "' + b"x" * 100 + b'"}',
    ],
)  # fmt: skip
def test_a_damaged_state_is_told_with_the_next_step_and_a_switch_mends_it(
    ws: Workspace, content: bytes
) -> None:
    damage(ws, content)
    with pytest.raises(ModeError, match="is damaged") as caught:
        current_mode(ws)
    assert ".kdgat/agent/mode.json" in caught.value.problem
    assert "`kdgat mode mlops`" in caught.value.hint
    with pytest.raises(ModeError, match="is damaged"):
        questions_shown(ws)
    switch(ws, "mlops", "cli")
    assert current_mode(ws) == "mlops"


def test_what_a_state_does_not_need_may_be_missing_or_odd(ws: Workspace) -> None:
    damage(ws, b'{"mode": "research", "since": 5, "by": "\\u001b", "new": []}')
    assert read_state(ws) == ModeState("research")


@pytest.mark.parametrize("name", ["writing", "../../etc/passwd", "list"])
def test_a_current_mode_without_a_file_is_told_with_the_next_step(ws: Workspace, name: str) -> None:
    damage(ws, json.dumps({"mode": name}).encode())
    with pytest.raises(ModeError, match="there is no mode") as caught:
        current_mode(ws)
    assert "`kdgat mode mlops`" in caught.value.hint


def test_a_mode_that_was_broken_since_shows_no_questions(ws: Workspace) -> None:
    write_mode(ws, "writing", mode_text(questions="shown"))
    switch(ws, "writing", "cli")
    write_mode(ws, "writing", mode_text(questions="perhaps"))
    assert current_mode(ws) == "writing"
    with pytest.raises(ModeError, match="questions is 'perhaps'"):
        questions_shown(ws)


def test_a_folder_that_can_not_be_written_keeps_the_mode(ws: Workspace) -> None:
    ws.home.mkdir()
    ws.agent.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="can't write"):
        switch(ws, "research", "cli")
    with pytest.raises(StorageError, match="can't read"):
        current_mode(ws)
    ws.agent.unlink()
    assert current_mode(ws) == "mlops"
    assert leftovers(ws) == []


def test_a_folder_in_the_states_place_is_told(ws: Workspace) -> None:
    state_path(ws).mkdir(parents=True)
    with pytest.raises(StorageError, match=r"can't read '.kdgat/agent/mode.json'"):
        current_mode(ws)


def test_switches_at_once_leave_one_whole_state_and_readers_see_no_half(ws: Workspace) -> None:
    switch(ws, "research", "cli")
    code = (
        "import sys; from pathlib import Path\n"
        "from kdgat.modes.state import switch\nfrom kdgat.workspace import Workspace\n"
        f"ws = Workspace(Path({str(ws.root)!r}), Path({str(ws.home)!r}))\n"
        "for turn in range(40): switch(ws, ('mlops', 'research')[turn % 2], sys.argv[1])\n"
    )
    seen: set[str] = set()
    errors: list[Exception] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(current_mode(ws))
            except Exception as error:
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    writers = [
        subprocess.Popen([sys.executable, "-c", code, by], stderr=subprocess.PIPE, text=True)
        for by in ("cli", "prompt")
    ]
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    done.set()
    reader.join()
    assert [writer.returncode for writer in writers] == [0, 0], said
    assert errors == []
    assert seen <= {"mlops", "research"}
    assert read_state(ws).mode in seen | {"mlops", "research"}
    assert [path.name for path in ws.agent.iterdir()] == ["mode.json"]
