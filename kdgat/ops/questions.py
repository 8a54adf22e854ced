"""Operations on open questions: write them down, list, show, link, close and search them.

What a question's file says is data: its SQL goes through the guard of the history, and its text is
shown as a quotation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from kdgat.errors import HistoryError, QuestionError, did_you_mean
from kdgat.modes.evidence import Evidence, evidence_of
from kdgat.modes.finding import find
from kdgat.modes.question_edits import with_item, with_note, with_value
from kdgat.modes.questions import change_question, create_question, find_question
from kdgat.modes.relevance import Relevance, by_relevance, recent_runs, relevances
from kdgat.modes.watching import TriggerState, Watched, trigger_state, trigger_states, watched
from kdgat.ops.question_words import question_words
from kdgat.runs.history import MEMORY_MB, open_history
from kdgat.runs.open_questions import (
    LONGEST_TITLE,
    STATUSES,
    Question,
    Trigger,
    read_questions,
)
from kdgat.runs.registry import run_named
from kdgat.workspace import Workspace

RECENT_DAYS = 14
"""Days of runs, up to the newest, that relevance looks at."""
LOGGED = "logged"
"""Tag of a question that was raised in passing and that nobody worked out yet."""
Order = Literal["relevance", "number"]
Closing = Literal["answered", "dropped", "historical"]


@dataclass(frozen=True)
class QuestionItem:
    """A question in a list."""

    id: str
    title: str
    status: str
    tags: tuple[str, ...]
    opened: str
    closed: str | None
    runs: int
    """Runs linked as evidence."""
    trigger: TriggerState | None
    """Whether its trigger fired; None without one, and of answered and dropped questions."""
    score: float
    """Relevance to recent runs, only to be compared within this list."""
    why: str
    """What made it relevant, in words."""


@dataclass(frozen=True)
class QuestionList:
    """Questions, and what is wrong with files that are none."""

    items: tuple[QuestionItem, ...]
    total: int
    truncated: bool
    faults: tuple[str, ...]
    """A sentence for each file that is no question, with its line."""
    notes: tuple[str, ...]
    """Why relevance could not be asked for, if it could not."""


@dataclass(frozen=True)
class QuestionView:
    """One question: its file, and what the history says to it now."""

    question: Question
    evidence: tuple[Evidence, ...]
    watch: Watched | None
    trigger: TriggerState | None
    notes: tuple[str, ...]
    """Why the history could not be asked, if it could not."""


@dataclass(frozen=True)
class QuestionWritten:
    """What a command made of a question's file."""

    id: str
    title: str
    status: str
    file: str
    changed: bool
    """False where it was so before."""
    run_id: str | None = None
    """The run that was linked."""


@dataclass(frozen=True)
class QuestionHit:
    """A question that was found."""

    id: str
    title: str
    status: str
    score: float
    """From 0 to 1: the share of the query's words that it holds, rare words counting more."""
    quoted: str
    """The line of it that says most of what was asked."""


@dataclass(frozen=True)
class QuestionHits:
    """What a search found, best first."""

    items: tuple[QuestionHit, ...]
    total: int
    truncated: bool
    faults: tuple[str, ...]


def add_question(
    ws: Workspace,
    title: str,
    *,
    hypothesis: str = "",
    tags: Sequence[str] = (),
    trigger_text: str = "",
    trigger_sql: str = "",
    watch: str = "",
    body: str = "",
) -> QuestionWritten:
    """Write down an open question under the next free number.

    Args:
        ws: the workspace.
        title: the question in one line.
        hypothesis: what may turn out wrong.
        tags: a few words each; those that runs have too make it relevant to them.
        trigger_text: what raises the question, in words.
        trigger_sql: SQL over the history that gives one boolean or one count.
        watch: SQL over the history whose answer is shown with the question.
        body: the discussion, Markdown.

    Raises:
        QuestionError: the title is empty or too long, only one part of a trigger was given, or
            its SQL or that of `watch` can't be asked; then nothing is written.
        StorageError: the file system refused.
    """
    if bool(trigger_text.strip()) != bool(trigger_sql.strip()):
        raise QuestionError(
            "a trigger is words and SQL, and only one of them was given", hint="give both, or none"
        )
    trigger = Trigger(trigger_text, trigger_sql) if trigger_sql.strip() else None
    _check_sql(ws, watch.strip(), trigger)
    settings = {
        "title": title,
        "status": "open",
        "tags": [each.strip() for each in tags if each.strip()],
        "hypothesis": hypothesis.strip(),
        "trigger": {"text": trigger_text.strip(), "sql": trigger_sql.strip()} if trigger else None,
        "watch": watch.strip(),
        "opened": _today(),
    }
    return _written(create_question(ws, settings, body))


def log_question(ws: Workspace, text: str, *, context: str = "") -> QuestionWritten:
    """Keep a question that was raised in passing, so that the work can go on.

    Args:
        ws: the workspace.
        text: the question; its first line becomes the title, and all of it is kept.
        context: what was being done when it came up.

    Raises:
        QuestionError: the text is empty.
        StorageError: the file system refused.
    """
    first = " ".join(text.strip().partition("\n")[0].split())
    title = first if len(first) <= LONGEST_TITLE else f"{first[: LONGEST_TITLE - 1]}…"
    whole = text.strip() if text.strip() != title else ""
    said = f"Raised in passing: {context.strip()}" if context.strip() else ""
    body = "\n\n".join(filter(None, (whole, said)))
    settings = {"title": title, "status": "open", "tags": [LOGGED], "opened": _today()}
    return _written(create_question(ws, settings, body))


def list_questions(
    ws: Workspace,
    *,
    status: str | None = None,
    tag: str | None = None,
    order: Order = "relevance",
    days: int = RECENT_DAYS,
    limit: int = 50,
) -> QuestionList:
    """Questions, the ones that matter to recent runs first: fired triggers, then shared words.

    Args:
        ws: the workspace.
        status: only open, answered, dropped or historical ones.
        tag: only those with this tag.
        order: by relevance, or by number.
        days: days of runs, up to the newest one, that count as recent.
        limit: at most so many.

    Raises:
        QuestionError: there is no such status.
    """
    if status is not None and status not in STATUSES:
        raise QuestionError(f"no question is '{status:.40}'", hint=did_you_mean(status, STATUSES))
    every, faults = read_questions(ws)
    states, known, notes = _asked(ws, every, days)
    fired = {name for name, state in states.items() if state.fired}
    fitting = [
        each
        for each in every
        if status in (None, each.status)
        and (tag is None or tag.casefold() in map(str.casefold, each.tags))
    ]
    if order == "relevance":
        fitting = by_relevance(fitting, known, fired)
    items = (
        QuestionItem(
            each.id, each.title, each.status, each.tags, each.opened, each.closed,
            len(each.evidence), states.get(each.id), known[each.id].score, known[each.id].why,
        )
        for each in fitting[:limit]
    )  # fmt: skip
    return QuestionList(tuple(items), len(fitting), len(fitting) > limit, faults, notes)


def show_question(ws: Workspace, question_id: str) -> QuestionView:
    """One question with the present answer to its `watch`, its trigger, and its runs.

    Raises:
        QuestionError: there is no such question, or its file is wrong.
    """
    question = find_question(ws, question_id)
    try:
        with open_history(ws, memory_mb=MEMORY_MB) as history:
            return QuestionView(
                question,
                evidence_of(history, question.evidence),
                watched(history, question.watch) if question.watch else None,
                trigger_state(history, question.trigger) if question.trigger else None,
                history.warnings,
            )
    except HistoryError as error:
        return QuestionView(question, (), None, None, (error.problem,))


def link_question(
    ws: Workspace, question_id: str, *, run: str | None = None, note: str = ""
) -> QuestionWritten:
    """Link a run as evidence, add a dated note, or both; a run that is linked stays so.

    Args:
        ws: the workspace.
        question_id: its number.
        run: a run id, the beginning of one, `latest`, or a model such as `m@champion`.
        note: a sentence for the end of the discussion.

    Raises:
        QuestionError: there is no such question, or neither run nor note was given.
        RunError: there is no such run.
        StorageError: the file system refused.
    """
    if run is None and not note.strip():
        raise QuestionError("neither a run nor a note was given", hint="name a run, or --note TEXT")
    question = find_question(ws, question_id)
    run_id = run_named(ws, run).record().run_id if run is not None else None
    if run_id in question.evidence and not note.strip():
        return _written(question, changed=False, run_id=run_id)

    def change(text: str, now: Question) -> str:
        if run_id and run_id not in now.evidence:
            text = with_item(text, now.file, "evidence", run_id)
        said = f"run `{run_id}`: {note.strip()}" if run_id else note.strip()
        # What goes on in another line still belongs to the item.
        item = f"- {_today()}, {said}".replace("\n", "\n  ")
        return with_note(text, item) if note.strip() else text

    linked = (*question.evidence, run_id) if run_id else question.evidence
    evidence = tuple(dict.fromkeys(filter(None, linked)))
    return _written(change_question(ws, question_id, change, {"evidence": evidence}), run_id=run_id)


def close_question(
    ws: Workspace, question_id: str, *, answer: str, status: Closing = "answered"
) -> QuestionWritten:
    """Close an open question with what came out, or why it is not asked any more.

    Args:
        ws: the workspace.
        question_id: its number.
        answer: what came out.
        status: answered, dropped, or historical for what no longer holds.

    Raises:
        QuestionError: there is no such question, it is closed already, the answer is empty, or
            nothing can be closed as that.
        StorageError: the file system refused.
    """
    closings = tuple(each for each in STATUSES if each != "open")
    said = unicodedata.normalize("NFC", answer).strip()
    if status not in closings:
        raise QuestionError(
            f"a question can't be closed as '{status:.40}'", hint=did_you_mean(status, closings)
        )
    if not said:
        raise QuestionError("the answer is empty", hint="say what came out, or why it was dropped")
    _check_open(find_question(ws, question_id))
    today = _today()
    fields = {"status": status, "closed": today, "answer": said}

    def change(text: str, now: Question) -> str:
        _check_open(now)
        for name, value in fields.items():
            text = with_value(text, now.file, name, value)
        return text

    wanted = {**fields, "closed": today.isoformat()}
    return _written(change_question(ws, question_id, change, wanted))


def search_questions(ws: Workspace, query: str, *, limit: int = 10) -> QuestionHits:
    """Questions that hold words of a query, best first; closed ones too.

    Raises:
        QuestionError: the query has no word.
    """
    if not question_words(query):
        raise QuestionError("the query has no word", hint="ask for a word, such as threshold")
    questions, faults = read_questions(ws)
    hits = find(questions, query, question_words)
    items = (
        QuestionHit(hit.question.id, hit.question.title, hit.question.status, hit.score, hit.quoted)
        for hit in hits[:limit]
    )
    return QuestionHits(tuple(items), len(hits), len(hits) > limit, faults)


def _asked(
    ws: Workspace, questions: Sequence[Question], days: int
) -> tuple[dict[str, TriggerState], dict[str, Relevance], tuple[str, ...]]:
    """Triggers and relevance of each question; without a history, neither."""
    try:
        with open_history(ws, memory_mb=MEMORY_MB) as history:
            states = trigger_states(history, questions)
            runs = recent_runs(history, days, question_words)
            notes = history.warnings
    except HistoryError as error:
        states, runs, notes = {}, (), (error.problem,)
    fired = {name for name, state in states.items() if state.fired}
    return states, relevances(questions, runs, fired, question_words), notes


def _check_sql(ws: Workspace, watch: str, trigger: Trigger | None) -> None:
    """See that what is about to be written can be asked; an answer is not looked at."""
    if not watch and trigger is None:
        return
    with open_history(ws, memory_mb=MEMORY_MB) as history:
        asked = {
            "the SQL to watch": watched(history, watch).problem if watch else None,
            "the trigger's SQL": trigger_state(history, trigger).problem if trigger else None,
        }
    for what, problem in asked.items():
        if problem:
            raise QuestionError(
                f"{what} can't be asked: {problem}",
                hint="try it with `kdgat history sql`; `kdgat history tables` tells the columns",
            )


def _check_open(question: Question) -> None:
    if question.status != "open":
        when = f" since {question.closed}" if question.closed else ""
        raise QuestionError(
            f"question {question.id} is {question.status} already{when}",
            hint=f"to ask it again, set status: open in {question.file} and take its answer away",
        )


def _written(
    question: Question, *, changed: bool = True, run_id: str | None = None
) -> QuestionWritten:
    return QuestionWritten(
        question.id, question.title, question.status, question.file, changed, run_id
    )


def _today() -> date:
    return datetime.now(UTC).date()
