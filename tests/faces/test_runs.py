"""`kdgat runs`: archive, rm and repair, as a user meets them."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdgat.ledger.journal import Journal


def promote(home: Path, run: str) -> None:
    details: dict[str, Any] = {"model": "simulated-gat-large", "version": 1, "run_id": run}
    Journal(home / "journal").append("alias_set", alias="champion", reason="better", **details)


def answer(text: str, *arguments: str) -> tuple[int, str]:
    """A command on a terminal whose user types this; its exit code and standard output."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "kdgat.cli.main", *arguments]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    os.write(ours, f"{text}\n".encode())
    out, err = process.communicate(timeout=120)
    os.close(theirs)
    os.close(ours)
    assert "for good?" in err
    return process.returncode, out


def test_a_run_is_put_away_and_taken_back(trained: Any, kdgat: Any) -> None:
    assert kdgat("runs", "archive", trained.student).out == f"{trained.student} is archived\n"
    assert kdgat("runs", "archive", trained.student).out == (
        f"{trained.student} was archived already\n"
    )
    table = kdgat("runs", "list").out
    assert trained.student not in table
    assert "1 archived: --archived shows them" in table
    assert "completed, archived" in kdgat("runs", "list", "--archived").out
    assert "completed, archived" in kdgat("runs", "show", trained.student).out
    done = kdgat("runs", "unarchive", trained.student, trained.teacher, "--json").json
    assert done == {
        "archived": False,
        "changed": [trained.student],
        "unchanged": [trained.teacher],
    }
    assert trained.student in kdgat("runs", "list").out


def test_a_run_that_others_need_is_named_with_them(trained: Any, kdgat: Any) -> None:
    kdgat("runs", "rm", trained.teacher, "--yes").mistake(
        f"run '{trained.teacher}' is the teacher of {trained.student}, and judged by "
        f"{trained.evaluation}",
        "--force",
    )
    gone = kdgat(
        "runs", "rm", trained.teacher, trained.student, trained.evaluation, "--yes", "--json"
    ).json
    assert [item["run_id"] for item in gone["items"]] == [
        trained.teacher,
        trained.student,
        trained.evaluation,
    ]
    assert trained.runs() == set()
    assert "no run" in kdgat("runs", "show", trained.teacher).mistake("kdgat runs list")


def test_a_champion_is_not_removed_even_by_force(trained: Any, kdgat: Any) -> None:
    promote(trained.home, trained.evaluation)
    kdgat("runs", "rm", trained.evaluation, "--force", "--yes").mistake(
        "is simulated-gat-large@champion", "kdgat models promote"
    )
    assert "simulated-gat-large@champion" in kdgat("runs", "show", trained.evaluation).out


def test_a_removal_is_tried_first_without_a_question(trained: Any, kdgat: Any) -> None:
    text = kdgat("runs", "rm", trained.evaluation, "--dry-run").out
    assert "would be removed" in text
    assert trained.evaluation in text
    assert len(trained.runs()) == 3


def test_in_a_pipe_nothing_is_removed_without_yes(
    trained: Any, kdgat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    kdgat("runs", "rm", trained.evaluation).mistake("nothing was removed", "--yes", "--dry-run")
    assert len(trained.runs()) == 3
    assert "removed" in kdgat("runs", "rm", trained.evaluation, "--yes").out
    assert len(trained.runs()) == 2


def test_on_a_terminal_the_user_is_asked(trained: Any) -> None:
    code, out = answer("n", "runs", "rm", trained.evaluation, "--json")
    assert (code, out) == (1, "")
    assert len(trained.runs()) == 3
    code, out = answer("y", "runs", "rm", trained.evaluation, "--json")
    assert code == 0
    assert json.loads(out)["items"][0]["run_id"] == trained.evaluation
    assert len(trained.runs()) == 2


def test_a_ledger_in_order_needs_no_repair(trained: Any, empty: Any, kdgat: Any) -> None:
    assert kdgat("runs", "repair").out == "every run is whole\n"


def test_no_run_of_the_main_job_needs_repair(trained: Any, kdgat: Any) -> None:
    assert kdgat("runs", "repair", "--json").json == {"items": [], "dry_run": False}


def test_a_repair_names_what_is_foreign_and_mends_what_was_killed(trained: Any, kdgat: Any) -> None:
    path = trained.run(trained.student) / "run.json"
    record = json.loads(path.read_bytes())
    path.write_text(json.dumps({**record, "state": "running", "host": "far-away"}))
    path.with_name("heartbeat").unlink()
    foreign = trained.home / "runs" / "simulated" / "[notes].txt"
    foreign.touch()
    trial = kdgat("runs", "repair", "--dry-run")
    assert trial.out.startswith("1 to mend, 1 left to you\n")
    assert json.loads(path.read_bytes())["state"] == "running"
    done = kdgat("runs", "repair").out
    assert "marked lost" in done
    assert ".kdgat/runs/simulated/[notes].txt: move it out of the runs" in done
    assert json.loads(path.read_bytes())["state"] == "lost"
    (left,) = kdgat("runs", "repair", "--json").json["items"]
    assert (left["action"], foreign.exists()) == ("left", True)


def test_a_training_keeps_what_its_code_differed_by(
    prepared: Any, kdgat: Any, tiny_config: tuple[str, ...]
) -> None:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(prepared.root), *identity, *words]
        subprocess.run(command, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", "pyproject.toml")
    git("commit", "--quiet", "-m", "first")
    (prepared.root / "pyproject.toml").write_text("[tool.kdgat]\n# a trial\n")
    run = kdgat("train", *tiny_config, "--json").json["run_id"]
    diff = (prepared.run(run) / "artifacts" / "git.diff").read_text()
    assert "+# a trial" in diff
    record = kdgat("runs", "show", run, "--json").json["record"]
    assert "artifacts/git.diff" in record["artifacts"]
    assert record["environment"]["git_dirty"] is True
