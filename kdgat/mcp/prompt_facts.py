"""What prompts tell of the workspace: cheap facts, and text of others as quotations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from kdgat.errors import ConfigError, RunError
from kdgat.mcp.resources import quoted
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ledger.record import RunRecord

MOST_RUNS = 8
_NEWEST = 5
_LOG_LINES = 30
_FIGURES = 8
_LONGEST_LINE = 200
_LONGEST_QUOTE = 3_000


def given(what: str, text: str) -> str:
    """What the user gave, set apart from what he asks for."""
    lines = "\n".join(f"> {line}" for line in text.splitlines())
    return f"As given, {what}:\n\n{lines}"


def of_workspace(ws: Workspace) -> str:
    """The newest runs, so that nobody proposes what was done yesterday."""
    from kdgat.ledger.scan import readable, run_folders

    folders = run_folders(ws.runs)
    if not folders:
        return "This workspace has no run yet."
    lines = [_line(record) for _, record in islice(readable(folders), _NEWEST)]
    return "\n".join([f"The newest of {len(folders):,} runs here:", *lines])


def of_runs(ws: Workspace, names: Sequence[str]) -> str:
    """The runs that are named, with their figures.

    Raises:
        RunError: there is no such run.
        ConfigError: they are more than a comparison takes.
    """
    from kdgat.runs.registry import run_named

    if len(names) > MOST_RUNS:
        raise ConfigError(
            f"{len(names)} runs are more than the {MOST_RUNS} of one write-up",
            hint="name those that decide it, or give a topic",
        )
    records = [run_named(ws, name).current() for name in names]
    return "\n".join(["The runs:", *(_line(each) + _figures(each) for each in records)])


def of_run(ws: Workspace, reference: str) -> str:
    """What is known of a run that may have gone wrong; its reason and its log are quoted.

    Raises:
        RunError: there is no such run, or its record can't be read.
    """
    from kdgat.ledger.states import State
    from kdgat.ops.runs import show_run

    view = show_run(ws, reference)
    record = view.record
    lines = [_line(record), f"- attempts: {record.attempts}; epochs: {len(view.epochs)}"]
    if record.teacher:
        lines.append(f"- taught by: {record.teacher}")
    if record.subject:
        lines.append(f"- judges: {record.subject}")
    lines += [f"- {each.get('time')}: {each.get('event')}" for each in view.events[-_NEWEST:]]
    if record.state is State.COMPLETED:
        lines.append("- it was completed: as far as the ledger tells, nothing went wrong")
    parts = ["\n".join(["The run, its newest events last:", *map(_short, lines)])]
    if record.reason:
        parts.append(quoted("its reason", record.reason, "`runs` shows it", most=_LONGEST_QUOTE))
    return "\n\n".join([*parts, _log(ws, record)])


def _log(ws: Workspace, record: RunRecord) -> str:
    if record.job is None:
        return "It had no job, so no log was kept: what it printed is in its user's terminal."
    from kdgat.ops.jobs import logs

    try:
        view = logs(ws, record.run_id, lines=_LOG_LINES)
    except RunError as error:
        return f"Its log can't be read: {error.problem}."
    if not view.text.strip():
        return f"Its log is empty: {view.note or 'nothing was printed'}."
    # The end of a log tells what went wrong.
    text = "\n".join(_short(line) for line in view.text.splitlines())[-_LONGEST_QUOTE + 200 :]
    return quoted(f"the end of its log, '{view.path}'", text, "`status` has more")


def _line(record: RunRecord) -> str:
    simulated = ", simulated data" if record.provenance == "simulated" else ""
    return (
        f"- {record.run_id}: {record.name}, {record.stage}, seed {record.seed}, "
        f"{record.state.value}{simulated}"
    )


def _figures(record: RunRecord) -> str:
    known = {name: value for name, value in record.metrics.items() if value is not None}
    shown = (f"{name} {value:.4g}" for name, value in islice(known.items(), _FIGURES))
    more = f", and {len(known) - _FIGURES} more" if len(known) > _FIGURES else ""
    return f"\n  {', '.join(shown)}{more}" if known else ""


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."
