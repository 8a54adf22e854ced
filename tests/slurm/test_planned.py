"""A plan on a real Slurm: submitted by two processes at once, and again after its job has ended."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kdgat.ledger.states import State
from tests.slurm.lab import CLUSTER, SMALL_JOB, TINY, Lab, make_lab

pytestmark = pytest.mark.slurm

IDS = re.compile(r"\d{8}-\d{6}-[0-9a-f]{7}")


def test_a_plan_is_one_job_however_often_it_is_submitted(
    slurm: Mapping[str, str], tmp_path: Path
) -> None:
    lab = make_lab(tmp_path / "lab", slurm)
    words = (*TINY, "seed=31", *SMALL_JOB, "--cluster", CLUSTER)
    planned = lab.json("plan", *words)
    assert not list(lab.home.glob("jobs/*"))
    command = [sys.executable, "-m", "kdgat.cli.main", "submit", "--json", "--plan"]
    servers = [
        subprocess.Popen(
            [*command, planned["plan_id"]], cwd=lab.root, env=dict(lab.environ), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    told = [server.communicate(timeout=300) for server in servers]
    assert [server.returncode for server in servers] == [0, 0], told
    answers = [json.loads(out) for out, _ in told]
    assert sorted(answer["given"] for answer in answers) == [False, True]
    (job,) = answers[0]["jobs"]
    assert [each["job_id"] for each in answers[1]["jobs"]] == [job["job_id"]]
    script = (lab.home / "jobs" / job["job_id"] / "job.sh").read_text()
    assert IDS.sub("ID", script) == IDS.sub("ID", planned["plan"]["jobs"][0]["script"])
    run_id = answers[0]["runs"][0]["run_id"]
    assert lab.until_ended([run_id]) == {run_id: State.COMPLETED}
    again = lab.json("submit", "--plan", planned["plan_id"])
    assert [each["job_id"] for each in again["jobs"]] == [job["job_id"]]
    assert (again["given"], again["runs"][0]["state"]) == (False, "completed")
    # sacct is blank for seconds after a job's end.
    lab.until(lambda: f"kdgat-{job['job_id']}" in names(lab))
    assert names(lab).count(f"kdgat-{job['job_id']}") == 1
    assert len(list(lab.home.glob("jobs/2*"))) == 1


def names(lab: Lab) -> list[str]:
    """The names of all jobs of the last hour."""
    return lab.slurm("sacct", "-X", "-n", "-P", "-S", "now-1hour", "-o", "JobName").split()
