"""What a session begins with is never stale: after any change it tells the new, and not the old.

The changes to runs, modes and questions; those to the checkout are in `mutations.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdgat.ledger.files import write_json
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import RunRecord
from kdgat.ledger.states import State
from kdgat.workspace import Workspace
from tests.faces.client import Client, checkout
from tests.unit.runs.judged import judge, trained

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Lab:
    """A workspace with a few runs, and the ids of those that changes speak of."""

    client: Client
    ws: Workspace
    good: RunRecord
    failed: RunRecord
    waiting: RunRecord


@dataclass(frozen=True)
class Change:
    """One kind of change, and what a session is told before and after."""

    name: str
    make: Callable[[Lab], object]
    new: str = ""
    old: str = ""


def run_of(lab: Lab, record: RunRecord) -> RunFolder:
    return RunFolder(next(lab.ws.runs.glob(f"*/*/{record.run_id}")))


def better(lab: Lab) -> None:
    judge(lab.ws, trained(lab.ws, model="vgae", digest="b" * 16), 0.95)


def done_since(lab: Lab) -> None:
    trained(lab.ws, model="dqn", digest="f" * 16)


def worse_seed(lab: Lab) -> None:
    judge(lab.ws, trained(lab.ws, seed=1), 0.5)


def other_captures(lab: Lab) -> None:
    write_json(lab.ws.dataset("set_01") / "captures.json", {"content_hash": "e" * 64})


def edit_mode(lab: Lab) -> None:
    path = lab.ws.modes / "research.md"
    path.write_text(path.read_text().replace("The work is finding out.", "The work is doubting."))


def drop_section(lab: Lab) -> None:
    path = lab.ws.modes / "research.md"
    path.write_text(path.read_text().replace("last_runs, ", ""))


def tell(lab: Lab, kind: str, **details: object) -> None:
    Journal(lab.ws.journal).append(kind, run=lab.good.run_id, **details)


def newest(lab: Lab) -> str:
    """The number of the question that was asked last."""
    return max(path.name for path in (lab.ws.root / "modes" / "questions").glob("*.md"))[:4]


CHANGES = (
    Change("switch the mode", lambda lab: lab.client.kdgat("mode", "mlops"),
           "mode 'mlops'", "mode 'research'"),
    Change("edit the mode's text", edit_mode, "The work is doubting.", "The work is finding out."),
    Change("ask the mode for fewer sections", drop_section, old="## Last runs"),
    Change("train a run", lambda lab: trained(lab.ws, size="small"), "set_01-gat-small classifier"),
    Change("judge a better run", better, "- set_01-vgae-large 0.9500", ""),
    Change("judge another seed", worse_seed, "set_01-gat-large 0.7000 [", "0.9000 (1 seed"),
    Change("a run fails",
           lambda lab: trained(lab.ws, state=State.FAILED, reason="the disk\nis full", seed=9,
                               digest="a" * 16),
           '"the disk is full"'),
    Change("what failed is done at last", done_since,
           "Failed and not done since: none", "out of memory"),
    Change("what waited begins",
           lambda lab: run_of(lab, lab.waiting).update(state=State.COMPLETED),
           "Queue: empty", "0 running, 1 waiting"),
    Change("archive the best run", lambda lab: lab.client.kdgat("runs", "archive", lab.good.run_id),
           "no model was judged yet", "set_01-gat-large 0.9000"),
    Change("ingest other captures", other_captures, "of other captures than those ingested now"),
    Change("ask a question",
           lambda lab: lab.client.kdgat("questions", "add", "Is the kettle on?",
                                        "--trigger", "always", "--trigger-sql", "select true"),
           '"Is the kettle on?"'),
    Change("close a question",
           lambda lab: lab.client.kdgat("questions", "close", newest(lab), "--answer", "No."),
           old='"Does the tea cool?"'),
)  # fmt: skip


@pytest.fixture(scope="session")
def lab_once(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    client = checkout(tmp_path_factory.mktemp("lab") / "checkout")
    ws = Workspace(client.root, client.root / ".kdgat")
    good = trained(ws)
    judge(ws, good, 0.9)
    failed = trained(ws, model="dqn", state=State.FAILED, reason="out of memory", digest="f" * 16)
    waiting = trained(ws, model="mlp", state=State.SUBMITTED, digest="9" * 16)
    client.kdgat("mode", "research")
    always = ("--trigger", "always", "--trigger-sql", "select true")
    client.kdgat("questions", "add", "Does the tea cool?", *always)
    return Lab(client, ws, good, failed, waiting)


@pytest.fixture
def lab(lab_once: Lab, tmp_path: Path) -> Lab:
    root = tmp_path / "checkout"
    shutil.copytree(lab_once.client.root, root, symlinks=True)
    ws = Workspace(root, root / ".kdgat")
    return Lab(Client(root), ws, lab_once.good, lab_once.failed, lab_once.waiting)


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.name)
def test_after_a_change_a_session_is_told_the_new_and_not_the_old(change: Change, lab: Lab) -> None:
    before = lab.client.hook("SessionStart", source="startup").context
    assert not change.new or change.new not in before
    assert change.old in before
    change.make(lab)
    after = lab.client.hook("SessionStart", source="resume").context
    assert change.new in after
    assert not change.old or change.old not in after
    assert lab.client.errors == []


def test_a_session_that_remembers_is_told_what_one_that_does_not_is(lab: Lab) -> None:
    def told() -> str:
        return lab.client.hook("SessionStart", source="startup").context.partition("\n")[2]

    first = told()
    kept = lab.client.agent / "session.json"
    noted = kept.stat().st_mtime_ns
    assert told() == first
    assert kept.stat().st_mtime_ns == noted
    kept.unlink()
    assert told() == first
