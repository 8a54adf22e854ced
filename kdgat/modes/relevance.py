"""Which questions matter to what is being done: by the words of recent runs, and fired triggers.

How texts become comparable words is given by the caller (`cut`), because the stemmer of the
documentation's search lies in a layer beside this one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from kdgat.runs.history import History
from kdgat.runs.open_questions import Question

Cut = Callable[[str], set[str]]
_MOST_RUNS = 200
_EVIDENCE = 1.0
_OF_TITLE = 0.3
_NAMED = 3
_WORD = re.compile(r"[^\W_]+")
_DISTILLED = "distilled distillation teacher student"
_RECENT = f"""
    with recent as (
        select * from runs where not archived
        and created_at >= (select max(created_at) from runs) - to_days(cast(? as integer))
        order by run_id desc limit {_MOST_RUNS}
    )
    select recent.run_id, recent.subject,
        concat_ws(' ', dataset, provenance, model, size, stage,
            case when distilled then '{_DISTILLED}' end, told.scenarios) as words
    from recent left join (
        select run_id, string_agg(distinct scenario, ' ') as scenarios from metrics
        where run_id in (select run_id from recent) group by run_id
    ) as told on told.run_id = recent.run_id
"""


@dataclass(frozen=True)
class RecentRun:
    """A run, and the words that tell what it was about."""

    run_id: str
    subject: str | None
    words: frozenset[str]


@dataclass(frozen=True)
class Relevance:
    """How much a question matters now; only to be compared with that of other questions."""

    score: float
    why: str
    """What counted, in words; empty where nothing did."""


def recent_runs(history: History, days: int, cut: Cut) -> tuple[RecentRun, ...]:
    """The newest runs, at most 200, of the days up to the newest one.

    They end with the newest run and not today, so that nothing changes while nobody works. Words
    are those of dataset, provenance, model, size, stage, distillation and test scenarios.

    Raises:
        HistoryError: the compacted history is damaged.
    """
    rows = history.query(_RECENT, [days]).rows
    return tuple(RecentRun(run, subject, frozenset(cut(words))) for run, subject, words in rows)


def relevances(
    questions: Sequence[Question], runs: Collection[RecentRun], fired: Collection[str], cut: Cut
) -> dict[str, Relevance]:
    """The relevance of each question by its id.

    A question has keys: its tags, and the words of its title. A run speaks of a key when all words
    of it are among the run's. The score is the sum over the keys that are spoken of of

        rarity of the key * share of the runs that speak of it     (a third of it for title words)

    plus 1 where a recent run, or the run that it judged, is linked as evidence. The rarity is
    log(1 + questions / questions with that key), so that what every question shares decides little.
    A fired trigger puts a question before all that have none, whatever their scores.
    """
    keys = {each.id: _keys(each, cut) for each in questions}
    spread = Counter(key for each in keys.values() for key in each)
    linked = {run.run_id for run in runs} | {run.subject for run in runs if run.subject}
    found = {}
    for question in questions:
        score, said = 0.0, []
        for key, (name, weight) in keys[question.id].items():
            share = sum(key <= run.words for run in runs) / len(runs) if runs else 0.0
            worth = weight * share * math.log1p(len(questions) / spread[key])
            score += worth
            if worth:
                said.append((worth, name))
        named = dict.fromkeys(name for _, name in sorted(said, key=lambda each: -each[0]))
        why = list(named)[:_NAMED]
        if linked & set(question.evidence):
            score += _EVIDENCE
            why.insert(0, "a recent run is its evidence")
        if question.id in fired:
            why.insert(0, "its trigger fired")
        found[question.id] = Relevance(round(score, 4), ", ".join(why))
    return found


def by_relevance(
    questions: Iterable[Question], known: dict[str, Relevance], fired: Collection[str]
) -> list[Question]:
    """Those whose trigger fired first, then open ones, by score; equal ones by their number."""
    return sorted(
        questions,
        key=lambda each: (
            each.id not in fired, each.status != "open", -known[each.id].score, each.id
        ),
    )  # fmt: skip


def _keys(question: Question, cut: Cut) -> dict[frozenset[str], tuple[str, float]]:
    """What a question is about: sets of words, each with its name in the question and a weight."""
    saying = cut(question.title)
    title = {
        frozenset({word}): (written.casefold(), _OF_TITLE)
        for written in _WORD.findall(unicodedata.normalize("NFKC", question.title))
        for word in sorted(cut(written) & saying)
    }
    tags = {frozenset(cut(tag)): (tag, 1.0) for tag in question.tags}
    return {key: named for key, named in {**title, **tags}.items() if key}
