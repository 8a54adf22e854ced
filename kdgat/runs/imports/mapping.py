"""Another program's config and figures as ours: what could be mapped, and what could not."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdgat.configs.dataset import DATASETS
from kdgat.runs.imports.words import (
    AROUND,
    DISTILLED,
    FACTS,
    FIELDS,
    FIGURES,
    MODELS,
    OF_STAGE,
    SECTIONS,
    SIZES,
    SPLITS,
)

UNKNOWN = "unknown"
UNSAID = "unsaid"
"""The split of a figure whose file does not say which windows it is of."""
_SCENARIO = re.compile(r"test_\d+\w*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_OF_ONE_RUN = re.compile(r"(^|[._])(id|uuid|path|dir|name|time|date|timestamp|host|device)$")
_WHOLE = {"test": "test", "validation": "validation", "train": "train", UNSAID: "whole"}
Place = tuple[str, str]
"""Split and scenario."""


@dataclass
class Facts:
    """What a config, and where it lies, tell of a run."""

    dataset: str | None = None
    model: str | None = None
    size: str = UNKNOWN
    seed: int | None = None
    distilled: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    """The kept values by dotted names: ours, and under `imported.` theirs."""
    mapped: dict[str, str] = field(default_factory=dict)
    """Our names, and where each value was found."""
    left: list[str] = field(default_factory=list)
    """Their names that mean nothing here."""


@dataclass
class Figures:
    """Figures by model (None where the file names none), split and scenario."""

    found: dict[str | None, dict[Place, dict[str, float]]] = field(default_factory=dict)
    mapped: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def facts_of(config: Mapping[str, Any], place: Iterable[str]) -> Facts:
    """What a run is, by its config first, and by the folders it lies in where that says nothing.

    Args:
        config: their config.
        place: names of folders, outermost first.
    """
    values = dict(_leaves(config))
    facts = Facts()
    for fact, keys in FACTS.items():
        key = next((each for each in keys if _told(fact, values.get(each))), None)
        if key is not None:
            _take(facts, fact, values.pop(key), key)
    _take_teacher(facts, values)
    _take_place(facts, list(place))
    for key, ours in FIELDS.items():
        if ours not in facts.config and isinstance(values.get(key), int | float):
            facts.config[ours] = values.pop(key)
            facts.mapped[ours] = key
    for key, value in values.items():
        facts.left.append(key)
        of_one = _OF_ONE_RUN.search(key) or (isinstance(value, str) and "/" in value)
        if not of_one:
            facts.config[f"imported.{key}"] = value
    return facts


def figures_of(metrics: Mapping[str, Any]) -> Figures:
    """The figures of a file of metrics, however deep they lie."""
    figures = Figures()
    for name, value in _leaves(metrics):
        if isinstance(value, bool) or not isinstance(value, int | float):
            if value is not None:
                figures.left.append(name)
            continue
        told = _figure(name)
        if told is None or not math.isfinite(value):
            figures.left.append(name)
            continue
        model, place, ours = told
        row = figures.found.setdefault(model, {}).setdefault(place, {})
        if ours in row:
            figures.left.append(name)
        else:
            row[ours] = float(value)
            figures.mapped[name] = f"{place[0]}/{place[1]}/{ours}"
    return figures


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as a nested mapping."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *outer, last = name.split(".")
        inner = tree
        for part in outer:
            step = inner.setdefault(part, {})
            if not isinstance(step, dict):
                step = inner[part] = {"value": step}
            inner = step
        inner[last] = value
    return tree


def _figure(name: str) -> tuple[str | None, Place, str] | None:
    """Model, place and our name of a figure; None where its name means nothing here."""
    model = split = scenario = None
    core = False
    *outer, last = re.split(r"[./]", name)
    for part in (each.lower() for each in outer):
        if part in SPLITS:
            split = SPLITS[part]
        elif part in MODELS:
            model = MODELS[part]
        elif _SCENARIO.fullmatch(part):
            split, scenario = "test", part
        elif part in SECTIONS:
            core = True
        elif part not in AROUND:
            return None
    last = last.lower()
    while last not in FIGURES:
        head, _, rest = last.partition("_")
        if head in SPLITS:
            split = SPLITS[head]
        elif head in MODELS:
            model = MODELS[head]
        else:
            return None
        last = rest
    split = split or ("validation" if core else UNSAID)
    return model, (split, scenario or _WHOLE[split]), FIGURES[last]


def _told(fact: str, value: object) -> bool:
    if fact == "seed":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str) and bool(value.strip())


def _take(facts: Facts, fact: str, value: Any, source: str) -> None:
    match fact:
        case "dataset":
            facts.dataset = value.strip()
        case "model":
            facts.model = MODELS.get(value.strip().lower(), _plain(value))
            if value.strip().lower().endswith("_student"):
                facts.size = "small"
        case "size":
            facts.size = SIZES.get(value.strip().lower(), UNKNOWN)
        case "seed":
            facts.seed = value
        case _:
            facts.model = facts.model or OF_STAGE.get(value.strip().lower())
    facts.mapped[fact] = source


def _take_teacher(facts: Facts, values: dict[str, Any]) -> None:
    for key in DISTILLED:
        if values.get(key) not in (None, "", False, "none", "None"):
            facts.distilled = True
            facts.mapped["distilled"] = key
            values.pop(key)
            return
    given = values.pop("auxiliaries", None)
    if given not in (None, [], "none"):
        facts.distilled = True
        facts.mapped["distilled"] = "auxiliaries"


def _take_place(facts: Facts, place: list[str]) -> None:
    """Names of folders such as `hcrl_sa/gat_small_curriculum_kd`."""
    words = [word for part in place for word in part.lower().split("_")]
    if facts.dataset is None:
        known = [part for part in place if part in DATASETS]
        guess = known[-1] if known else place[-2] if len(place) > 1 else None
        if guess and _NAME.fullmatch(guess):
            facts.dataset, facts.mapped["dataset"] = guess, "the folder's name"
    if facts.model is None:
        kinds = [MODELS[word] for word in words if word in MODELS]
        kinds += [OF_STAGE[word] for word in words if word in OF_STAGE]
        if kinds:
            facts.model, facts.mapped["model"] = kinds[0], "the folder's name"
    if facts.size == UNKNOWN:
        sizes = [SIZES[word] for word in words if word in SIZES]
        if sizes:
            facts.size, facts.mapped["size"] = sizes[-1], "the folder's name"
    if not facts.distilled and "kd" in words:
        facts.distilled, facts.mapped["distilled"] = True, "the folder's name"


def _plain(word: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", word.lower()).strip("_")[:40] or UNKNOWN


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def by_split(places: Iterable[Place]) -> dict[str, list[str]]:
    """The scenarios of each split."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for split, scenario in places:
        found[split].append(scenario)
    return dict(found)
