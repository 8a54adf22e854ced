"""A run's folder over the run's life: states, attempts, heartbeat, figures and files."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import DataError, RunError, StorageError
from kdgat.ledger import folder as folder_module
from kdgat.ledger.files import read_lines, write_text
from kdgat.ledger.folder import LOST_AFTER_S, RunFolder
from kdgat.ledger.states import State
from tests.unit.ledger.made import new_record

KILLED = """
import sys
from pathlib import Path
from kdgat.ledger.folder import RunFolder

run = RunFolder(Path(sys.argv[1]))
with run.working({}):
    run.log_metrics(0, {"loss": 1.0})
    print("working", flush=True)
    sys.stdin.read()
"""

MANY_EPOCHS = """
import sys
from pathlib import Path
from kdgat.ledger.folder import RunFolder

run = RunFolder(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
with run.working({}):
    for epoch in range(20):
        run.log_metrics(epoch, {"loss": float(epoch)})
        run.update(metrics={"epochs": epoch + 1.0})
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, new_record(), {"seed": 42})


def events(run: RunFolder) -> list[str]:
    return [row["event"] for row in read_lines(run.path / "events.jsonl")]


def start(code: str, run: RunFolder) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def break_off(run: RunFolder, error: BaseException) -> None:
    with run.working({}):
        raise error


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "large_classifier"),
        ({"size": "small", "stage": "autoencoder"}, "small_autoencoder"),
        ({"teacher": "20261121-074455-3f9a2c"}, "large_classifier_kd"),
    ],
)
def test_a_folder_is_named_by_dataset_size_stage_and_teacher(
    tmp_path: Path, changes: dict[str, Any], kind: str
) -> None:
    record = new_record(**changes)
    run = RunFolder.create(tmp_path, record, {})
    assert run.path == tmp_path / "set_01" / kind / record.run_id


def test_a_new_run_is_planned_and_keeps_its_config(run: RunFolder) -> None:
    assert run.record().state is State.PLANNED
    assert run.current() == run.record()
    assert run.config() == {"seed": 42}
    assert events(run) == ["planned"]
    assert run.metrics() == []


def test_a_run_is_running_inside_and_completed_after(run: RunFolder) -> None:
    with run.working({"host": "here"}):
        inside = run.current()
    after = run.record()
    assert inside.state is State.RUNNING
    assert (inside.pid, inside.host) == (os.getpid(), socket.gethostname())
    assert inside.environment == {"host": "here"}
    assert inside.ended_at is None
    assert (after.state, after.reason, after.attempts) == (State.COMPLETED, None, 1)
    assert after.started_at is not None
    assert after.ended_at is not None
    assert after.created_at <= after.started_at <= after.ended_at
    assert events(run) == ["planned", "started", "completed"]


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (ValueError("bad shape"), State.FAILED, "ValueError('bad shape')"),
        (DataError("no capture 'x'", hint="ingest it"), State.FAILED, "no capture 'x'"),
        (SystemExit(3), State.FAILED, "SystemExit(3)"),
        (KeyboardInterrupt(), State.CANCELLED, "interrupted from the keyboard"),
    ],
)
def test_a_run_that_is_broken_off_keeps_the_reason_and_the_error_goes_on(
    run: RunFolder, error: BaseException, state: State, reason: str
) -> None:
    with pytest.raises(type(error)) as caught:
        break_off(run, error)
    record = run.record()
    assert caught.value is error
    assert (record.state, record.reason) == (state, reason)
    assert record.ended_at is not None
    assert events(run) == ["planned", "started", state.value]
    assert read_lines(run.path / "events.jsonl")[-1]["reason"] == reason


def test_attempts_are_counted_and_the_first_start_is_kept(run: RunFolder) -> None:
    with pytest.raises(ValueError, match="once"):
        break_off(run, ValueError("once"))
    first = run.record()
    with run.working({}):
        inside = run.record()
    assert (first.attempts, inside.attempts, run.record().attempts) == (1, 2, 2)
    assert inside.started_at == first.started_at
    assert (inside.reason, inside.ended_at) == (None, None)
    started = [r for r in read_lines(run.path / "events.jsonl") if r["event"] == "started"]
    assert [row["attempt"] for row in started] == [1, 2]


def test_the_heart_beats_while_the_run_works_and_stops_with_it(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "HEARTBEAT_S", 0.002)
    beats = set()
    never = threading.Event()
    with run.working({}):
        for _ in range(5000):
            beats.add((run.path / "heartbeat").read_text())
            if len(beats) == 3:
                break
            never.wait(0.002)
    assert len(beats) == 3
    assert not [each for each in threading.enumerate() if each.name.endswith("(_pulse)")]


def test_a_run_whose_process_was_killed_reads_as_lost_and_keeps_its_figures(
    run: RunFolder,
) -> None:
    process = start(KILLED, run)
    assert run.current().state is State.RUNNING
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert run.record().state is State.RUNNING
    lost = run.current()
    assert (lost.state, lost.reason) == (State.LOST, "its process ended without a word")
    assert [row["loss"] for row in run.metrics()] == [1.0]


def test_a_lost_run_can_work_again(run: RunFolder) -> None:
    process = start(KILLED, run)
    process.kill()
    process.communicate()
    with run.working({}):
        assert run.current().state is State.RUNNING
    assert (run.record().state, run.record().attempts) == (State.COMPLETED, 2)


@pytest.mark.parametrize(
    ("silence_s", "state"),
    [(0.0, State.RUNNING), (LOST_AFTER_S - 30, State.RUNNING), (LOST_AFTER_S + 1, State.LOST)],
)
def test_a_run_on_another_host_is_lost_when_its_heart_has_stopped_long_ago(
    run: RunFolder, silence_s: float, state: State
) -> None:
    run.update(state=State.RUNNING, host="a-node-far-away", pid=1)
    beat = datetime.now(UTC) - timedelta(seconds=silence_s)
    write_text(run.path / "heartbeat", beat.isoformat() + "\n")
    assert run.current().state is state


@pytest.mark.parametrize("heartbeat", [None, "", "soon"])
def test_a_run_without_a_readable_heartbeat_is_lost(run: RunFolder, heartbeat: str | None) -> None:
    run.update(state=State.RUNNING, host="a-node-far-away", pid=1)
    if heartbeat is not None:
        write_text(run.path / "heartbeat", heartbeat)
    assert run.current().state is State.LOST


def test_a_process_id_that_went_to_another_process_does_not_keep_a_run_alive_for_ever(
    run: RunFolder,
) -> None:
    run.update(state=State.RUNNING, host=socket.gethostname(), pid=os.getpid())
    silent = datetime.now(UTC) - timedelta(seconds=LOST_AFTER_S + 1)
    write_text(run.path / "heartbeat", silent.isoformat())
    assert run.current().state is State.LOST


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
def test_only_a_running_run_can_be_lost(run: RunFolder, state: State) -> None:
    run.update(state=state)
    assert run.current().state is state


def test_figures_come_back_in_order_and_are_forgotten_from_an_epoch(run: RunFolder) -> None:
    for epoch in range(4):
        run.log_metrics(epoch, {"loss": 1.0 / (epoch + 1), "f1": None})
    before = run.metrics()
    run.forget_metrics_from(2)
    assert [row["epoch"] for row in before] == [0, 1, 2, 3]
    assert run.metrics() == before[:2]
    run.log_metrics(2, {"loss": 0.1})
    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2]


def test_figures_of_every_epoch_can_be_forgotten_even_when_there_are_none(run: RunFolder) -> None:
    run.forget_metrics_from(0)
    assert run.metrics() == []


def test_an_artifact_is_recorded_with_its_path_and_hash(run: RunFolder) -> None:
    for name, text in (("scores.txt", "abc"), ("more/plot.txt", "")):
        write_text(run.artifacts / name, text)
        run.keep_artifact(run.artifacts / name)
    assert run.record().artifacts == {
        "artifacts/scores.txt": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "artifacts/more/plot.txt": (
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        ),
    }


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_a_config_that_can_not_be_read_is_named(run: RunFolder, content: str | None) -> None:
    path = run.path / "config.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError) as caught:
        run.config()
    assert caught.value.problem.startswith(f"'{path}' ")
    assert caught.value.hint == "restore the file, or train anew"


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the ledger should be")
    with pytest.raises(StorageError, match=r"runs/set_01/large_classifier"):
        RunFolder.create(tmp_path / "runs", new_record(), {})


def test_many_processes_write_runs_of_their_own_at_once(tmp_path: Path) -> None:
    runs = [RunFolder.create(tmp_path, new_record(seed=n), {}) for n in range(4)]
    processes = [start(MANY_EPOCHS, run) for run in runs]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    for number, run in enumerate(runs):
        record = run.record()
        assert (record.seed, record.state, record.metrics) == (
            number,
            State.COMPLETED,
            {"epochs": 20.0},
        )
        assert [row["epoch"] for row in run.metrics()] == list(range(20))


def test_nothing_but_the_named_files_is_left_in_a_runs_folder(run: RunFolder) -> None:
    with run.working({}):
        run.log_metrics(0, {"loss": 1.0})
    assert sorted(path.name for path in run.path.iterdir()) == [
        "attempts",
        "config.json",
        "events.jsonl",
        "heartbeat",
        "metrics.jsonl",
        "run.json",
    ]
    assert json.loads((run.path / "run.json").read_bytes())["state"] == "completed"


def test_of_two_processes_that_take_up_a_run_at_once_one_is_refused(run: RunFolder) -> None:
    # What the other process leaves in the instant between its claim and its first record.
    (run.path / "attempts").mkdir()
    (run.path / "attempts" / "2").touch()
    with pytest.raises(RunError, match=r"^another process has just begun"), run.working({}):
        pass
    assert run.record().state is State.PLANNED


def test_a_planned_run_is_lost_when_its_maker_died_before_it_began(run: RunFolder) -> None:
    assert run.record().pid == os.getpid()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    run.update(pid=dead.pid)
    assert run.current().state is State.LOST
    assert run.current().reason == "its process ended before it began"
    run.update(host="a-node-far-away")
    assert run.current().state is State.PLANNED


@pytest.mark.parametrize("state", [State.SUBMITTED, State.TIMEOUT, State.PREEMPTED])
def test_a_run_that_a_scheduler_holds_needs_no_process(run: RunFolder, state: State) -> None:
    run.update(state=state, host=None, pid=None)
    assert run.current().state is state
    assert not run.mark_lost()


def test_a_run_that_ends_between_two_looks_is_not_lost(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.update(state=State.RUNNING, host=socket.gethostname(), pid=1)

    def ends_now(_: int | None) -> bool:
        run.update(state=State.COMPLETED)
        return False

    monkeypatch.setattr(folder_module, "process_exists", ends_now)
    assert run.current().state is State.COMPLETED


def test_a_lost_run_is_written_down_once_with_its_last_sign_of_life(run: RunFolder) -> None:
    run.update(state=State.RUNNING, host="a-node-far-away", pid=1)
    write_text(run.path / "heartbeat", "2026-11-21T07:44:55.123+00:00\n")
    assert run.mark_lost()
    assert not run.mark_lost()
    record = run.record()
    assert (record.state, record.reason) == (State.LOST, "its process ended without a word")
    assert record.ended_at == "2026-11-21T07:44:55.123+00:00"
    assert events(run) == ["planned", "lost"]


def test_a_new_run_never_replaces_another_of_its_id(tmp_path: Path) -> None:
    record = new_record()
    run = RunFolder.create(tmp_path, record, {"seed": 1})
    with pytest.raises(RunError, match=f"there is a run '{record.run_id}' already"):
        RunFolder.create(tmp_path, record, {"seed": 2})
    assert run.config() == {"seed": 1}


def test_each_attempt_keeps_what_its_code_differed_by(run: RunFolder) -> None:
    for diff in ("first\n", None, "third\n"):
        with run.working({}, diff):
            pass
    kept = {path.name: path.read_text() for path in run.artifacts.iterdir()}
    assert kept == {"git.diff": "first\n", "git-3.diff": "third\n"}
    assert sorted(run.record().artifacts) == ["artifacts/git-3.diff", "artifacts/git.diff"]
