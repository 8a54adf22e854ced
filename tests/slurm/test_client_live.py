"""kdgat's questions put to a real Slurm, and its answers taken over into a ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kdgat.errors import Refused, SlurmError
from kdgat.ledger.jobs import Job, JobState
from kdgat.ledger.record import new_run_id
from kdgat.ledger.states import State
from kdgat.ops.cancel import cancel
from kdgat.ops.jobs import status
from kdgat.ops.usage import efficiency, queue
from kdgat.slurm.client import Slurm
from kdgat.slurm.queue import FINAL
from kdgat.slurm.reconcile import reconcile
from kdgat.workspace import Workspace
from tests.slurm.lab import wait_until
from tests.unit.slurm.given import give, job, run_of

pytestmark = pytest.mark.slurm

_SCRIPT = """#!/bin/bash
#SBATCH --account=PAS3209
#SBATCH --partition=cpu
#SBATCH --mem=100M
#SBATCH --output=job-%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
{options}
{body}
"""
Submit = Callable[..., Job]


@pytest.fixture
def client(slurm: Mapping[str, str]) -> Slurm:
    return Slurm(slurm)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


@pytest.fixture
def submit(ws: Workspace, client: Slurm) -> Iterator[Submit]:
    """Gives a script with one run a task to Slurm; what is left of it is cancelled at the end."""
    given: list[str] = []

    def give_to_slurm(
        body: str, *runs: str, options: str = "--time=5", needs: tuple[Job, ...] = (),
        forget: bool = False,
    ) -> Job:  # fmt: skip
        job_id = new_run_id()
        intended = job(
            job_id, *runs, state=JobState.INTENDED, scheduler_id=None,
            created_at=datetime.now(UTC).isoformat(), needs=tuple(each.job_id for each in needs),
        )  # fmt: skip
        folder = give(ws, intended, state=State.PLANNED if forget else State.SUBMITTED)
        array = f" --array=0-{len(runs) - 1}" if len(runs) > 1 else ""
        words = f"--job-name={intended.name} {options}{array}"
        lines = "\n".join(f"#SBATCH {word}" for word in words.split())
        folder.script.write_text(_SCRIPT.format(options=lines, body=body))
        ids = ":".join(each.scheduler_id or "" for each in needs)
        after = (f"--dependency=afterok:{ids}", "--kill-on-invalid-dep=yes") if needs else ()
        scheduler_id = client.sbatch(Path("job.sh"), cwd=folder.path, options=after)
        given.append(scheduler_id)
        if forget:
            return intended
        return folder.update(state=JobState.SUBMITTED, scheduler_id=scheduler_id)

    yield give_to_slurm
    for scheduler_id in given:
        client.cancel(scheduler_id)


def states(client: Slurm, given: Job) -> list[str]:
    rows = (row for row in client.squeue() if row.array_id == given.scheduler_id)
    return [row.state for row in sorted(rows, key=lambda row: row.task or 0)]


def ended(client: Slurm, given: Job) -> Callable[[], bool]:
    return lambda: all(state in FINAL for state in states(client, given))


def later() -> datetime:
    """A time at which a job that ended now has had its time."""
    return datetime.now(UTC) + timedelta(minutes=5)


def test_ends_of_every_kind_are_taken_over(ws: Workspace, client: Slurm, submit: Submit) -> None:
    fails = submit("exit 3", "fails")
    killed = submit("kill -9 $$", "killed")
    quiet = submit("true", "quiet")
    child = submit("true", "child", needs=(fails,))
    late = submit("sleep 300", "late", options="--time=1")
    for each in (fails, killed, quiet, child):
        wait_until(ended(client, each))
    reconcile(ws, client, now=later())
    reasons = {run: run_of(ws, run).record().reason for run in ("fails", "killed", "quiet")}
    assert reasons == {
        "fails": "its job failed: exit status 3 (FAILED)",
        "killed": "its job failed: killed (signal 9), perhaps for memory (FAILED)",
        "quiet": "its job ended and it wrote no end",
    }
    after = run_of(ws, "child").record()
    assert after.state is State.CANCELLED
    assert "fails, did not complete: its job failed: exit status 3" in (after.reason or "")
    wait_until(ended(client, late), 120)
    reconcile(ws, client, now=later())
    assert run_of(ws, "late").record().reason == "met its time limit of 00:01:00"
    assert reconcile(ws, client).jobs == ()


def test_sacct_alone_tells_the_same(ws: Workspace, client: Slurm, submit: Submit) -> None:
    fails = submit("exit 3", "fails")
    child = submit("true", "child", needs=(fails,))
    wait_until(ended(client, child))
    ids = [fails.scheduler_id or "", child.scheduler_id or ""]
    since = datetime.now(UTC) - timedelta(hours=1)
    names = [fails.name, child.name]
    wait_until(lambda: {row.state for row in client.sacct(ids, since)} == {"FAILED", "CANCELLED"})
    # The database learns of a job's name and times one after the other.
    wait_until(lambda: {row.array_id for row in client.sacct([], since, names=names)} == set(ids))
    by_name = client.sacct([], since, names=names)
    never = next(row for row in by_name if row.name == child.name)
    assert (never.node, never.cancelled_by, never.reason) == (None, None, "Dependency")


def test_an_array_is_expanded_and_one_task_of_it_cancelled(
    ws: Workspace, client: Slurm, submit: Submit
) -> None:
    given = submit("sleep 60", "r0", "r1", "r2", options="--time=5 --hold")
    assert states(client, given) == ["PENDING"] * 3
    done = cancel(ws, ["r1"], client=client)
    assert [(each.scheduler_id, each.state, each.verified) for each in done.items] == [
        (f"{given.scheduler_id}_1", "CANCELLED", True)
    ]
    # Of a task that leaves a waiting array nothing is kept, neither by squeue nor by sacct.
    assert states(client, given) == ["PENDING", "PENDING"]
    assert [run_of(ws, f"r{n}").record().state for n in range(3)] == [
        State.SUBMITTED, State.CANCELLED, State.SUBMITTED,
    ]  # fmt: skip


def test_a_running_job_is_cancelled_and_what_needs_it_too(
    ws: Workspace, client: Slurm, submit: Submit
) -> None:
    given = submit("sleep 300", "teacher")
    child = submit("true", "student", needs=(given,))
    wait_until(lambda: states(client, given) == ["RUNNING"])
    (done,) = cancel(ws, ["teacher"], client=client).items
    assert (done.state, done.dependents) == ("CANCELLED", ("student",))
    wait_until(ended(client, child))
    reconcile(ws, client, now=later())
    assert "cancelled by " in (run_of(ws, "student").record().reason or "")


def test_a_requeued_job_waits_again(ws: Workspace, client: Slurm, submit: Submit) -> None:
    given = submit('[ "$SLURM_RESTART_COUNT" ] || scontrol requeue $SLURM_JOB_ID; sleep 60', "r")
    run_of(ws, "r").update(state=State.RUNNING)
    wait_until(lambda: any(
        row.restarts == 1 for row in client.squeue() if row.array_id == given.scheduler_id
    ))  # fmt: skip
    (row,) = status(ws, client=client).items
    assert row.restarts == 1
    if row.scheduler_state == "PENDING":
        assert row.state is State.SUBMITTED


def test_a_job_whose_submission_was_interrupted_is_found(
    ws: Workspace, client: Slurm, submit: Submit
) -> None:
    given = submit("sleep 60", "r", forget=True)
    assert client.named(given.name) is not None
    assert client.named(f"{given.name}-other") is None
    assert reconcile(ws, client).adopted == (given.job_id,)
    assert reconcile(ws, client).jobs[0].scheduler_id == client.named(given.name)


def test_a_refused_job_is_told_and_never_found(
    ws: Workspace, client: Slurm, submit: Submit
) -> None:
    with pytest.raises(Refused, match="time limit is invalid") as caught:
        submit("true", "r", options="--time=9-00:00:00")
    assert "--time" in caught.value.hint
    with pytest.raises(Refused, match="Invalid account"):
        submit("true", "s", options="--time=1 --account=nobodys")
    names = [f"kdgat-{path.name}" for path in ws.jobs.iterdir()]
    assert [client.named(name) for name in names] == [None, None]
    assert reconcile(ws, client).adopted == ()


def test_what_a_job_used_is_told(ws: Workspace, client: Slurm, submit: Submit) -> None:
    body = "python3 -c 'import time; x = bytearray(80_000_000); t = time.time()\n" \
           "while time.time() < t + 3 or time.process_time() < 2: pass'"  # fmt: skip
    given = submit(body, "r")
    wait_until(ended(client, given))

    def known() -> bool:
        try:
            return efficiency(ws, "r", client=client).state in FINAL
        except SlurmError:
            return False

    wait_until(known)
    used = efficiency(ws, "r", client=client)
    assert (used.used_memory_bytes or 0) > 80_000_000
    assert (used.cpu_s or 0) > 1


def test_the_cluster_is_described(ws: Workspace, client: Slurm) -> None:
    report = queue(ws, cluster=client.cluster_name(), client=client)
    loads = {each.name: each for each in report.partitions}
    assert {"cpu", "gpu", "debug"} <= set(loads)
    assert loads["gpu"].gpus == 2 * loads["gpu"].nodes
    assert "pas3209" in client.associations()


def test_a_controller_that_is_away_is_told_and_no_run_changes(
    ws: Workspace, slurm: Mapping[str, str], client: Slurm, submit: Submit, tmp_path: Path
) -> None:
    submit("sleep 60", "r")
    conf = Path(slurm["SLURM_CONF"])
    lines = conf.read_text().splitlines()
    away = ["SlurmctldPort=1" if line.startswith("SlurmctldPort=") else line for line in lines]
    (tmp_path / "slurm.conf").write_text("\n".join(away) + "\n")
    (tmp_path / "gres.conf").write_text((conf.parent / "gres.conf").read_text())
    gone = Slurm({**slurm, "SLURM_CONF": str(tmp_path / "slurm.conf")}, pauses_s=())
    report = status(ws, client=gone)
    assert "Unable to contact slurm controller" in report.scheduler
    assert run_of(ws, "r").record().state is State.SUBMITTED
