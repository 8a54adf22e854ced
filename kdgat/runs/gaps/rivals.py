"""Better ones that are passed over: baselines ahead of models, challengers, other teachers.

The chance is that the better one is truly better, by the noise from seed to seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kdgat.configs.names import BASELINES
from kdgat.runs.gaps.costs import Costs
from kdgat.runs.gaps.facts import ModelRow
from kdgat.runs.gaps.finding import FREE, Finding, Trial
from kdgat.runs.gaps.seen import Seen
from kdgat.runs.gaps.standings import Noise, Result, Standings

LIKELY = 0.75
"""Chance from which on a better one counts as passed over."""
MORE = 2
"""Seeds to add to a model that a baseline beats."""


def baselines(seen: Seen) -> Iterator[Finding]:
    """Arenas in which the best model without a graph is ahead of the best one with it."""
    for arena, results in seen.standings.arenas.items():
        model = next(
            (
                each
                for each in results
                if each.family.model not in BASELINES and seen.trains(each.family.model)
            ),
            None,
        )
        first = results[0]
        noise = seen.standings.noise(arena)
        if model is None or first.family.model not in BASELINES:
            continue
        if noise.above(first, model) < LIKELY:
            continue
        yield Finding(
            kind="baseline wins",
            claim=f"the baseline {first.family.name} ({first.family.provenance}, "
            f"{arena.protocol}) beats the best graph model, {model.family.name}: F1 "
            f"{first.mean:.4f} ({first.n} seeds) against {model.mean:.4f} ({model.n})",
            provenance=arena.provenance,
            protocol=arena.protocol,
            runs=(*first.runs[:3], *model.runs[:3]),
            n=first.n + model.n,
            figures={"baseline_f1": first.mean, "model_f1": model.mean, "noise": noise.spread},
            trial=Trial(("train",), model.best.run_id, {"seed": model.more_seeds(MORE)}),
            cost=seen.costs.training(model.family, MORE),
            chance=noise.above(first, model),
            because=f"the baseline is truly ahead: {noise.words}",
        )


def unpromoted(seen: Seen) -> Iterator[Finding]:
    """Models whose champion is behind a recipe of the same name; asked is the promotion rule."""
    versions: dict[str, list[ModelRow]] = defaultdict(list)
    for row in seen.facts.models:
        versions[row.model].append(row)
    for results in seen.standings.arenas.values():
        by_run = {run: each for each in results for run in each.runs}
        for name in sorted(versions):
            own = [each for each in results if _model(each) == name]
            crowned = next((row for row in versions[name] if row.champion), None)
            champion = by_run.get(crowned.run_id) if crowned else None
            if not own or champion is None or own[0] is champion:
                continue
            if seen.standings.noise(own[0].arena).above(own[0], champion) < LIKELY:
                continue
            yield _unpromoted(name, versions[name], own[0], champion, seen.standings)


def _model(result: Result) -> str:
    """The name it would be registered under."""
    family = result.family
    return f"{family.dataset}-{family.model}-{family.size}"


def _unpromoted(
    name: str, versions: list[ModelRow], best: Result, champion: Result, standings: Standings
) -> Finding:
    noise = standings.noise(best.arena)
    known = next((row for row in versions if row.run_id in best.runs), None)
    words = ("models", "register", best.best.run_id)
    if known:
        words = ("models", "promote", f"{name}@{known.version}", "--dry-run")
    return Finding(
        kind="not promoted",
        claim=f"the champion of {name} ({best.family.provenance}) has F1 {champion.mean:.4f} "
        f"({champion.n} seeds), and {best.best.run_id}, which never took its place, "
        f"{best.mean:.4f} ({best.n})",
        provenance=best.family.provenance,
        protocol=best.arena.protocol,
        runs=(*best.runs[:3], *champion.runs[:3]),
        n=best.n + champion.n,
        figures={"f1": best.mean, "champion_f1": champion.mean, "noise": noise.spread},
        trial=Trial(words),
        cost=FREE,
        chance=noise.above(best, champion),
        because=f"it is truly better: {noise.words}",
    )


def teachers(seen: Seen) -> Iterator[Finding]:
    """Best students whose teacher is behind another large model that could teach them."""
    for arena, results in seen.standings.arenas.items():
        by_run = {run: each for each in results for run in each.runs}
        taught = {
            by_run[row.teacher].best.recipe
            for each in results
            for row in each.rows
            if row.teacher in by_run
        }
        for family, student in seen.standings.leaders(arena).items():
            teacher = by_run.get(student.best.teacher or "")
            if teacher is None or not seen.trains(family.model):
                continue
            rival = next(
                (
                    each
                    for each in results
                    if each.family == teacher.family
                    and each.best.graphs == student.best.graphs
                    and each.best.recipe not in taught
                ),
                None,
            )
            noise = seen.standings.noise(arena)
            if rival is not None and noise.above(rival, teacher) >= LIKELY:
                yield _teacher(student, teacher, rival, noise, seen.costs)


def _teacher(
    student: Result, teacher: Result, rival: Result, noise: Noise, costs: Costs
) -> Finding:
    changes = {"distillation.teacher": (rival.best.run_id,)}
    return Finding(
        kind="better teacher",
        claim=f"the best {student.family.name} ({student.family.provenance}) learnt from "
        f"{student.best.teacher} (F1 {teacher.mean:.4f}); {rival.best.run_id} has "
        f"{rival.mean:.4f} and taught nobody",
        provenance=student.family.provenance,
        protocol=student.arena.protocol,
        runs=(student.best.run_id, *teacher.runs[:2], *rival.runs[:2]),
        n=student.n + teacher.n + rival.n,
        figures={
            "student_f1": student.mean, "teacher_f1": teacher.mean, "rival_f1": rival.mean,
            "noise": noise.spread,
        },
        trial=Trial(("train",), student.best.run_id, changes),
        cost=costs.training(student.family),
        chance=noise.above(rival, teacher),
        because=f"the other teacher is truly better: {noise.words}",
    )  # fmt: skip
