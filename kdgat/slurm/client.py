"""Slurm's own commands: what kdgat asks of them, and what it makes of their answers.

The one place that starts them. Nothing goes through a shell, every call has an end, and a fault
that passes (a controller that restarts, a busy database) is tried again before it is told.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kdgat.errors import Refused, SlurmError, Unanswered
from kdgat.slurm.queue import (
    ACCOUNT_FIELDS,
    QUEUE_FIELDS,
    AccountRow,
    QueueRow,
    account_rows,
    queue_rows,
    records,
    settings,
)

_TIMEOUT_S = 60.0
_SUBMIT_TIMEOUT_S = 180.0
"""sbatch itself waits while the controller is too busy to take a job."""
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
_PATIENCE_S = 20.0
"""Nothing is tried again after it: each command itself tries for nine seconds to reach a host."""
_LOOK_BACK = timedelta(days=60)
_NODE_STATES = ("Partition", "Available", "Time", "Nodes", "StateLong", "CPUs", "Memory", "Gres")
_KEPT = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"})
_SETTINGS = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_", "SRUN_", "SALLOC_")
"""Beginnings of variables that change what the commands do or print; sbatch even takes them over
what the script says."""
_WHOLE_LISTS = {"SLURM_BITSTR_LEN": "0"}
"""Otherwise a long list of an array's tasks is cut off."""
_PASSING = re.compile(
    r"unable to contact slurm controller|socket timed out|connection (refused|reset|timed out)"
    r"|zero bytes were transmitted|transport endpoint|unexpected message"
    r"|persist(ent)?[ _]*(conn|init)|talking to the database|slurmdbd|unable to establish"
    r"|resource temporarily unavailable|temporarily unable|name or service not known"
    r"|communication (connection|shutdown) failure|message (send|receive) failure",
    re.IGNORECASE,
)
_NOT_TAKEN = re.compile(r"connect failure|connection refused|name or service not known", re.I)
"""Faults after which sbatch can't have handed the job over."""
_EVERY_STATE = (
    "--endtime=now+1day", "--state=BF,CA,CD,DL,F,NF,OOM,PD,PR,R,RQ,RS,RV,S,TO",
)  # fmt: skip
"""Without it, a search by name leaves out jobs that were cancelled before they could begin, and
with an end that is now, those that ended in this second."""
_NO_ACCOUNTING = "accounting storage is disabled"
_NEXT_STEPS = (
    (r"policy|submit limit|assoc|\bqos", "wait until jobs of yours ended, ask for less, or ask the "
     "cluster's staff for your limits"),
    (r"account", "`kdgat clusters show` lists the accounts; choose one with --account"),
    (r"partition", "`kdgat clusters show` lists the partitions; choose one with --partition"),
    (r"array", "submit fewer runs at once: `kdgat clusters show` tells the largest array"),
    (r"time limit|--time", "ask for less with --time: `kdgat clusters show` tells each "
     "partition's limit"),
    (r"memory|--mem", "ask for less with --memory-gb: `kdgat clusters show` tells what nodes have"),
    (r"processors|node count|node configuration|gres|gpus?\b", "ask for fewer GPUs, cores or "
     "nodes, or another --partition: `kdgat clusters show` tells what nodes have"),
    (r"dependency", "the job that must complete before is gone: `kdgat status --all` tells it"),
)  # fmt: skip


@dataclass(frozen=True)
class StartEstimate:
    """When a job would begin if it were given now."""

    starts_at: str
    """ISO 8601 in UTC."""
    nodes: str
    partition: str


class Slurm:
    """The scheduler of the machine this runs on."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        pauses_s: Sequence[float] = _PAUSES_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """The commands that are on the PATH of `environ` (default: this process's)."""
        given = os.environ if environ is None else environ
        kept = {
            name: value
            for name, value in given.items()
            if name in _KEPT or not name.startswith(_SETTINGS)
        }
        # A job takes over the environment of its sbatch: language and time zone stay the user's.
        self._own = kept
        self._plain = {**kept, "LC_ALL": "C", "TZ": "UTC", **_WHOLE_LISTS}
        self._pauses_s = tuple(pauses_s)
        self._sleep = sleep

    def present(self) -> bool:
        """Whether the commands are here at all."""
        return shutil.which("squeue", path=self._plain.get("PATH")) is not None

    def sbatch(self, script: Path, *, cwd: Path, options: Sequence[str] = ()) -> str:
        """Give a script to the scheduler.

        Args:
            script: the file's name, relative to `cwd`.
            cwd: the folder the job begins in.
            options: what sbatch is told besides, before the script's name.

        Returns:
            The job's id; of an array, the whole array's.

        Raises:
            Refused: it surely was not taken; the message has Slurm's words.
            Unanswered: it may have been taken: ask `named`.
            SlurmError: sbatch is not here.
        """
        words = ("sbatch", "--parsable", *options, str(script))
        pauses = self._pauses()
        while True:
            done = self._once(words, cwd=cwd, env=self._own, timeout_s=_SUBMIT_TIMEOUT_S)
            if done.returncode == 0:
                return _job_id(done.stdout)
            pause = next(pauses, None)
            if pause is None or not _NOT_TAKEN.search(done.stderr):
                break
            self._sleep(pause)
        if done.returncode < 0 or _PASSING.search(done.stderr):
            raise _unanswered("sbatch", done.stderr)
        raise refusal(done.stderr)

    def test_only(self, script: Path, *, cwd: Path, options: Sequence[str] = ()) -> StartEstimate:
        """Ask whether a script would be taken, and when it would begin; costs a job id.

        Raises:
            Refused: it would not be.
            SlurmError: no answer, or one that can't be read.
        """
        done = self._patiently(("sbatch", "--test-only", *options, str(script)), cwd=cwd)
        if done.returncode:
            raise refusal(done.stderr)
        said = re.search(
            r"to start at (\S+) using \S+ processors? on nodes? (\S+)(?: in partition (\S+))?",
            done.stderr,
        )
        if said is None:
            raise SlurmError(
                f"can't read what sbatch --test-only says: '{_sentence(done.stderr)}'",
                hint="submit without an estimate",
            )
        return StartEstimate(f"{said[1]}+00:00", said[2], said[3] or "")

    def squeue(self) -> list[QueueRow]:
        """Every job of the user that the controller still knows, ended ones for minutes too."""
        return self._queue()

    def sacct(
        self,
        ids: Iterable[str],
        since: datetime,
        *,
        names: Iterable[str] = (),
        steps: bool = False,
    ) -> list[AccountRow]:
        """What the accounting knows of jobs; nothing of those that ended seconds ago.

        Args:
            ids: schedulers' ids; an array's stands for all its tasks. None of them: no call.
            since: when the oldest of them was given; without it, sacct looks at today only.
            names: ask for jobs of these names instead, whose ids nobody knows.
            steps: tell the steps too, which alone know the memory that was used.
        """
        which = ("--name", ",".join(names), *_EVERY_STATE)
        if not which[1]:
            which = ("-j", ",".join(dict.fromkeys(ids)))
        if not which[1]:
            return []
        whole = () if steps else ("-X",)
        return self._accounts(*whole, *which, f"--starttime={_stamp(since)}")

    def named(self, name: str, since: datetime | None = None) -> str | None:
        """The id of the job that was given under a name, wherever it stands; None: there is none.

        Raises:
            SlurmError: not everything was answered, so that nobody knows.
        """
        for row in self._queue(f"--name={name}"):
            if not row.never_taken:
                return row.array_id
        start = _stamp(since or datetime.now(UTC) - _LOOK_BACK)
        try:
            rows = self._accounts("-X", f"--name={name}", f"--starttime={start}", *_EVERY_STATE)
        except SlurmError as error:
            if _NO_ACCOUNTING in error.problem.lower():
                return None
            raise
        return next((row.array_id for row in rows if not row.never_taken), None)

    def cancel(self, job_id: str) -> None:
        """Ask for a job's or a task's end; whether it came is told by its state alone."""
        done = self._patiently(("scancel", job_id))
        if done.returncode and not re.search(r"invalid job id|already complet", done.stderr, re.I):
            raise SlurmError(
                f"scancel did not cancel job {job_id}: {_sentence(done.stderr)}",
                hint="`kdgat status` tells whether it still runs; try again",
            )

    def sinfo(self) -> list[dict[str, str]]:
        """One row a partition and state of nodes, by the names of `sinfo -O`."""
        form = ",".join(f"{field}:|" for field in _NODE_STATES)
        lines = (line.split("|") for line in self._ask("sinfo", "-h", "-O", form).splitlines())
        return [dict(zip(_NODE_STATES, line, strict=False)) for line in lines if len(line) > 1]

    def nodes(self) -> list[dict[str, str]]:
        """Every node, by the names of `scontrol show node`."""
        return records(self._ask("scontrol", "show", "node", "-o"))

    def show_config(self) -> dict[str, str]:
        """The scheduler's settings."""
        return settings(self._ask("scontrol", "show", "config"))

    def show_partitions(self) -> list[dict[str, str]]:
        """Every partition, by the names of `scontrol show partition`."""
        return records(self._ask("scontrol", "show", "partition", "-o"))

    def cluster_name(self) -> str:
        """The name the cluster has for its scheduler."""
        return self.show_config().get("ClusterName", "")

    def associations(self) -> list[str]:
        """Accounts the user may charge, as the database spells them (in lower case)."""
        user = pwd.getpwuid(os.getuid()).pw_name
        told = self._ask("sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=account")
        return list(dict.fromkeys(line.strip() for line in told.splitlines() if line.strip()))

    def start_estimates(self) -> dict[str, str]:
        """When waiting jobs are expected to begin, by id; those the scheduler reckoned with."""
        rows = (row for row in self.squeue() if row.state == "PENDING")
        return {row.id: row.started_at for row in rows if row.started_at}

    def _queue(self, *which: str) -> list[QueueRow]:
        form = ",".join(f"{field}:|" for field in QUEUE_FIELDS)
        told = self._ask("squeue", "--me", "-h", "-r", "--states=all", *which, "-O", form)
        return queue_rows(told)

    def _accounts(self, *arguments: str) -> list[AccountRow]:
        form = ",".join(ACCOUNT_FIELDS)
        told = self._ask("sacct", "-P", "-n", *arguments, f"--format={form}")
        return account_rows(told)

    def _ask(self, *words: str) -> str:
        done = self._patiently(words)
        if done.returncode == 0 and _NO_ACCOUNTING not in done.stderr.lower():
            return done.stdout
        raise SlurmError(
            f"{words[0]} failed: {_sentence(done.stderr) or f'it exited {done.returncode}'}",
            hint=f"see what '{' '.join(words[:3])}' says in a shell",
        )

    def _patiently(
        self, words: Sequence[str], cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Ask what may be asked again, until an answer comes.

        Raises:
            Unanswered: none came.
        """
        pauses = self._pauses()
        while True:
            done = self._once(words, cwd=cwd, env=self._plain, timeout_s=_TIMEOUT_S)
            passing = done.returncode < 0 or (done.returncode and _PASSING.search(done.stderr))
            if not passing:
                return done
            pause = next(pauses, None)
            if pause is None:
                raise _unanswered(words[0], done.stderr)
            self._sleep(pause)

    def _pauses(self) -> Iterator[float]:
        """Seconds to wait before each further try."""
        until = time.monotonic() + _PATIENCE_S
        return (pause for pause in self._pauses_s if time.monotonic() < until)

    def _once(
        self, words: Sequence[str], *, cwd: Path | None, env: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        command = shutil.which(words[0], path=env.get("PATH"))
        if command is None:
            raise SlurmError(
                f"'{words[0]}' is not on PATH here",
                hint="log in to the cluster's login node, or use --cluster local",
            )
        try:
            return subprocess.run(
                [command, *words[1:]],
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            late = f"no answer within {timeout_s:.0f} s"
            return subprocess.CompletedProcess(list(words), -1, "", late)
        except OSError as error:
            raise SlurmError(
                f"can't start '{command}': {error.strerror or error}",
                hint="see whether it can be started in a shell",
            ) from error


def refusal(said: str) -> Refused:
    """What to tell of a job that was not taken, from sbatch's standard error."""
    words = _sentence(said) or "it gave no reason"
    found = (step for pattern, step in _NEXT_STEPS if re.search(pattern, words, re.IGNORECASE))
    return Refused(
        f"Slurm refused the job: {words}",
        hint=next(found, "see `kdgat clusters show`, and what sbatch says of the script"),
    )


def _unanswered(command: str, said: str) -> Unanswered:
    return Unanswered(
        f"Slurm does not answer ({command}: {_sentence(said) or 'it was killed'})",
        hint="try again in a minute: nothing that was given to it is lost",
    )


def _job_id(said: str) -> str:
    """The id of `123` or `123;cluster`.

    Raises:
        Unanswered: it is neither: the job was taken, under an id nobody knows.
    """
    lines = said.split()
    job_id = lines[-1].partition(";")[0] if lines else ""
    if not job_id.isdigit():
        raise _unanswered("sbatch", f"it answered '{said.strip()}', which is no job's id")
    return job_id


def _sentence(said: str) -> str:
    """Slurm's words in one sentence, without what only says who speaks."""
    parts: list[str] = []
    for line in said.splitlines():
        words = re.sub(r"^\s*(\w+: )?((error|fatal|warning): )?", "", line).strip()
        words = words.removeprefix("Batch job submission failed: ")
        if words and words not in parts and not words.startswith("Try "):
            parts.append(words)
    return "; ".join(parts)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
