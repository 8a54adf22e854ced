"""Slurm's commands as small scripts on a PATH of their own, which print what a real one printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdgat.slurm.client import Slurm
from kdgat.slurm.queue import ACCOUNT_FIELDS, QUEUE_FIELDS

_SCRIPT = """#!/bin/sh
cd {folder}
echo "$@" >> {name}.calls
env > {name}.env
n=$(wc -l < {name}.calls)
while [ ! -e {name}.$n.rc ]; do n=$((n - 1)); done
cat {name}.$n.out
cat {name}.$n.err >&2
exit "$(cat {name}.$n.rc)"
"""


@dataclass(frozen=True)
class FakeSlurm:
    """A folder of commands; each answer is given once, the last one for ever after."""

    folder: Path

    def answers(self, name: str, *answers: tuple[int, str, str] | str) -> None:
        """What a command says: exit status, standard output and standard error, call by call."""
        for number, answer in enumerate(answers, start=1):
            rc, out, err = (0, answer, "") if isinstance(answer, str) else answer
            for kind, text in (("rc", str(rc)), ("out", out), ("err", err)):
                (self.folder / f"{name}.{number}.{kind}").write_text(text)
        script = self.folder / name
        script.write_text(_SCRIPT.format(folder=self.folder, name=name))
        script.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        """What a command was called with, call by call."""
        path = self.folder / f"{name}.calls"
        return path.read_text().splitlines() if path.is_file() else []

    def environ(self, name: str) -> dict[str, str]:
        """The environment of a command's last call."""
        lines = (self.folder / f"{name}.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def client(self, **environ: str) -> Slurm:
        """A client that finds these commands and waits for nothing."""
        path = f"{self.folder}:/usr/bin:/bin"
        return Slurm({"PATH": path, **environ}, pauses_s=(1.0, 2.0), sleep=lambda _: None)

    def sees(self, *rows: dict[str, object]) -> None:
        """What squeue tells; each row by what differs from a job that waits."""
        self.answers("squeue", "".join(queue_line(**row) for row in rows))

    def keeps(self, *rows: dict[str, object]) -> None:
        """What sacct tells; each row by what differs from a job that ended well."""
        self.answers("sacct", "".join(account_line(**row) for row in rows))


def queue_line(**cells: object) -> str:
    """A line of squeue as 22.05 prints it."""
    usual: dict[str, object] = {
        "ArrayJobID": "7", "JobArrayID": cells.get("ArrayJobID", "7"), "State": "PENDING",
        "Reason": "None", "Partition": "cpu", "NodeList": "", "SubmitTime": "2026-11-21T14:50:36",
        "StartTime": "N/A", "EndTime": "N/A", "TimeUsed": "0:00", "TimeLimit": "5:00",
        "RestartCnt": "0", "exit_code": "0", "Name": "kdgat-a",
    }  # fmt: skip
    row = {**usual, **cells}
    return "".join(f"{row[field]}|" for field in QUEUE_FIELDS) + "\n"


def account_line(**cells: object) -> str:
    """A line of sacct as 22.05 prints it."""
    usual: dict[str, object] = {
        "JobID": "7", "State": "COMPLETED", "ExitCode": "0:0", "Reason": "None",
        "Partition": "cpu", "NodeList": "pitzer01", "Submit": "2026-11-21T14:50:36",
        "Start": "2026-11-21T14:50:36", "End": "2026-11-21T14:51:16", "ElapsedRaw": "40",
        "TimelimitRaw": "5", "AllocCPUS": "1", "ReqMem": "200M", "MaxRSS": "",
        "TotalCPU": "00:03.523", "AllocTRES": "billing=1,cpu=1,mem=200M,node=1",
        "JobName": "kdgat-a",
    }  # fmt: skip
    row = {**usual, **cells}
    return "|".join(str(row[field]) for field in ACCOUNT_FIELDS) + "\n"
