"""How much an agent may submit by itself: `agent/mcp.toml`, and what it used of that.

What was used is counted from the jobs' own records, so that there is no counter to be lost.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from kdgat.configs.schema import Config
from kdgat.errors import PlanError, did_you_mean
from kdgat.ledger.plans import Price, marked_since, total
from kdgat.workspace import Workspace

FILE = Path("agent") / "mcp.toml"
_DAY = timedelta(days=1)


class Caps(Config):
    """Most that an agent may submit by itself; hours count each job's whole time limit."""

    jobs_per_day: int = Field(default=50, ge=0)
    """Jobs within 24 hours; each element of an array is one."""
    gpu_hours_per_day: float = Field(default=200.0, ge=0)
    """GPU-hours within 24 hours, with every restart."""
    gpu_hours_per_job: float = Field(default=100.0, ge=0)
    """GPU-hours of one submission, all of its jobs together, with every restart."""
    core_hours_per_day: float = Field(default=2000.0, ge=0)
    """Charged core-hours within 24 hours, with every restart."""


class Confirm(Config):
    """When a person is asked before something is done."""

    submit: Literal["when possible", "always", "never"] = "when possible"
    """`always` refuses where the agent's program can't ask."""


class Limits(Config):
    """The whole file; what it leaves out is as it stands here."""

    caps: Caps = Caps()
    """Most that may be submitted."""
    confirm: Confirm = Confirm()
    """What is asked before."""
    server: dict[str, Any] = Field(default_factory=dict)
    """How a client starts the server; `kdgat.agent.clients` reads and checks it."""


def load_limits(ws: Workspace) -> Limits:
    """The limits of a workspace; without a file the built-in ones.

    Raises:
        PlanError: the file can't be read or is wrong; names file and line.
    """
    path = ws.root / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Limits()
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"can't read '{path}': {error}", hint="mend the file") from error
    try:
        return Limits.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        line = match[1] if (match := re.search(r"at line (\d+)", str(error))) else "1"
        raise PlanError(f"{FILE}:{line}: no valid TOML: {error}", hint="mend that line") from error
    except ValidationError as error:
        raise _first_fault(error, text) from error


def check_price(ws: Workspace, adds: Price, *, now: datetime | None = None) -> None:
    """Refuse what an agent may not submit by itself.

    Args:
        ws: the workspace.
        adds: what would be submitted, with every restart.
        now: the present.

    Raises:
        PlanError: a cap would be exceeded; names it, what is used and what this would add.
        RunError: a job's record can't be read, so that nobody knows what is used.
    """
    caps = load_limits(ws).caps
    since = (now or datetime.now(UTC)) - _DAY
    used = total(mark.price for _, mark in marked_since(ws.jobs, since) if mark.by == "agent")
    for cap, what, before, more in (
        ("gpu_hours_per_job", "GPU-hours", 0.0, adds.gpu_hours),
        ("jobs_per_day", "jobs", used.jobs, adds.jobs),
        ("gpu_hours_per_day", "GPU-hours", used.gpu_hours, adds.gpu_hours),
        ("core_hours_per_day", "core-hours", used.core_hours, adds.core_hours),
    ):
        most = getattr(caps, cap)
        if more and before + more > most:
            daily = (
                f" within 24 hours, of which {_figure(before)} are used"
                if cap.endswith("_day")
                else ""
            )
            raise PlanError(
                f"this would take {_figure(more)} {what}, and {cap} allows an agent "
                f"{_figure(most)}{daily}",
                hint="submit less (--time and --max-restarts count), or ask the user to raise "
                f"{cap} in {FILE}, or to submit the plan by himself (`kdgat submit --plan`)",
            )


def _figure(value: float) -> str:
    """A number without more digits than a person wants, and never as 1e+04."""
    return f"{round(value, 2):,.15g}"


def _first_fault(error: ValidationError, text: str) -> PlanError:
    """The first fault of the file as one sentence."""
    fault = error.errors()[0]
    keys = [str(part) for part in fault["loc"]]
    where = f"{FILE}:{_line(text, keys)}"
    if fault["type"] == "extra_forbidden":
        tables = {"caps": Caps, "confirm": Confirm}
        known = (tables.get(keys[0], Limits) if len(keys) > 1 else Limits).model_fields
        hint = did_you_mean(keys[-1], known)
        return PlanError(f"{where}: there is no key {'.'.join(keys)}", hint=hint)
    given = fault["input"]
    value = f" = {given!r}" if isinstance(given, str | int | float | bool) else ""
    said = f"{fault['msg'][:1].lower()}{fault['msg'][1:]}"
    return PlanError(f"{where}: {'.'.join(keys)}{value}: {said}", hint="mend it in the file")


def _line(text: str, keys: list[str]) -> int:
    """The line of a key, or of its table where it stands in none of its own; counted from 1."""
    table, found = "", 1
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = match[1]
            found = number if keys[0] == table else found
        elif (match := re.match(r"\s*([\w.-]+)\s*=", line)) and (
            [*filter(None, [table]), match[1]] in (keys, keys[:1])
        ):
            return number
    return found
