"""`kdgat detect`: what it prints of a log or a live bus, and what it says of a wrong one."""

# ruff: noqa: F811 (a fixture that is imported is named again as an argument)
from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.conftest import Command, Said
from tests.faces.watched import Watched, watched, watched_once  # noqa: F401


def lines(said: Said) -> list[dict[str, Any]]:
    assert said.code == 0, said.err
    return [json.loads(line) for line in said.out.splitlines()]


@pytest.fixture
def plain(watched: Watched, tmp_path: Path) -> Path:
    """The capture, unpacked, under a name that does not tell its format."""
    path = tmp_path / "drive"
    path.write_bytes(gzip.decompress(watched.capture.read_bytes()))
    return path


def candump(csv: Path) -> list[str]:
    """The same capture as candump logs it."""
    rows = (line.split(",") for line in csv.read_text().splitlines()[1:])
    return [f"({time}) can0 {id}#{data}\n" for time, id, data, _ in rows]


def test_it_prints_each_window_and_then_the_summary(
    watched: Watched,
    plain: Path,
    kdgat: Command,
) -> None:
    said = kdgat("detect", plain, "--model", watched.run, "--all", "--json")
    *windows, summary = lines(said)
    assert "can_train_and_test" in said.err
    assert "first 1 s are taken for the vehicle's profile" in said.err
    assert {each["event"] for each in windows} <= {"alarm", "quiet"}
    assert summary["event"] == "summary"
    assert summary["windows"] == len(windows) > 20
    assert summary["alarms"] == sum(each["alarm"] for each in windows)
    assert summary["run_id"] == watched.run
    assert summary["messages"] == plain.read_text().count("\n") - 1
    assert not summary["interrupted"]
    assert summary["malformed_lines"] == 0
    assert summary["times_real_time"] > 0
    assert summary["delay_worst_s"] >= summary["delay_mean_s"] > summary["computed_mean_s"] > 0
    first = windows[0]
    assert first["window"] > 0, "the prefix has its windows, which are not scored"
    assert first["reference"] == "own"
    for each in windows:
        assert each["alarm"] == (each["score"] >= each["threshold"])
        assert bool(each["suspects"]) == each["alarm"]


def test_packed_and_as_candump_it_is_the_same(
    watched: Watched,
    plain: Path,
    tmp_path: Path,
    kdgat: Command,
) -> None:
    log = tmp_path / "drive.log"
    log.write_text("".join(candump(plain)))
    scores = [
        [each["score"] for each in lines(kdgat("detect", path, "--all", "--json"))[:-1]]
        for path in (plain, watched.capture, log)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert scores[0] == pytest.approx(scores[2], abs=1e-6)


def test_zero_shot_scores_from_the_first_message_on(
    watched: Watched,
    kdgat: Command,
) -> None:
    said = kdgat("detect", watched.capture, "--protocol", "zero_shot", "--all", "--json")
    *windows, summary = lines(said)
    assert windows[0]["window"] == 0
    assert summary["prefix_s"] is None
    assert {each["reference"] for each in windows} <= {"borrowed", "unprofiled"}
    assert "not scored" not in said.err


def test_for_a_person_an_alarm_is_a_line(watched: Watched, kdgat: Command) -> None:
    said = kdgat("detect", watched.capture, "--all")
    assert said.code == 0
    *windows, counts, speed, delay = said.out.splitlines()
    assert all(line.startswith(("ALARM  ", "quiet  ")) for line in windows)
    assert f"in {len(windows):,} windows" in counts
    assert "times real time" in speed
    assert "worst" in delay
    quiet = kdgat("detect", watched.capture)
    assert not any(line.startswith("quiet") for line in quiet.out.splitlines())


def test_malformed_lines_are_told_and_change_nothing(
    watched: Watched,
    plain: Path,
    tmp_path: Path,
    kdgat: Command,
) -> None:
    rows = plain.read_text().splitlines(keepends=True)
    broken = tmp_path / "broken.csv"
    broken.write_text("".join((*rows[:5], "garbage\n", *rows[5:900], "1,2\n", *rows[900:])))
    whole, partly = (
        lines(kdgat("detect", path, "--all", "--json"))[:-1] for path in (plain, broken)
    )
    assert [each["score"] for each in partly] == pytest.approx(
        [each["score"] for each in whole], abs=1e-6
    )
    said = kdgat("detect", broken)
    assert "left out as malformed: 2 lines, first line 6: garbage" in said.err


def test_a_threshold_is_chosen_by_the_words_of_the_config(
    watched: Watched,
    kdgat: Command,
) -> None:
    def threshold(*words: str) -> float:
        return lines(kdgat("detect", watched.capture, "--json", *words))[-1]["threshold"]

    assert threshold() == 0.5
    strict, lax = (
        threshold("--threshold", "benign_quantile", "--alpha", alpha) for alpha in ("0.01", "0.4")
    )
    assert strict > lax


@pytest.mark.parametrize(("words", "told"), [
    (("--protocol", "adpted"), ("adpted", "adapted")),
    (("--threshold", "conformel"), ("conformel", "conformal")),
    (("--alpha", "0.9"), ("alpha", "0.9")),
    (("--alpha", "0"), ("alpha", "0.0")),
    (("--format", "candum"), ("candum", "candump")),
    (("--format", "crysys"), ("crysys",)),
    (("--model", "nothing"), ("nothing",)),
])  # fmt: skip
def test_a_mistake_in_the_options_is_told(
    watched: Watched,
    kdgat: Command,
    words: tuple[str, ...],
    told: tuple[str, ...],
) -> None:
    kdgat("detect", watched.capture, *words).mistake(*told)


@pytest.mark.parametrize(("content", "told"), [
    (None, ("no file",)),
    (b"", ("empty",)),
    (b"once upon a time\n", ("format", "once upon a time")),
    (b"PAR1\x00\x01\x02", ("format",)),
])  # fmt: skip
def test_what_is_no_log_is_told(
    watched: Watched,
    tmp_path: Path,
    kdgat: Command,
    content: bytes | None,
    told: tuple[str, ...],
) -> None:
    path = tmp_path / "a.log"
    if content is not None:
        path.write_bytes(content)
    kdgat("detect", path).mistake("a.log", *told)


def test_a_folder_is_no_log(watched: Watched, tmp_path: Path, kdgat: Command) -> None:
    kdgat("detect", tmp_path).mistake("folder")


def test_a_capture_shorter_than_the_prefix_is_told(
    watched: Watched,
    plain: Path,
    tmp_path: Path,
    kdgat: Command,
) -> None:
    short = tmp_path / "short.csv"
    short.write_text("".join(plain.read_text().splitlines(keepends=True)[:600]))
    said = kdgat("detect", short)
    assert said.code == 2
    assert "first 1 s are taken" in said.err.splitlines()[1]
    assert "zero_shot" in said.err.splitlines()[2]
    assert lines(kdgat("detect", short, "--protocol", "zero_shot", "--json"))[-1]["windows"] == 5


def test_a_capture_shorter_than_a_window_is_told(
    watched: Watched,
    plain: Path,
    tmp_path: Path,
    kdgat: Command,
) -> None:
    short = tmp_path / "short.csv"
    short.write_text("".join(plain.read_text().splitlines(keepends=True)[:60]))
    said = kdgat("detect", short, "--protocol", "zero_shot")
    assert said.code == 2
    assert "59 messages, too few for one window of 100" in said.err


def test_a_run_that_is_not_completed_is_refused(
    watched: Watched, tmp_path: Path, kdgat: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(watched.root, root)
    monkeypatch.chdir(root)
    path = next(root.glob(f".kdgat/runs/*/*/{watched.run}/run.json"))
    path.write_text(path.read_text().replace('"completed"', '"failed"'))
    kdgat("detect", watched.capture, "--model", watched.run).mistake(watched.run, "failed")


@pytest.fixture
def live(watched: Watched) -> Iterator[subprocess.Popen[str]]:
    """`kdgat detect -` as a process of its own, on a pipe."""
    command = [
        sys.executable, "-m", "kdgat.cli.main", "detect", "-", "--model", watched.run, "--all",
        "--json",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    yield process
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def feed(process: subprocess.Popen[str], rows: list[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(rows))
    process.stdin.flush()


@pytest.mark.slow
def test_alarms_of_a_live_bus_come_before_it_ends(plain: Path, live: subprocess.Popen[str]) -> None:
    rows = candump(plain)
    assert live.stdout is not None
    half = len(rows) // 2
    feed(live, rows[:half])
    early = json.loads(live.stdout.readline())
    assert early["event"] in ("alarm", "quiet")
    assert early["waited_s"] < 1
    assert live.poll() is None
    feed(live, rows[half:])
    assert live.stdin is not None
    live.stdin.close()
    *windows, summary = (json.loads(line) for line in live.stdout)
    assert live.wait(60) == 0
    assert summary["messages"] == len(rows)
    assert summary["windows"] == len(windows) + 1
    assert summary["capture"] == "standard input"


@pytest.mark.slow
def test_an_interrupt_ends_it_with_the_summary(plain: Path, live: subprocess.Popen[str]) -> None:
    feed(live, candump(plain)[:4000])
    assert live.stdout is not None
    live.stdout.readline()
    live.send_signal(signal.SIGINT)
    *_, summary = (json.loads(line) for line in live.stdout)
    assert live.wait(60) == 0
    assert summary["event"] == "summary"
    assert summary["interrupted"]
    assert summary["windows"] > 0
