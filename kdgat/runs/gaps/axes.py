"""Fields of the config that were never varied in a kind of model that was judged.

The chance is the share of varied fields that moved the figure (see `settings.moved`), by the rule
of succession, among all fields that were varied in data of that provenance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from kdgat.runs.effect import same_value, written
from kdgat.runs.gaps.costs import Costs
from kdgat.runs.gaps.facts import AxisRow, Facts, Family
from kdgat.runs.gaps.finding import Finding, Trial, succession
from kdgat.runs.gaps.seen import Seen
from kdgat.runs.gaps.settings import moved
from kdgat.runs.gaps.standings import Result


@dataclass(frozen=True)
class Axis:
    """A field worth varying, and where to."""

    field: str
    factors: tuple[float, ...] = ()
    """Times the value it has."""
    choices: tuple[str, ...] = ()
    """Or these values, whatever it has."""

    def trials(self, value: str | None) -> tuple[str, ...]:
        """The values to try beside the one it has; none where that is no number to multiply."""
        if self.choices:
            return tuple(each for each in self.choices if not same_value(value, each))
        try:
            now = float(written(value))
        except ValueError:
            return ()
        whole = "." not in written(value) and "e" not in written(value)
        times = [now * factor for factor in self.factors]
        texts = [f"{max(1, round(each))}" if whole else f"{each:g}" for each in times]
        return tuple(dict.fromkeys(each for each in texts if not same_value(value, each)))


_RATE = Axis("training.learning_rate", (0.3, 3))
_WIDTH = Axis("model.hidden", (0.5, 2))
_HEADS = Axis("model.heads", (0.5, 2))
_TRAINING = (
    Axis("training.weight_decay", (0.1, 10)),
    Axis("training.max_graphs", (0.5, 2)),
    Axis("data.scale_clip", (0.5, 2)),
)
_DROPOUT = Axis("model.dropout", choices=("0.0", "0.1", "0.3"))
AXES: dict[str, tuple[Axis, ...]] = {
    "gat": (_RATE, _WIDTH, Axis("model.layers", (0.5, 2)), _DROPOUT, _HEADS, *_TRAINING),
    "vgae": (
        _RATE, Axis("model.latent", (0.5, 2)), Axis("model.kl_weight", (0.1, 10)), _WIDTH,
        Axis("model.edge_weight", (0.5, 2)), *_TRAINING,
    ),
    "fusion": (
        Axis("model.method", choices=("dqn", "mlp", "bandit", "weighted_average")),
        _RATE, _WIDTH, Axis("model.actions", (0.5, 2)),
    ),
    "gradient_boosting": (
        Axis("model.learning_rate", (0.3, 3)), Axis("model.iterations", (0.5, 2)),
        Axis("model.max_leaf_nodes", (0.5, 2)),
    ),
    "mlp": (_RATE, _WIDTH, Axis("model.layers", (0.5, 2)), _DROPOUT),
    "profile": (
        Axis("model.learning_rate", (0.3, 3)), Axis("model.iterations", (0.5, 2)),
        Axis("model.max_leaf_nodes", (0.5, 2)),
    ),
}  # fmt: skip
"""By kind of model, what matters most first."""
DISTILLATION = (
    Axis("distillation.alpha", choices=("0.3", "0.5", "0.7", "0.9")),
    Axis("distillation.temperature", (0.5, 2)),
)
"""For students with a teacher, before the others."""


def find(seen: Seen) -> Iterator[Finding]:
    """One finding a family: what was never varied, and the first of it as the trial."""
    rows: dict[Family, dict[str, AxisRow]] = defaultdict(dict)
    for row in seen.facts.axes:
        rows[row.family][row.field] = row
    for family in sorted(rows):
        result = seen.standings.best(family)
        if result is None or not seen.trains(family.model):
            continue
        axes = (*(DISTILLATION if family.distilled else ()), *AXES.get(family.model, ()))
        known = [axis for axis in axes if axis.field in rows[family]]
        once = [axis for axis in known if rows[family][axis.field].values == 1]
        never = [axis for axis in once if axis.trials(rows[family][axis.field].value)]
        if never:
            value = rows[family][never[0].field].value
            yield _finding(seen.facts, result, (never, len(known)), value, seen.costs)


def _finding(
    facts: Facts, result: Result, never: tuple[list[Axis], int], value: str | None, costs: Costs
) -> Finding:
    family, (axes, known) = result.family, never
    first, seen, cases = axes[0], *_moved(facts, family)
    trial = Trial(
        ("train",), result.best.run_id,
        {first.field: first.trials(value), "seed": (str(result.best.seed),)},
    )  # fmt: skip
    return Finding(
        kind="axis never varied",
        claim=f"every training of {family.name} ({family.provenance}) has {first.field}="
        f"{written(value)}; {len(axes)} of {known} fields worth varying never were: "
        f"{', '.join(axis.field for axis in axes)}",
        provenance=family.provenance,
        protocol=result.arena.protocol,
        runs=result.runs,
        n=result.n,
        figures={"best_f1": result.mean, "never_varied": len(axes), "fields": known},
        trial=trial,
        cost=costs.training(family, trial.count),
        chance=succession(seen, cases),
        because=f"{seen} of {cases} fields that were varied moved the figure",
    )


def _moved(facts: Facts, family: Family) -> tuple[int, int]:
    """Of the fields varied in data of this provenance, how many moved the figure; and all."""
    provenance = family.provenance
    varied = {
        (row.family, row.field)
        for row in facts.axes
        if row.family.provenance == provenance and row.values > 1
    }
    telling = {
        (row.family, row.field)
        for row in facts.effects
        if row.family.provenance == provenance and moved(row)
    }
    return len(telling & varied), len(varied)
