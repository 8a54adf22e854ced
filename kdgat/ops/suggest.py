"""The operation that finds what the history lacks, and what would be worth trying next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kdgat.configs.dataset import DATASETS
from kdgat.errors import ConfigError, StorageError
from kdgat.runs.gaps.facts import Card, Facts, Fired, MemoryRow
from kdgat.runs.gaps.finding import EFFORT_H, MOST, Finding, chosen
from kdgat.runs.gaps.overrides import command
from kdgat.runs.gaps.reading import measured, params_of, read_facts
from kdgat.runs.gaps.table import findings
from kdgat.runs.history import History, open_history
from kdgat.workspace import Workspace

METHOD = (
    "value = chance that the answer changes what one would do without it, for each hour of "
    f"computing (plus {EFFORT_H} h of a person)"
)


@dataclass(frozen=True)
class Suggestion:
    """A gap, and the command that would close it."""

    kind: str
    claim: str
    command: str
    provenance: str
    """real, simulated or imported; empty where no data is spoken of."""
    protocol: str
    """zero_shot or adapted; empty where no figure of an evaluation is spoken of."""
    runs: tuple[str, ...]
    """Some of the runs that it rests on, the telling ones first."""
    n: int
    """How many runs it rests on."""
    figures: dict[str, float]
    cost_h: float | None
    """Hours of a GPU or a machine; None where no run is like it."""
    on_gpu: bool
    cost: str
    chance: float
    """That the answer changes what one would do without it, 0 to 1."""
    because: str
    """How the chance came about."""
    value: float
    """Chance for each hour, a person's effort included."""


@dataclass(frozen=True)
class Suggestions:
    """What is most worth trying, best first."""

    items: tuple[Suggestion, ...]
    total: int
    """Gaps that were found in all."""
    method: str
    notes: tuple[str, ...]


def suggest(ws: Workspace, *, limit: int = MOST, questions: bool = False) -> Suggestions:
    """What was never tried, is noisy, contradicts or waits, and the command for each.

    Args:
        ws: the workspace.
        limit: at most so many, and never more than ten.
        questions: open questions whose trigger fired too; only where questions may be shown.

    Raises:
        ConfigError: the limit is below one.
        HistoryError: the compacted history is damaged.
    """
    if limit < 1:
        raise ConfigError(f"a limit of {limit} asks for nothing", hint="ask for 1 to 10")
    with open_history(ws) as history:
        fired = tuple(_fired(ws, history)) if questions else ()
        facts = _facts(ws, history, fired)
        found = findings(facts)
        items, total = _told(history, facts, found, min(limit, MOST))
    simulated = any(each.provenance == "simulated" for each in items)
    real = any(each.provenance == "real" for each in items)
    notes = ("findings on simulated data come last",) if simulated and real else ()
    return Suggestions(items, total, METHOD, notes)


def _facts(ws: Workspace, history: History, fired: tuple[Fired, ...]) -> Facts:
    from kdgat.stages.table import STAGES

    memory = tuple(_memory(ws, history))
    return replace(
        read_facts(history),
        memory=memory,
        cards=tuple(_cards(ws)) if memory else (),
        questions=fired,
        trainable=frozenset(stage.kind for stage in STAGES.values()),
    )


def _fired(ws: Workspace, history: History) -> Iterator[Fired]:
    """Questions whose trigger fired; a file that is wrong is told by `kdgat questions list`."""
    from kdgat.modes.watching import trigger_states
    from kdgat.runs.open_questions import read_questions

    questions, _ = read_questions(ws)
    states = trigger_states(history, questions)
    for each in questions:
        if each.id in states and states[each.id].fired:
            yield Fired(each.id, each.title, states[each.id].text, each.evidence)


def _memory(ws: Workspace, history: History) -> Iterator[MemoryRow]:
    """What families took of GPUs; the card is told in the newest run's folder alone."""
    rows = measured(history)
    configs = params_of(history, (row[1] for row in rows)) if rows else {}
    for family, run, folder, most_bytes, runs, seed in rows:
        try:
            kept = json.loads((ws.home / folder / "artifacts" / "memory.json").read_bytes())
            gpu = str(kept["plan"]["gpu"])
        except (OSError, ValueError, KeyError, TypeError):
            # Without its card nothing can be said of a smaller one.
            continue
        precision = configs.get(run, {}).get("training.precision") or "32"
        yield MemoryRow(family, run, gpu, most_bytes, runs, precision, seed)


def _cards(ws: Workspace) -> Iterator[Card]:
    """The GPUs of all clusters whose description can be read; `clusters show` names the others."""
    from kdgat.slurm.cluster import cluster_names, load_cluster

    for name in cluster_names(ws):
        try:
            cluster = load_cluster(ws, name)
        except (ConfigError, StorageError):
            continue
        for partition in cluster.partitions.values():
            if partition.gpu and cluster.scheduler == "slurm":
                yield Card(name, partition.name, partition.gpu, partition.max_time_s)


def _told(
    history: History, facts: Facts, found: Sequence[Finding], limit: int
) -> tuple[tuple[Suggestion, ...], int]:
    """The first findings whose command is one of this version, and how many there are."""
    known = {*DATASETS, *(row.name for row in facts.datasets)}
    left, told = list(found), list[tuple[Finding, str]]()
    while left:
        # What can't be tried leaves its place to the next one.
        batch = chosen(left, limit)
        bases = [each.trial.base for each in batch if each.trial.base]
        params = params_of(history, bases) if bases else {}
        commands = [(each, _command(each, params, known)) for each in batch]
        wrong = {id(each) for each, words in commands if words is None}
        if not wrong:
            told = [(each, words) for each, words in commands if words is not None]
            break
        left = [each for each in left if id(each) not in wrong]
    return tuple(_suggestion(each, words) for each, words in told), len(left)


def _command(
    finding: Finding, params: Mapping[str, Mapping[str, str | None]], known: set[str]
) -> str | None:
    base = params.get(finding.trial.base or "", {})
    if finding.trial.base and base.get("dataset.name") not in known:
        return None
    return command(finding.trial, base)


def _suggestion(finding: Finding, words: str) -> Suggestion:
    return Suggestion(
        kind=finding.kind,
        claim=finding.claim,
        command=words,
        provenance=finding.provenance,
        protocol=finding.protocol,
        runs=finding.runs,
        n=finding.n,
        figures={name: float(f"{value:.6g}") for name, value in finding.figures.items()},
        cost_h=finding.cost.hours,
        on_gpu=finding.cost.on_gpu,
        cost=finding.cost.text,
        chance=round(finding.chance, 4),
        because=finding.because,
        value=round(finding.value, 4),
    )
