"""A job's script without a scheduler, and commands with frozen code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from kdgat.errors import SlurmError
from kdgat.ledger.jobs import Job, JobRequest, JobTask
from kdgat.slurm.cluster import cluster_from
from kdgat.slurm.local import run_frozen, run_script
from kdgat.slurm.script import render

ROOT = Path(__file__).parents[3]


def script(folder: Path, body: str) -> Path:
    path = folder / "job.sh"
    path.write_text(body)
    return path


def test_output_is_added_to_the_log_and_the_status_returned(tmp_path: Path) -> None:
    log = tmp_path / "job.out"
    log.write_text("before\n")
    job = script(tmp_path, 'echo "task $KDGAT_TASK in $PWD"; echo trouble >&2; exit 75')
    assert run_script(job, log, 3) == 75
    assert log.read_text() == f"before\ntask 3 in {tmp_path}\ntrouble\n"


def test_the_script_does_not_take_this_for_a_schedulers_job(tmp_path: Path) -> None:
    job = script(tmp_path, "env | grep -c '^SLURM_' || true")
    environ = {**os.environ, "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}
    run_script(job, tmp_path / "out", 0, environ=environ)
    assert (tmp_path / "out").read_text() == "0\n"


def test_somebody_is_told_while_it_runs(tmp_path: Path) -> None:
    told: list[int] = []
    job = script(tmp_path, "sleep 1.2")
    assert run_script(job, tmp_path / "out", 0, waiting=lambda: told.append(1)) == 0
    assert told


def test_an_interrupt_reaches_the_work_and_is_raised_when_that_has_ended(tmp_path: Path) -> None:
    code = "import signal, time, pathlib\ntry:\n    pathlib.Path('on').touch(); time.sleep(60)\n"
    code += "except KeyboardInterrupt:\n    time.sleep(0.3); pathlib.Path('saved').touch()\n"
    (tmp_path / "work.py").write_text(code)
    job = script(tmp_path, f"'{sys.executable}' work.py || status=$?; exit 0")

    def interrupt() -> None:
        while not (tmp_path / "on").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    # Workers of a test run ignore the signal, and what they start would too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_script(job, tmp_path / "out", 0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "saved").exists()


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(SlurmError, match="can't be run here"):
        run_script(tmp_path / "gone" / "job.sh", tmp_path / "gone" / "out", 0)


@pytest.mark.parametrize("status", [0, 1, 75])
def test_the_rendered_script_works_on_the_right_run_and_passes_its_status_on(
    tmp_path: Path, status: int
) -> None:
    folder = tmp_path / "it's a $HOME"
    folder.mkdir()
    python = folder / "python"
    python.write_text(
        '#!/bin/bash\necho "$*" "$KDGAT_ROOT" "$KDGAT_JOB" "${PYTHONPATH%%:*}" "$OMP_NUM_THREADS"\n'
        f"exit {status}\n"
    )
    python.chmod(0o755)
    job = Job(
        "20261121-080000-456abcd", "local", "", (JobTask("first"), JobTask("second", "evaluate")),
        JobRequest(None, None, 60, cores_per_task=3), array=True,
    )  # fmt: skip
    text = render(
        job,
        cluster_from(ROOT / "slurm" / "clusters" / "local.toml"),
        python=str(python),
        code=folder / "code",
        home=folder,
        template=(ROOT / "slurm" / "job.sh.in").read_text(encoding="utf-8"),
    )
    assert run_script(script(folder, text), folder / "out", 1) == status
    first, *rest = (folder / "out").read_text().splitlines()
    assert first.startswith("kdgat: evaluate second on ")
    code = f"{folder}/code"
    assert rest == [f"-m kdgat.cli.main work second {code} {job.job_id} {code} 3"]


class TestFrozen:
    @pytest.fixture
    def code(self, tmp_path: Path) -> Path:
        package = tmp_path / "code" / "kdgat" / "cli"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package.parent / "__init__.py").touch()
        (package / "main.py").write_text(
            "import os, sys\n"
            "print(__file__, *sys.argv[1:], os.environ['KDGAT_HOME'])\n"
            "sys.exit(int('fail' in sys.argv))\n"
        )
        return tmp_path / "code"

    def test_the_command_runs_with_the_frozen_code(self, code: Path, tmp_path: Path) -> None:
        said = run_frozen(code, tmp_path, ("replay", "x y"))
        assert said == f"{code}/kdgat/cli/main.py replay x y {tmp_path}\n"

    def test_a_failure_is_told(self, code: Path, tmp_path: Path) -> None:
        with pytest.raises(SlurmError, match="failed with the code in"):
            run_frozen(code, tmp_path, ("replay", "fail"))
