"""Whether one model is better than another on test windows, with an interval.

Both models scored the same windows, so windows are drawn once for both (paired), and in blocks of
consecutive windows of one capture, because neighbouring windows resemble each other and single ones
would make the interval too narrow. It takes the kept scores and the labels beside the graphs. Where
either is gone, or the two were judged on other windows, what is left are the four counts of each
evaluation: they are drawn on their own (multinomial), which gives away the pairing and takes the
windows for independent. The answer says which it was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kdgat.configs.promotion import PromotionConfig
from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord
from kdgat.ledger.scan import readable, run_folders
from kdgat.ledger.states import State
from kdgat.training.bootstrap import block_starts, figure, outcome_counts
from kdgat.workspace import Workspace

_COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")


@dataclass(frozen=True)
class Judgement:
    """One model's evaluation, as far as the rule looks at it."""

    run_id: str
    evaluation: str
    value: float | None
    counts: tuple[int, int, int, int]
    """True positives, false positives, false negatives, true negatives: in windows."""
    folder: Path
    record: RunRecord


@dataclass(frozen=True)
class Comparison:
    """Challenger less champion, with an interval."""

    metric: str
    scenario: str
    attack_type: str
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    confidence: float
    method: Literal["paired block bootstrap", "multinomial counts"]
    blocks: int | None
    """Blocks that were drawn from; None for counts."""


def judgement(ws: Workspace, run_id: str, dataset: str, rule: PromotionConfig) -> Judgement:
    """The newest whole evaluation of a run.

    Raises:
        RunError: there is none, or it lacks the scenario, attack type or protocol of the rule.
    """
    for folder, record in readable(run_folders(ws.runs / dataset, depth=2)):
        if record.subject == run_id and record.state is State.COMPLETED:
            return _judgement(folder, record, run_id, rule)
    raise RunError(
        f"run '{run_id}' was never evaluated, so the promotion rule has nothing to go by",
        hint=f"`kdgat evaluate {run_id}`",
    )


def compare(
    ws: Workspace, champion: Judgement, challenger: Judgement, rule: PromotionConfig
) -> Comparison:
    """The difference of the two and its interval.

    Raises:
        RunError: the two were judged on other test captures or by other versions, or the figure
            has no meaning for one of them.
    """
    _need_same_test(champion, challenger)
    values = [each.value for each in (champion, challenger)]
    if values[0] is None or values[1] is None:
        raise RunError(
            f"{rule.metric} has no value on '{rule.scenario}' ({rule.attack_type}): no window of "
            "one kind",
            hint="choose another metric, scenario or attack_type with --rule",
        )
    blocks = _paired_blocks(ws, champion, challenger, rule)
    rng = np.random.default_rng(rule.seed)
    if blocks is None:
        drawn = [_drawn_counts(rng, each.counts, rule) for each in (champion, challenger)]
    else:
        weights = rng.multinomial(
            len(blocks[0]), np.full(len(blocks[0]), 1 / len(blocks[0])), rule.resamples
        )
        drawn = [weights @ each for each in blocks]
    differences = figure(rule.metric, drawn[1]) - figure(rule.metric, drawn[0])
    tail = (1 - rule.confidence) / 2
    low, high = np.nanquantile(differences, (tail, 1 - tail))
    return Comparison(
        metric=rule.metric,
        scenario=rule.scenario,
        attack_type=rule.attack_type,
        champion=values[0],
        challenger=values[1],
        difference=values[1] - values[0],
        low=float(low),
        high=float(high),
        confidence=rule.confidence,
        method="multinomial counts" if blocks is None else "paired block bootstrap",
        blocks=None if blocks is None else len(blocks[0]),
    )


def _judgement(
    folder: RunFolder, record: RunRecord, run_id: str, rule: PromotionConfig
) -> Judgement:
    path = folder.artifacts / "evaluation.json"
    try:
        report = json.loads(path.read_bytes())
        for row in report["scenarios"]:
            place = (row["scenario"], row["attack_type"], row["protocol"], row.get("variant", ""))
            if place == (rule.scenario, rule.attack_type, rule.protocol, ""):
                metrics = row["metrics"]
                counts = tuple(int(metrics[name]) for name in _COUNTS)
                return Judgement(
                    run_id, record.run_id, metrics[rule.metric], counts,  # type: ignore[arg-type]
                    folder.path, record,
                )  # fmt: skip
        places = [
            (row["scenario"], row["attack_type"], row["protocol"])
            for row in report["scenarios"]
            if not row.get("variant")
        ]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RunError(
            f"'{path}' can't be read: {error}",
            hint=f"`kdgat evaluate {run_id} --again` writes a new one",
        ) from error
    raise _missing_place(record.run_id, places, rule)


def _missing_place(
    evaluation: str, places: Sequence[tuple[str, str, str]], rule: PromotionConfig
) -> RunError:
    """Which field of the rule is not among the scenarios, attack types and protocols there are."""
    fitting, where = list(places), ""
    for number, field in enumerate(("scenario", "attack_type", "protocol")):
        wanted, known = getattr(rule, field), dict.fromkeys(place[number] for place in fitting)
        if wanted not in known:
            return RunError(
                f"evaluation '{evaluation}' has no {field} '{wanted}'{where}",
                hint=f"choose one with --rule {field}=...: {', '.join(known)}",
            )
        fitting = [place for place in fitting if place[number] == wanted]
        where += f", {field} '{wanted}'" if where else f" in {field} '{wanted}'"
    raise AssertionError("the place is there")


def _need_same_test(champion: Judgement, challenger: Judgement) -> None:
    for name, what in (("dataset_hash", "test captures"), ("stage_version", "evaluation version")):
        one, other = getattr(champion.record, name), getattr(challenger.record, name)
        if one != other:
            raise RunError(
                f"champion '{champion.run_id}' and challenger '{challenger.run_id}' were judged "
                f"on another {what} ({one} and {other})",
                hint="evaluate both anew on the present captures, or promote with --force and a "
                "--reason",
            )


def _paired_blocks(
    ws: Workspace, champion: Judgement, challenger: Judgement, rule: PromotionConfig
) -> tuple[np.ndarray, np.ndarray] | None:
    """The four counts of each block for either model, or None where windows can't be paired."""
    if champion.record.graphs is None or champion.record.graphs != challenger.record.graphs:
        return None
    graphs = ws.dataset(champion.record.dataset) / "graphs" / champion.record.graphs
    store = graphs / rule.scenario / rule.protocol
    sides = []
    for each in (champion, challenger):
        try:
            sides.append(_blocks(store, each, rule))
        except (OSError, ValueError, LookupError):
            # Scores or labels are gone or of another evaluation: the counts still are there.
            return None
    return (sides[0], sides[1]) if len(sides[0]) == len(sides[1]) else None


def _blocks(store: Path, judged: Judgement, rule: PromotionConfig) -> np.ndarray:
    """Counts of each block of consecutive windows in one capture.

    Raises:
        OSError, ValueError, LookupError: scores or labels can't be read, or don't belong together.
    """
    import polars as pl

    name = f"{rule.scenario}.{rule.protocol}.parquet"
    frame = pl.read_parquet(
        judged.folder / "artifacts" / "scores" / name, columns=["capture", "score", "threshold"]
    )
    attack = np.load(store / "attack_messages.npy") > 0
    capture = frame["capture"].cast(pl.String).to_numpy()
    if len(attack) != len(frame):
        raise ValueError("scores and labels are of different windows")
    chosen = _chosen(store, capture, rule.attack_type)
    alarm = (frame["score"] >= frame["threshold"]).to_numpy()[chosen]
    starts = block_starts(capture[chosen], rule.block_windows)
    counts = outcome_counts(alarm, attack[chosen], starts)
    if tuple(counts.sum(axis=0).tolist()) != judged.counts:
        raise ValueError("the scores don't give the evaluation's own counts")
    return counts


def _chosen(store: Path, capture: np.ndarray, attack_type: str) -> np.ndarray:
    """Which windows are of the attack type."""
    if attack_type == "all":
        return np.ones(len(capture), dtype=bool)
    labels: list[dict[str, Any]] = json.loads((store / "store.json").read_bytes())["captures"]
    kinds = {label["key"]: label["attack_type"] for label in labels}
    return np.array([kinds[key] == attack_type for key in capture])


def _drawn_counts(
    rng: np.random.Generator, counts: tuple[int, int, int, int], rule: PromotionConfig
) -> np.ndarray:
    total = sum(counts)
    return rng.multinomial(total, np.array(counts) / total, rule.resamples)
