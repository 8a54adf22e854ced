"""What the history says to a question now: its `watch` SQL, and whether its trigger fired.

Both are SQL of a file, so they go through the guard and the limits that a user's SQL goes through;
one that is refused, wrong or slow is told beside the question and breaks nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from kdgat.errors import HistoryError
from kdgat.runs.guard import guarded
from kdgat.runs.history import History, ask
from kdgat.runs.open_questions import Question, Trigger
from kdgat.runs.rows import Row

WATCH_ROWS = 50
"""Rows of a `watch` that are told."""
WATCH_S = 5.0
"""Seconds that one statement of a file may take."""
TRIGGERS_S = 5.0
"""Seconds that the triggers of all questions together may take."""


@dataclass(frozen=True)
class Watched:
    """What a question's `watch` gives at this moment."""

    sql: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    truncated: bool
    problem: str | None = None
    """Why there is no answer."""


@dataclass(frozen=True)
class TriggerState:
    """Whether a question's trigger fired, and by what."""

    text: str
    fired: bool
    value: bool | float | None
    """What its SQL gave: a boolean, or a count, of which one suffices."""
    problem: str | None = None
    """Why nobody knows."""


def watched(history: History, sql: str) -> Watched:
    """The present answer to a question's `watch`."""
    try:
        table = ask(history, guarded(sql), max_rows=WATCH_ROWS, timeout_s=WATCH_S)
    except HistoryError as error:
        return Watched(sql, (), (), False, error.problem)
    return Watched(sql, table.columns, table.rows, table.truncated)


def trigger_state(
    history: History, trigger: Trigger, *, timeout_s: float = WATCH_S
) -> TriggerState:
    """Ask a trigger: it fired where its SQL gives true, or a count of one or more."""
    try:
        table = ask(history, guarded(trigger.sql), max_rows=2, timeout_s=timeout_s)
    except HistoryError as error:
        return TriggerState(trigger.text, False, None, error.problem)
    if len(table.rows) != 1 or len(table.columns) != 1:
        rows = "several rows" if len(table.rows) > 1 else f"{len(table.rows)} row"
        problem = f"its SQL gives {rows} of {len(table.columns)} columns, not one value"
        return TriggerState(trigger.text, False, None, problem)
    value = table.rows[0][0]
    if value is None:
        return TriggerState(trigger.text, False, None)
    if not isinstance(value, bool | int | float):
        problem = f"its SQL gives {str(value)!r:.40}, neither a boolean nor a count"
        return TriggerState(trigger.text, False, None, problem)
    return TriggerState(trigger.text, value >= 1, value)


def trigger_states(history: History, questions: Iterable[Question]) -> dict[str, TriggerState]:
    """The triggers by their question's id; slow ones leave later ones unasked.

    Those of answered and dropped questions are not asked: nothing is to be raised there. What is
    historical may come back.
    """
    deadline = time.monotonic() + TRIGGERS_S
    states: dict[str, TriggerState] = {}
    for each in questions:
        if each.trigger is None or each.status in ("answered", "dropped"):
            continue
        left = deadline - time.monotonic()
        if left > 0:
            states[each.id] = trigger_state(history, each.trigger, timeout_s=min(left, WATCH_S))
        else:
            problem = f"not asked: the triggers before it took {TRIGGERS_S:g} s"
            states[each.id] = TriggerState(each.trigger.text, False, None, problem)
    return states
