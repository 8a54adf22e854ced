"""What tells recipes of one name apart: the fields of their configs that differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from kdgat.runs.effect import SEED, written
from kdgat.runs.history import History

_MOST_FIELDS = 3
"""Fields that are told; one more stands for the rest."""
_NOT_TOLD = ("resources.", "dataset.", "distillation.teacher")
_MOST_RUNS = 300
"""Runs whose configs are read; of more, each is told by the end of its id."""


def told_apart(history: History, names: Mapping[str, str]) -> dict[str, str]:
    """A few words on each run that shares its name with another: `hidden=16, layers=2`.

    Where the configs say nothing (another version of the stage, another teacher), the words are the
    end of the run's id.

    Args:
        history: the open history.
        names: the name of each run, by its id.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for run, name in names.items():
        alike[name].append(run)
    shared = [group for group in alike.values() if len(group) > 1]
    fields = _fields(history, [run for group in shared for run in group][:_MOST_RUNS])
    return {run: words for group in shared for run, words in _words(group, fields).items()}


def _words(group: Sequence[str], fields: Mapping[str, Mapping[str, str | None]]) -> dict[str, str]:
    """The words of each run of one name."""
    known = dict.fromkeys(name for run in group for name in fields.get(run, {}))
    differing = [
        name for name in known if len({fields.get(run, {}).get(name) for run in group}) > 1
    ]
    found = {}
    for run in group:
        parts = [
            f"{name.rpartition('.')[2]}={written(fields.get(run, {}).get(name))}"
            for name in differing[:_MOST_FIELDS]
        ]
        more = [f"+{len(differing) - _MOST_FIELDS}"] if len(differing) > _MOST_FIELDS else []
        found[run] = ", ".join([*parts, *more])
    clear = {run: words for run, words in found.items() if list(found.values()).count(words) == 1}
    return {
        run: clear.get(run) or ", ".join(filter(None, (words, f"run …{run[-7:]}")))
        for run, words in found.items()
    }


def _fields(history: History, runs: list[str]) -> dict[str, dict[str, str | None]]:
    """The fields of some configs that may tell them apart."""
    sql = (
        "SELECT run_id, name, value FROM params WHERE run_id IN (SELECT unnest($1::VARCHAR[]))"
        " ORDER BY name"
    )
    found: dict[str, dict[str, str | None]] = defaultdict(dict)
    for run, name, value in history.query(sql, (runs,)).rows if runs else ():
        if name != SEED and not name.startswith(_NOT_TOLD):
            found[run][name] = value
    return found
