"""What squeue, sacct and scontrol print, as values; seen on Slurm 22.05.

Both commands are asked in UTC, so that no clock change makes a time ambiguous. The job's name is
the last column: it is the only one that may hold a separator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

QUEUE_FIELDS = (
    "ArrayJobID", "JobArrayID", "State", "Reason", "Partition", "NodeList", "SubmitTime",
    "StartTime", "EndTime", "TimeUsed", "TimeLimit", "RestartCnt", "exit_code", "Name",
)  # fmt: skip
"""What squeue is asked for, in order. `-O` and not `-o`: only it knows how often a job began."""
ACCOUNT_FIELDS = (
    "JobID", "State", "ExitCode", "Reason", "Partition", "NodeList", "Submit", "Start", "End",
    "ElapsedRaw", "TimelimitRaw", "AllocCPUS", "ReqMem", "MaxRSS", "TotalCPU", "AllocTRES",
    "JobName",
)  # fmt: skip
"""What sacct is asked for, in order."""
WAITING = frozenset({
    "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT",
    "RESV_DEL_HOLD",
})  # fmt: skip
"""States of a job that waits for its turn, or for its next one."""
AT_WORK = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT",
                     "RESIZING"})  # fmt: skip
"""States of a job that has its nodes."""
FINAL = frozenset({
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL",
    "OUT_OF_MEMORY", "DEADLINE", "REVOKED", "LAUNCH_FAILED",
})  # fmt: skip
"""States a job never leaves, but by a requeue."""

_NOTHING = frozenset({"", "N/A", "(null)", "None", "Unknown", "None assigned", "NONE", "INVALID"})
_SUFFIXES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_MOST_TASKS = 100_000


@dataclass(frozen=True)
class QueueRow:
    """One job, or one task of an array, as the queue tells it. Times are ISO 8601 in UTC."""

    id: str
    """`123`, or `123_4` in an array."""
    array_id: str
    """Without the task: what sbatch answered."""
    task: int | None
    state: str
    reason: str | None
    partition: str
    node: str | None
    submitted_at: str | None
    started_at: str | None
    """For a waiting job, when it is expected to begin."""
    ended_at: str | None
    """For a job that has not ended, when its time limit would end it."""
    elapsed_s: int | None
    time_limit_s: int | None
    restarts: int
    exit_code: str | None
    """Exit status and signal, `0:9`; None before the end."""
    name: str

    @property
    def never_taken(self) -> bool:
        """Whether Slurm refused it at the door; it keeps even those for minutes.

        They are FAILED at the second of their submission and never had a node.
        """
        return self.state == "FAILED" and self.node is None and not self.elapsed_s


@dataclass(frozen=True)
class AccountRow:
    """One job, task or step, as the accounting tells it. Times are ISO 8601 in UTC."""

    id: str
    array_id: str
    task: int | None
    step: str | None
    """`batch`, `extern`, `0`, ...; None for the job itself."""
    state: str
    cancelled_by: str | None
    """Who cancelled it, as the number of a user."""
    exit_code: str | None
    reason: str | None
    partition: str
    node: str | None
    submitted_at: str | None
    started_at: str | None
    ended_at: str | None
    elapsed_s: int | None
    time_limit_s: int | None
    cores: int | None
    asked_memory_bytes: int | None
    used_memory_bytes: int | None
    """The most one task of a step held at once; only steps tell it."""
    cpu_s: float | None
    tres: dict[str, str]
    """What it was given: cpu, mem, node, gres/gpu, ..."""
    name: str

    @property
    def never_taken(self) -> bool:
        """Whether Slurm refused it at the door; it keeps an account even of those."""
        return self.state == "FAILED" and self.node is None and not self.elapsed_s


def queue_rows(text: str) -> list[QueueRow]:
    """The rows of `squeue -h -O QUEUE_FIELDS`, each with `|` behind; arrays are expanded."""
    rows: list[QueueRow] = []
    for line in text.splitlines():
        cells = line.removesuffix("|").split("|", len(QUEUE_FIELDS) - 1)
        if len(cells) == len(QUEUE_FIELDS):
            rows.extend(_queue_rows(*(cell.strip() for cell in cells)))
    return rows


def _queue_rows(
    array_id: str, shown: str, state: str, reason: str, partition: str, node: str, submit: str,
    start: str, end: str, used: str, limit: str, restarts: str, status: str, name: str,
) -> Iterator[QueueRow]:  # fmt: skip
    row = QueueRow(
        id=array_id,
        array_id=array_id,
        task=None,
        state=state,
        reason=_or_none(reason),
        partition=partition,
        node=_or_none(node),
        submitted_at=_time(submit),
        started_at=_time(start),
        ended_at=_time(end),
        elapsed_s=duration_s(used),
        time_limit_s=duration_s(limit),
        restarts=int(restarts) if restarts.isdigit() else 0,
        exit_code=_wait_status(status) if state in FINAL else None,
        name=name,
    )
    for task in _tasks(shown):
        yield row if task is None else replace(row, id=f"{array_id}_{task}", task=task)


def account_rows(text: str) -> list[AccountRow]:
    """The rows of `sacct -P -n --format=ACCOUNT_FIELDS`; arrays that wait are expanded."""
    rows: list[AccountRow] = []
    for line in text.splitlines():
        cells = line.split("|", len(ACCOUNT_FIELDS) - 1)
        if len(cells) == len(ACCOUNT_FIELDS):
            rows.extend(_account_rows(*(cell.strip() for cell in cells)))
    return rows


def _account_rows(
    shown: str, said: str, code: str, reason: str, partition: str, node: str, submit: str,
    start: str, end: str, elapsed: str, limit: str, cores: str, asked: str, used: str, cpu: str,
    tres: str, name: str,
) -> Iterator[AccountRow]:  # fmt: skip
    job, _, step = shown.partition(".")
    array_id = job.partition("_")[0]
    state, _, by = said.partition(" by ")
    row = AccountRow(
        id=array_id,
        array_id=array_id,
        task=None,
        step=step or None,
        # "CANCELLED+": sacct cuts it off in its other formats, and some versions here too.
        state=state.removesuffix("+"),
        cancelled_by=by or None,
        exit_code=_or_none(code),
        reason=_or_none(reason),
        partition=partition,
        node=_or_none(node),
        submitted_at=_time(submit),
        started_at=_time(start),
        ended_at=_time(end),
        elapsed_s=int(elapsed) if elapsed.isdigit() else None,
        time_limit_s=60 * int(limit) if limit.isdigit() else None,
        cores=int(cores) if cores.isdigit() else None,
        asked_memory_bytes=memory_bytes(asked),
        used_memory_bytes=memory_bytes(used),
        cpu_s=_cpu_s(cpu),
        tres=dict(pair.split("=", 1) for pair in tres.split(",") if "=" in pair),
        name=name,
    )
    for task in _tasks(job):
        yield row if task is None else replace(row, id=f"{array_id}_{task}", task=task)


def records(text: str) -> list[dict[str, str]]:
    """The lines of `scontrol show ... -o`: `Key=value Key=value`, where a value may hold blanks."""
    found = []
    for line in text.splitlines():
        pairs = re.split(r"\s+(?=[A-Z][A-Za-z/:_&]*=)", line.strip())
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if values:
            found.append(values)
    return found


def settings(text: str) -> dict[str, str]:
    """The lines `Key = value` of `scontrol show config`."""
    pairs = (line.partition(" = ") for line in text.splitlines() if " = " in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def duration_s(text: str) -> int | None:
    """Seconds of `D-HH:MM:SS`, `HH:MM:SS` or `MM:SS`; None for what is no duration."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def memory_bytes(text: str) -> int | None:
    """Bytes of `200M`, `1540K` or `4Gn`; None for what is no size."""
    match = re.fullmatch(r"([\d.]+)([KMGTP]?)[nc]?", text)
    return round(float(match[1]) * _SUFFIXES[match[2]]) if match else None


def _tasks(shown: str) -> list[int | None]:
    """The tasks that a shown id stands for: none of `7`, one of `7_3`, three of `7_[0,4-5%2]`."""
    _, _, place = shown.partition("_")
    if not place:
        return [None]
    tasks: list[int | None] = []
    # A list that was too long for squeue ends in "...": what it names is all that is known.
    for part in place.strip("[]").partition("%")[0].split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if match:
            first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
            tasks.extend(range(first, min(last, first + _MOST_TASKS) + 1, max(step, 1)))
    return tasks or [None]


def _or_none(text: str) -> str | None:
    return None if text in _NOTHING else text


def _time(text: str) -> str | None:
    return f"{text}+00:00" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text) else None


def _wait_status(text: str) -> str | None:
    """Exit status and signal of what wait(2) gave, which is what squeue calls the exit code."""
    if not text.isdigit():
        return None
    return f"{(int(text) >> 8) & 255}:{int(text) & 127}"


def _cpu_s(text: str) -> float | None:
    """Seconds of `00:01.234` or `1-02:03:04`."""
    whole, _, part = text.partition(".")
    seconds = duration_s(whole)
    return None if seconds is None else seconds + (float(f"0.{part}") if part.isdigit() else 0.0)
