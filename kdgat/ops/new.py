"""The operation that makes something new: files from templates, and their rows in tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from kdgat.errors import WorkspaceError, did_you_mean
from kdgat.modes.questions import question_text
from kdgat.ops.questions import add_question
from kdgat.ops.scaffolds.code import add_format, add_model, add_stage
from kdgat.ops.scaffolds.draft import Draft
from kdgat.ops.scaffolds.texts import add_cluster, add_decision, add_mode, add_paper
from kdgat.workspace import Workspace

Kind = Literal[
    "model",
    "dataset-format",
    "stage",
    "mode",
    "cluster",
    "question",
    "decision",
    "paper",
]
KINDS: tuple[str, ...] = get_args(Kind)
_CODE = ("model", "dataset-format", "stage")


@dataclass(frozen=True)
class NewFile:
    """A file that is made or edited."""

    file: str
    is_new: bool
    diff: str
    """What changes, as a unified diff; of a new file all of it."""


@dataclass(frozen=True)
class NewThing:
    """What was made, or would be."""

    kind: str
    name: str
    files: tuple[NewFile, ...]
    written: bool
    next: tuple[str, ...]
    """Commands that belong to it: what is made from these files, and its tests."""


def new_thing(ws: Workspace, kind: str, name: str, *, dry_run: bool = False) -> NewThing:
    """Make a new model, format, stage, mode, cluster, question, decision or paper.

    All its files are written, or none. What is made works as it is, and is there to be changed.

    Args:
        ws: the workspace; for code, a checkout of kdgat.
        kind: what to make.
        name: its name; of a question, the question in one line.
        dry_run: tell what would be written, and write nothing.

    Raises:
        WorkspaceError: there is no such kind, the name can't be or is taken, or a table has no
            place for a new row.
        QuestionError: the question is empty or too long.
        StorageError: the file system refused.
    """
    if kind not in KINDS:
        raise WorkspaceError(f"kdgat can't make a '{kind:.40}'", hint=did_you_mean(kind, KINDS))
    if kind == "question":
        return _question(ws, name, dry_run=dry_run)
    draft = Draft(ws)
    tests = _drafted(draft, ws, kind, name)
    if not dry_run:
        draft.write()
    files = (NewFile(each.shown, each.before is None, each.diff) for each in draft.changes)
    return NewThing(kind, name, tuple(files), not dry_run, _next(kind, name, tests))


def _drafted(draft: Draft, ws: Workspace, kind: str, name: str) -> tuple[str, ...]:
    """Fill the draft; the tests that are made."""
    match kind:
        case "model":
            return add_model(draft, name)
        case "stage":
            return add_stage(draft, name)
        case "dataset-format":
            return add_format(draft, name)
        case "mode":
            add_mode(draft, ws, name)
        case "cluster":
            add_cluster(draft, ws, name)
        case "decision":
            add_decision(draft, ws, name)
        case "paper":
            add_paper(draft, name)
    return ()


def _question(ws: Workspace, title: str, *, dry_run: bool) -> NewThing:
    """The same as `kdgat questions add`, which takes all of a question's settings."""
    if dry_run:
        today = datetime.now(UTC).date()
        bare = {"title": title, "status": "open", "tags": [], "opened": today}
        file, text = question_text(ws, bare, "")
    else:
        file = add_question(ws, title).file
        text = (ws.root / file).read_text(encoding="utf-8")
    lines = "".join(f"+{line}\n" for line in text.splitlines())
    made = NewFile(file, True, f"--- /dev/null\n+++ b/{file}\n{lines}")
    return NewThing("question", title, (made,), not dry_run, _next("question", title, ()))


def _next(kind: str, name: str, tests: tuple[str, ...]) -> tuple[str, ...]:
    """What to call afterwards."""
    use = {
        "model": (f"uv run kdgat train model={name}",),
        "stage": (f"uv run kdgat train model={name}",),
        "mode": (f"uv run kdgat mode show {name}",),
        "cluster": (f"uv run kdgat clusters show {name}",),
        "question": ("uv run kdgat questions list",),
        "paper": (
            f"uv run kdgat paper fill knowledge/papers/{name}",
            f"uv run kdgat config show paper={name}",
        ),
    }
    made = ("uv run kdgat agent render",) if kind != "question" else ()
    pages = ("uv run kdgat reference write",) if kind in _CODE else ()
    tested = tuple(f"uv run pytest {test}" for test in tests)
    return (*made, *pages, *tested, *use.get(kind, ()))
