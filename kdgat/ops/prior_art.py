"""What exists already for a task: asked before something is built, answered in one page.

Of kdgat itself, the installed packages, the documentation, the decisions and the past runs. Words
and meaning are scored alike in all of them, and what can be used right now comes first.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kdgat.errors import HistoryError, KnowledgeError
from kdgat.knowledge import library
from kdgat.knowledge.extract import words_of
from kdgat.knowledge.names import shortened
from kdgat.knowledge.own import own_things
from kdgat.knowledge.packages import installed_things
from kdgat.knowledge.question import STOP
from kdgat.knowledge.search import LOW
from kdgat.knowledge.things import Near, Thing, Things
from kdgat.knowledge.words import WORTH_OF_WORDS
from kdgat.ledger.files import append_line, storage_error
from kdgat.ops.docs import search_docs
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

LONGEST_TASK = 2_000
"""Characters of a task."""
_AT_HAND = {
    "command": 0.3, "config field": 0.25, "operation": 0.2, "experiment": 0.1, "function": 0.05,
    "class": 0.0, "method": -0.05, "module": -0.05, "package": 0.0, "decision": 0.0,
}  # fmt: skip
"""What a kind adds to a score: how directly it is used."""
_BY_DISTANCE = (0.1, -0.1, -0.15, -0.25)
"""The same for how far a package is from kdgat, itself first."""
_OF_DOCS = -0.15
_MOST = {"kdgat": 7, "package": 7, "docs": 3, "decision": 2, "run": 2, "question": 2}
_LEAST = 0.4
"""Share of the best score below which a hit is left out."""
_LEAST_OVERLAP = 0.3
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_TELLING = 3
"""Hits by which it is judged whether anything was found."""
_NEAREST = 3
"""Hits that are shown all the same where none seems to be it."""
_LINE = 160


@dataclass(frozen=True)
class PriorHit:
    """Something that exists."""

    kind: str
    """`command`, `config field`, `operation`, `function`, `class`, `method`, `module`, `package`,
    `experiment`, `decision`, `docs`, `run` or `question`."""
    name: str
    where: str
    """`path:line`, or a page and its anchor."""
    what: str
    use: str
    """An import line, a command, an override."""
    score: float


@dataclass(frozen=True)
class PriorArt:
    """What exists for a task, best first."""

    query: str
    items: tuple[PriorHit, ...]
    confidence: float
    """From 0 to 1: how likely one of them is what was asked for."""
    low_confidence: bool
    searched: tuple[str, ...]
    notes: tuple[str, ...]
    """What could not be asked, and why."""


def prior_art(
    ws: Workspace,
    query: str,
    *,
    limit: int = 12,
    questions: bool = False,
    progress: Progress = quiet,
) -> PriorArt:
    """What exists already for a task, and how it is used.

    Args:
        ws: the workspace.
        query: what is to be built or found out, in a few words.
        limit: at most so many hits.
        questions: open questions too, where they may be shown.
        progress: told of the first index, which takes seconds.

    Raises:
        KnowledgeError: the task is empty, or too long for one.
        StorageError: an index must be made and can't be written.
    """
    task = _task(query)
    asked = _Asked(ws, task, max(limit, 1))
    asked.things("kdgat", own_things(ws), "commands, fields, functions and decisions of kdgat")
    asked.things("package", installed_things(ws, progress), "names of installed packages")
    asked.docs()
    asked.runs()
    if questions:
        asked.questions()
    return asked.answer()


def remember(ws: Workspace, art: PriorArt) -> None:
    """Write down that somebody looked: `<home>/agent/prior-art.jsonl`, a line a look-up.

    Raises:
        StorageError: it can't be written.
    """
    path = ws.agent / "prior-art.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error
    now = datetime.now(UTC).isoformat(timespec="seconds")
    hits = [hit.name for hit in art.items]
    append_line(path, {"time": now, "query": art.query, "hits": hits})


def _task(query: str) -> str:
    task = " ".join("".join(c if c.isprintable() else " " for c in query).split())
    if not re.search(r"\w", task):
        raise KnowledgeError("the task is empty", hint='kdgat prior-art "batch size by memory"')
    if len(task) > LONGEST_TASK:
        raise KnowledgeError(
            f"a task of {len(task):,} characters is no task (at most {LONGEST_TASK:,})",
            hint="say in a few words what is to be built",
        )
    return task


class _Asked:
    """Hits of one question, gathered source by source."""

    def __init__(self, ws: Workspace, task: str, limit: int) -> None:
        self.ws = ws
        self.task = task
        self.words = words_of(" ".join(w for w in task.lower().split() if w not in STOP))
        self.limit = limit
        self.found: list[tuple[str, PriorHit, float]] = []
        """Group, hit, and how likely it is what was asked for."""
        self.searched: list[str] = []
        self.notes: list[str] = []

    def things(self, group: str, things: Things | None, told: str) -> None:
        """Ask an index of things."""
        if things is None:
            self.notes.append(f"the index of the {told} vanished while it was read; ask again")
            return
        self.searched.append(f"{things.size:,} {told}")
        self.notes.extend(things.notes)
        near = things.near(self.task, 3 * self.limit, library.model())
        for each in near:
            own = "decision" if each.thing.kind == "decision" else group
            self.found.append((own, _hit_of_thing(self.ws, each), _sure(each)))

    def docs(self) -> None:
        """Ask the documentation; what the index of things knows better is left to it."""
        try:
            report = search_docs(self.ws, self.task, limit=8)
        except KnowledgeError as error:
            self.notes.append(f"{error.problem}; {error.hint}")
            return
        self.searched.append("the documentation")
        self.notes.extend(report.notes)
        best = max((each.score for each in report.results), default=0.0) or 1.0
        for each in report.results:
            if each.page.startswith(("decisions/", "reference/")):
                continue
            page = f"{each.page}#{each.anchor}" if each.anchor else each.page
            hit = PriorHit(
                kind="docs",
                name=each.heading,
                where=f"{each.source}: {page}",
                what=_line(_FENCE.sub(" ", each.text) or each.text),
                use=f"kdgat docs read {page} --source {each.source}",
                score=each.score + _OF_DOCS,
            )
            self.found.append(("docs", hit, report.confidence * each.score / best))

    def runs(self) -> None:
        """Ask the history: recipes that ran, and config fields that were varied."""
        if not (self.ws.runs.is_dir() or self.ws.history.is_dir()):
            self.searched.append("the history (no run yet)")
            return
        try:
            hits = [*_runs(self.ws, self._overlap)]
        except HistoryError as error:
            self.notes.append(f"{error.problem}; {error.hint}")
            return
        self.searched.append("the history")
        self.found.extend(("run", hit, hit.score) for hit in hits)

    def questions(self) -> None:
        """Ask the open questions."""
        from kdgat.runs.open_questions import read_questions

        known, faults = read_questions(self.ws)
        self.searched.append(f"{len(known)} questions")
        self.notes.extend(faults)
        for each in known:
            overlap = self._overlap(f"{each.title} {each.hypothesis} {' '.join(each.tags)}")
            if overlap >= _LEAST_OVERLAP:
                hit = PriorHit(
                    kind="question",
                    name=_line(each.title),
                    where=each.file,
                    what=_line(each.answer or each.hypothesis or f"{each.status} question"),
                    use=f"kdgat questions show {each.id}",
                    score=WORTH_OF_WORDS * overlap,
                )
                self.found.append(("question", hit, hit.score))

    def answer(self) -> PriorArt:
        """The hits, best first, each once, no group crowding out the others."""
        ranked = sorted(_named_once(self.found), key=lambda each: -each[1].score)
        least = _LEAST * ranked[0][1].score if ranked else 0.0
        counts: Counter[str] = Counter()
        kept: list[PriorHit] = []
        sure = [0.0]
        for group, hit, likely in ranked:
            if hit.score < least or counts[group] >= _MOST[group] or len(kept) == self.limit:
                continue
            counts[group] += 1
            kept.append(hit)
            sure.append(likely if len(kept) <= _TELLING else 0.0)
        confidence = round(max(sure), 3)
        is_low = confidence < LOW
        return PriorArt(
            query=self.task[:300],
            items=tuple(kept[:_NEAREST] if is_low else kept),
            confidence=confidence,
            low_confidence=is_low,
            searched=tuple(self.searched),
            notes=tuple(dict.fromkeys(_line(note) for note in self.notes)),
        )

    def _overlap(self, text: str) -> float:
        """The share of the task's words that a text has."""
        shared = self.words & words_of(text.replace("_", " "))
        return len(shared) / len(self.words) if self.words else 0.0


def _hit_of_thing(ws: Workspace, near: Near) -> PriorHit:
    thing = near.thing
    bonus = _AT_HAND[thing.kind] + _BY_DISTANCE[thing.distance]
    return PriorHit(
        kind=thing.kind,
        name=thing.name,
        where=_place(ws, thing),
        what=thing.what,
        use=thing.use,
        score=round(near.score + bonus, 3),
    )


def _place(ws: Workspace, thing: Thing) -> str:
    return thing.place.removeprefix(f"{ws.root}/")


def _named_once(
    found: list[tuple[str, PriorHit, float]],
) -> Iterator[tuple[str, PriorHit, float]]:
    """Of what is one thing, the way to it that is the most at hand, with the best score."""
    same: dict[str, list[tuple[str, PriorHit, float]]] = {}
    for each in found:
        same.setdefault(_same(each[0], each[1]), []).append(each)
    for several in same.values():
        group, hit, _ = max(
            several, key=lambda each: (_AT_HAND.get(each[1].kind, 0.0), -len(each[1].name))
        )
        score = max(each[1].score for each in several)
        yield group, replace(hit, score=score), max(likely for _, _, likely in several)


def _same(group: str, hit: PriorHit) -> str:
    """One name for what is one thing: a command and its operation, a class at two addresses."""
    if group == "kdgat":
        last = hit.name.removeprefix("kdgat ").rpartition(".")[2]
        return f"kdgat {re.sub(r'[^a-z0-9]', '', last.lower())}"
    if group == "package":
        return f"package {hit.name.rpartition('.')[2].lower()}"
    return f"{group} {hit.name} {hit.where if group == 'docs' else ''}"


def _runs(ws: Workspace, overlap: Callable[[str], float]) -> Iterator[PriorHit]:
    from kdgat.runs.history import open_history

    recipes = (
        "select name, stage, count(*), max(run_id), arg_max(state, run_id), bool_or(distilled) "
        "from runs where not archived group by name, stage order by max(run_id) desc"
    )
    varied = (
        "select name, count(distinct value), count(*), max(run_id) from params "
        "group by name having count(distinct value) > 1 order by name"
    )
    with open_history(ws) as history:
        rows = history.query(recipes, max_rows=500).rows
        fields = history.query(varied, max_rows=500).rows
    for name, stage, count, newest, state, distilled in rows:
        share = overlap(f"{name} {stage} run {'distilled teacher student' if distilled else ''}")
        if share >= _LEAST_OVERLAP:
            what = f"{count} runs of the stage {stage}, the newest {state}"
            use = f"kdgat runs show {newest}"
            yield PriorHit("run", f"{name} ({stage})", newest, what, use, WORTH_OF_WORDS * share)
    for name, values, count, newest in fields:
        share = overlap(name)
        if share >= _LEAST_OVERLAP:
            what = f"was varied: {values} values in {count} runs"
            use = f"kdgat effect {name}"
            yield PriorHit("run", name, newest, what, use, WORTH_OF_WORDS * share)


def _sure(near: Near) -> float:
    """How likely a thing is what was asked for, by its meaning and its words.

    A logistic curve through tasks of which something or nothing exists; 0.5 lies where few of the
    first are denied, since building again what is there costs more than one look too many.
    """
    return 1 / (1 + math.exp(-(6 * near.cosine + 6 * near.covered - 5)))


def _line(text: str) -> str:
    return shortened(" ".join(text.split()), _LINE)
