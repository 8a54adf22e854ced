"""A draft is written as a whole, or nothing of it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.errors import StorageError, WorkspaceError
from kdgat.ops.scaffolds.draft import Draft
from kdgat.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "table.py").write_text("one\n")
    return Workspace(tmp_path, tmp_path / ".kdgat")


def everything(ws: Workspace) -> dict[str, str]:
    paths = (path for path in ws.root.rglob("*"))
    return {
        path.relative_to(ws.root).as_posix(): path.read_text() if path.is_file() else "folder"
        for path in paths
    }


def drafted(ws: Workspace) -> Draft:
    draft = Draft(ws)
    draft.add("deep/down/new.py", "new\n")
    draft.edit("table.py", lambda text, _: text + "two\n")
    draft.edit("table.py", lambda text, _: text + "three\n")
    return draft


def test_files_and_edits_are_written(ws: Workspace) -> None:
    draft = drafted(ws)
    assert everything(ws) == {"table.py": "one\n"}
    draft.write()
    assert (ws.root / "deep" / "down" / "new.py").read_text() == "new\n"
    assert (ws.root / "table.py").read_text() == "one\ntwo\nthree\n"
    assert len(draft.changes) == 2


def test_a_file_that_cannot_be_written_takes_all_others_back(ws: Workspace) -> None:
    draft = drafted(ws)
    (ws.root / "block").write_text("no folder\n")
    draft.add("last.py", "last\n")
    draft.add("block2/last.py", "last\n")
    before = everything(ws)
    # A file where a folder should be: the last of the writes fails.
    (ws.root / "block2").write_text("no folder either\n")
    with pytest.raises(StorageError, match="nothing was changed"):
        draft.write()
    assert everything(ws) == before | {"block2": "no folder either\n"}


def test_what_somebody_changed_meanwhile_is_not_overwritten(ws: Workspace) -> None:
    draft = drafted(ws)
    (ws.root / "table.py").write_text("mine\n")
    with pytest.raises(WorkspaceError, match="changed by somebody else"):
        draft.write()
    assert everything(ws) == {"table.py": "mine\n"}


def test_an_existing_file_or_a_dangling_link_is_refused(ws: Workspace) -> None:
    (ws.root / "link.py").symlink_to("gone")
    for name in ("table.py", "link.py"):
        with pytest.raises(WorkspaceError, match=f"'{name}' is there already"):
            Draft(ws).add(name, "x\n")


def test_the_mark_of_a_conflict_is_named_with_its_line(ws: Workspace) -> None:
    (ws.root / "table.py").write_text("one\n<<<<<<< HEAD\ntwo\n=======\nthree\n>>>>>>> other\n")
    with pytest.raises(WorkspaceError, match=r"'table.py', line 2 has the mark of a conflict"):
        Draft(ws).edit("table.py", lambda text, _: text)


def test_a_diff_tells_a_new_file_from_an_edited_one(ws: Workspace) -> None:
    new, edited = (each.diff for each in drafted(ws).changes)
    assert new.startswith("--- /dev/null\n+++ b/deep/down/new.py\n")
    assert edited.startswith("--- a/table.py\n+++ b/table.py\n")
    assert "+two\n+three\n" in edited
