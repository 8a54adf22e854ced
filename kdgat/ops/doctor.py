"""The doctor: what is wrong with this workspace and this machine, and mending what is safe to mend.

Nothing is changed without `fix`; with it, only what kdgat made and can make again: stale generated
files, runs whose process died, leftovers, damaged caches, the hooks' log.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdgat.agent.given import Given
from kdgat.errors import WorkspaceError
from kdgat.ops.checkup.finding import Check, Finding, Found, Surroundings, of_error
from kdgat.ops.checkup.lines import line_at, line_of
from kdgat.ops.checkup.running import Checked, mended, run_checks
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

_PYPROJECT = "pyproject.toml"


@dataclass(frozen=True)
class Diagnosis:
    """What was found, and what was done about it."""

    findings: tuple[Finding, ...]
    """Problems first; without those that were mended."""
    mended: tuple[str, ...]
    """What `fix` did, or would do."""
    checks: tuple[Checked, ...]
    dry_run: bool
    seconds: float

    @property
    def problems(self) -> int:
        """How many findings are no mere notes."""
        return sum(each.severity == "problem" for each in self.findings)


def doctor(
    ws: Workspace,
    context: Given,
    *,
    more: Sequence[Check] = (),
    fix: bool = False,
    dry_run: bool = False,
    progress: Progress = quiet,
) -> Diagnosis:
    """Look at everything; every check is independent of the others and limited in time.

    Args:
        ws: the workspace.
        context: commands and tools, which layers above have.
        more: their checks.
        fix: mend what is safe to mend.
        dry_run: only tell what `fix` would mend.
        progress: told of every check.
    """
    from kdgat.ops.checkup.table import CHECKS

    began = time.monotonic()
    checks = (*more, *CHECKS)
    found, went = run_checks(checks, Surroundings.here(ws, context), progress)
    done: list[str] = []
    if fix and dry_run:
        done = [f"{each.finding.what}: {each.finding.fix}" for each in found if each.mend]
    elif fix:
        done, found = mended(found)
    findings = sorted((each.finding for each in found), key=lambda each: each.severity == "note")
    seconds = round(time.monotonic() - began, 3)
    return Diagnosis(tuple(findings), tuple(done), tuple(went), dry_run, seconds)


def find_workspace() -> tuple[Workspace, tuple[Check, ...]]:
    """The workspace here, also where its settings are wrong: then with a check that says so.

    Raises:
        WorkspaceError: there is none.
    """
    try:
        return Workspace.find(), ()
    except WorkspaceError as error:
        here = Path.cwd()
        for root in (here, *here.parents):
            if f"'{root / _PYPROJECT}'" in error.problem:
                where = f"{_PYPROJECT}:{_line(_text(root / _PYPROJECT), error)}"
                found = of_error("workspace", error, where=where)
                return Workspace(root, root / ".kdgat"), (_telling(found),)
        raise


def _telling(found: Found) -> Check:
    return Check("workspace", lambda _: (found,), "kdgat config show")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _line(text: str, error: WorkspaceError) -> int:
    """Of broken TOML its line, else that of the setting or the table."""
    if error.__cause__ is not None:
        return line_of(text, error)
    keys = ("tool", "kdgat")
    setting = error.problem.rpartition("unknown setting '")[2].rstrip("'")
    return line_at(text, (*keys, setting if "unknown" in error.problem else "home"))
