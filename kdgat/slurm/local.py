"""Work on this machine, in processes of its own: a job's script without a scheduler, frozen code.

The script is the one that a scheduler would get, run by bash.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kdgat.errors import SlurmError

_LOOK_S = 0.5
_LEAVE_S = 60.0
"""Seconds that an interrupted job has to save and leave."""
_FIRST_WORD_S = 120.0
"""Seconds that a process has to begin: a cold import from a shared disk takes long."""
_ALONE = '"$@" 2>>"$0" &'
"""Starts a command in the background and leaves; `$0` is the log."""
_ELSEWHERE = ("SLURM_", "SRUN_")
"""Beginnings of variables by which a script would take this for a scheduler's job."""


def run_script(
    script: Path,
    log: Path,
    task: int,
    *,
    waiting: Callable[[], None] = lambda: None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run one task of a job's script to its end.

    An interrupt is passed on, and raised when the script has ended.

    Args:
        script: the job's script; it runs in its folder.
        log: what it prints is added to this file.
        task: the task's number.
        waiting: called again and again meanwhile.
        environ: environment variables; by default this process's.

    Returns:
        The exit status, negative for the signal that ended it.

    Raises:
        SlurmError: bash can't be started, or the log can't be written.
    """
    given = os.environ if environ is None else environ
    kept = {name: value for name, value in given.items() if not name.startswith(_ELSEWHERE)}
    try:
        with log.open("ab") as out:
            # A session of its own: a Ctrl-C then reaches it once, by way of `_until_end`.
            job = subprocess.Popen(
                ["bash", str(script)],
                cwd=script.parent,
                env={**kept, "KDGAT_TASK": str(task)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise SlurmError(
            f"'{script}' can't be run here: {error}",
            hint="see whether bash is on PATH, and the folder can be written to",
        ) from error
    return _until_end(job, waiting)


def run_frozen(code: Path, home: Path, arguments: Sequence[str]) -> str:
    """Run `kdgat ARGUMENTS` with frozen code; what it says on standard error is passed on.

    Args:
        code: the frozen checkout.
        home: the workspace's folder of everything written at run time.
        arguments: the command's words.

    Returns:
        What it printed.

    Raises:
        SlurmError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "kdgat.cli.main", *arguments],
        # Python takes code from the folder it starts in before all other.
        cwd=code,
        env={**os.environ, **_frozen(code, home)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SlurmError(
            f"kdgat {arguments[0]} failed with the code in '{code}' (exit status "
            f"{done.returncode})",
            hint="its own message stands above; without --snapshot the code of today does it",
        )
    return done.stdout


def start_alone(arguments: Sequence[str], *, code: Path, home: Path, log: Path) -> bool:
    """Start `kdgat ARGUMENTS` with frozen code in a session of its own; wait for its first word.

    It is no child of this process, which may end before it, or live long and would have to bury it.

    Args:
        arguments: the command's words; it prints a line once it is at work.
        code: the frozen checkout.
        home: the workspace's folder of everything written at run time.
        log: what it says on standard error is added to this file.

    Returns:
        Whether it said its word; False where it ended before, or took longer than two minutes.

    Raises:
        SlurmError: bash can't be started.
    """
    command = [sys.executable, "-m", "kdgat.cli.main", *arguments]
    try:
        starter = subprocess.Popen(
            ["bash", "-c", _ALONE, str(log), *command],
            cwd=code,
            env={**os.environ, **_frozen(code, home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise SlurmError(
            f"bash can't be started in '{code}': {error}",
            hint="see whether bash is on PATH, and whether that folder is still there",
        ) from error
    with starter as shell:
        assert shell.stdout is not None
        ready, _, _ = select.select([shell.stdout], [], [], _FIRST_WORD_S)
        return bool(ready) and bool(shell.stdout.readline())


def _frozen(code: Path, home: Path) -> dict[str, str]:
    """The environment of kdgat with frozen code."""
    path = os.pathsep.join(filter(None, (str(code), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "KDGAT_ROOT": str(code), "KDGAT_HOME": str(home)}


def _until_end(job: subprocess.Popen[bytes], waiting: Callable[[], None]) -> int:
    try:
        while True:
            try:
                return job.wait(timeout=_LOOK_S)
            except subprocess.TimeoutExpired:
                waiting()
    except BaseException:
        _end(job)
        raise


def _end(job: subprocess.Popen[bytes]) -> None:
    """Interrupt all that the script started, and after a while end it."""
    deadline = time.monotonic() + _LEAVE_S
    for each in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(job.pid, each)
        except ProcessLookupError:
            break
        try:
            job.wait(timeout=max(0.0, deadline - time.monotonic()) or None)
            break
        except subprocess.TimeoutExpired:
            continue
