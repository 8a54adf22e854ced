"""What a scheduler's word makes of a run: its state, and the reason in a sentence."""

from __future__ import annotations

import pwd
from dataclasses import dataclass

from kdgat.ledger.record import RunRecord
from kdgat.ledger.states import State
from kdgat.slurm.cluster import show_time
from kdgat.slurm.poll import LEFT_OUT, TaskStatus

_OPEN = frozenset({State.PLANNED, State.SUBMITTED, State.RUNNING, State.LOST})
"""States without an end that the run wrote itself."""
_BACK_IN_THE_QUEUE = frozenset(
    {State.PLANNED, State.RUNNING, State.LOST, State.TIMEOUT, State.PREEMPTED}
)
"""States that a run leaves when the scheduler has put its job back into the queue."""
_KILL = 9
_SIGNALLED = 128
_WORDS = {
    "NODE_FAIL": "its node failed (NODE_FAIL)",
    "BOOT_FAIL": "its node did not start (BOOT_FAIL)",
    "LAUNCH_FAILED": "its node could not start it (LAUNCH_FAILED)",
    "OUT_OF_MEMORY": "it used more memory than it asked for (OUT_OF_MEMORY)",
    "DEADLINE": "it could not end before its deadline (DEADLINE)",
    "REVOKED": "another cluster took it (REVOKED)",
}


@dataclass(frozen=True)
class Verdict:
    """The state a run is in by the scheduler's word."""

    state: State
    reason: str | None = None
    ended_at: str | None = None


def judge(record: RunRecord, status: TaskStatus, *, alive: bool = False) -> Verdict | None:
    """What the scheduler's word makes of a run; None: it stays as it is.

    Args:
        record: the run.
        status: what the scheduler says of its task.
        alive: whether the run shows signs of life that its ended or waiting task can't give.
    """
    if record.state is State.COMPLETED or alive:
        return None
    by_signal = record.reason is not None and "SIGTERM" in record.reason
    if status.waits:
        again = record.state in _BACK_IN_THE_QUEUE or by_signal
        return Verdict(State.SUBMITTED) if again else None
    if not status.final or (record.state not in _OPEN and not by_signal):
        return None
    if status.reason == LEFT_OUT and record.state not in (State.PLANNED, State.SUBMITTED):
        # It began, whatever became of it: then it was not left out.
        return None
    state, reason = _end(status)
    return Verdict(state, reason, status.ended_at)


def _end(status: TaskStatus) -> tuple[State, str]:
    """The state and the reason of a task that has ended."""
    match status.state:
        case "TIMEOUT":
            limit = f" of {show_time(status.time_limit_s)}" if status.time_limit_s else ""
            return State.TIMEOUT, f"met its time limit{limit}"
        case "PREEMPTED":
            return State.PREEMPTED, "preempted: the scheduler gave its nodes to another job"
        case "CANCELLED":
            return State.CANCELLED, f"its job was cancelled{_by(status.cancelled_by)}"
        case "COMPLETED":
            return State.FAILED, "its job ended and it wrote no end"
        case "FAILED":
            return State.FAILED, f"its job failed: {_exit(status.exit_code)} (FAILED)"
        case _:
            return State.FAILED, _WORDS.get(status.state, f"its job ended as {status.state}")


def _exit(code: str | None) -> str:
    """What an exit code as Slurm gives it says.

    Without cgroups Slurm does not see a kill for memory as one. And sacct takes 128 off a larger
    status, so that of its `9:0` nobody can tell whether a signal was meant.
    """
    status, _, signal = (code or "").partition(":")
    killed = "killed (signal 9), perhaps for memory"
    if signal == str(_KILL) or status == str(_SIGNALLED + _KILL):
        return killed
    if signal not in ("", "0"):
        return f"killed (signal {signal})"
    if status == str(_KILL):
        return f"exit status 9, or {killed}"
    return f"exit status {status}" if status else "Slurm gives no exit status"


def _by(user: str | None) -> str:
    """` by NAME` of the number of a user."""
    if user is None:
        return ""
    try:
        return f" by {pwd.getpwuid(int(user)).pw_name}"
    except (KeyError, ValueError, OverflowError):
        return f" by {user}"
