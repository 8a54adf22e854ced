"""How a model's score of a window becomes a decision, from benign windows alone.

Benign validation scores are kept by what their windows were measured against and by vehicle, so
that a threshold can be chosen when a model is judged, for the protocol it is judged under. `alpha`
is the false-alarm rate that a threshold aims at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from kdgat.configs.evaluation import EvaluationConfig, Threshold
from kdgat.configs.model import ONE_CLASS, ModelConfig
from kdgat.data.measured import OWN, REFERENCES
from kdgat.data.store import GraphStore

FROM_PREFIX = ("vehicle", "benign_quantile", "conformal")
"""Thresholds that, under `adapted`, the scores of a capture's own prefix have a say in."""
EVEN = 0.5
"""Where a probability says attack rather than benign."""
_USUAL = EvaluationConfig()
_LEAST_THRESHOLD = 1e-9
_LEAST_SPREAD = 1e-9
_FEWEST_PREFIX = 20
"""Windows below which a prefix says nothing of a part's spread."""
_STRETCH = (0.5, 3.0)
"""How much narrower or wider than training traffic a prefix may make a part: beyond that it is more
likely poisoned than of such a car."""
_SHIFT = 3.0
"""How far a prefix may shift a part, in distances of the 84 % quantile from the median."""


@dataclass(frozen=True)
class Calibration:
    """Centre and spread of each part of a score on benign windows, and benign windows' scores."""

    center: Sequence[float]
    spread: Sequence[float]
    even: float | None
    """Threshold at even odds of a model that was trained with labels; None for others."""
    benign: Mapping[str, Mapping[str, Sequence[float]]]
    """Scores of benign validation windows, by what they were measured against (`REFERENCES`), then
    by vehicle."""
    usual: Sequence[tuple[float, float]] = ()
    """Median of each part, and how far its 84 % quantile is above, on benign validation windows
    that are measured against their own captures; none where no window was."""

    def scores(self, parts: Float64[np.ndarray, "windows parts"]) -> Float64[np.ndarray, "windows"]:
        """One score a window: the largest of its standardised parts."""
        standard = (parts - np.asarray(self.center)) / np.asarray(self.spread)
        return standard.max(axis=1)

    def adapted(self, prefix: Float64[np.ndarray, "windows parts"]) -> Calibration:
        """The calibration for one capture, from the parts of unlabelled windows of its prefix.

        Each part is shifted and stretched so that the prefix's median and 84 % quantile come to
        where those of benign training traffic are: a car on which all scores are a little higher
        is no car under attack. They are quantiles and bounded, so that attack windows in the prefix
        move little.
        Models that were trained with labels are taken as they are.
        """
        if self.even is not None or not self.usual or len(prefix) < _FEWEST_PREFIX:
            return self
        center, spread = list(self.center), list(self.spread)
        for i, ((middle, above), (here, here_above)) in enumerate(
            zip(self.usual, _usual(prefix), strict=True)
        ):
            stretch = float(np.clip(here_above / above, *_STRETCH))
            here = float(np.clip(here, middle - _SHIFT * above, middle + _SHIFT * above))
            center[i] = here - (middle - self.center[i]) * stretch
            spread[i] = self.spread[i] * stretch
        return replace(self, center=center, spread=spread)

    def threshold(
        self,
        method: Threshold = "auto",
        alpha: float = _USUAL.alpha,
        references: Iterable[str] = ("own",),
        prefix: Float64[np.ndarray, "windows"] | None = None,
        margin: float = _USUAL.margin,
    ) -> float:
        """The score from which on a window is an alarm.

        Args:
            method: `fixed` is at even odds; `benign_quantile` the quantile 1 - alpha of all benign
                scores; `vehicle` the largest of the vehicles' own quantiles; `conformal` the
                smallest score that split conformal prediction allows (Vovk et al. 2005): with
                exchangeable benign windows at most a share alpha of them is above. `auto` is fixed
                where there are even odds, and otherwise vehicle times the margin.
            alpha: false-alarm rate.
            references: what the windows to judge are measured against; where no validation window
                was, all of them count.
            prefix: scores of a test capture's own prefix. With `vehicle` they are one vehicle more;
                `benign_quantile` and `conformal` take nothing else; `auto` has no use for them.
            margin: of `auto`.
        """
        if method == "fixed" or (method == "auto" and self.even is not None):
            return EVEN if self.even is None else self.even
        names = [name for name in references if self.benign.get(name)] or list(self.benign)
        vehicles = self._vehicles(names)
        if prefix is not None and len(prefix) and method != "auto":
            vehicles = [*vehicles, prefix] if method == "vehicle" else [prefix]
        everything = np.concatenate(vehicles)
        match method:
            case "benign_quantile":
                return float(np.quantile(everything, 1 - alpha))
            case "conformal":
                return _conformal(everything, alpha)
            case _:
                strictest = max(float(np.quantile(scores, 1 - alpha)) for scores in vehicles)
                # A margin is room above what is benign, so it never lowers a threshold.
                return strictest * margin if method == "auto" and strictest > 0 else strictest

    def odds(
        self, score: Float64[np.ndarray, "windows"], references: Iterable[str] = ("own",)
    ) -> Float64[np.ndarray, "windows"]:
        """A score from 0 to 1 that is 0.5 at the model's own threshold.

        A probability is taken as it is; any other score r times its threshold becomes r / (1 + r).
        """
        if self.even is not None:
            return score
        ratio = np.maximum(score, 0) / max(self.threshold(references=references), _LEAST_THRESHOLD)
        return ratio / (1 + ratio)

    def _vehicles(self, names: Iterable[str]) -> list[Float64[np.ndarray, "windows"]]:
        together: dict[str, list[float]] = {}
        for name in names:
            for vehicle, scores in self.benign[name].items():
                together.setdefault(vehicle, []).extend(scores)
        return [np.asarray(scores) for scores in together.values()]


def calibrate(
    config: ModelConfig, parts: Float64[np.ndarray, "windows parts"], store: GraphStore
) -> Calibration:
    """Calibration of a model from its score parts on a validation store.

    A score that is even odds at 0.5 is taken as it is; the parts of one-class models (`ONE_CLASS`)
    are put in standard deviations of benign windows.

    Args:
        config: the model's config.
        parts: the score of each window of the store.
        store: validation windows, with labels, of which the benign ones count.
    """
    labelled = config.kind not in ONE_CLASS
    benign = (store.y == 0).numpy()
    if labelled:
        center, spread = np.zeros(parts.shape[1]), np.ones(parts.shape[1])
    else:
        center = parts[benign].mean(axis=0)
        spread = np.maximum(parts[benign].std(axis=0), 1e-9)
    own = benign & (store.reference.numpy() == OWN)
    usual = _usual(parts[own]) if own.sum() >= _FEWEST_PREFIX else ()
    unset = Calibration(center.tolist(), spread.tolist(), EVEN if labelled else None, {}, usual)
    score = unset.scores(parts)
    vehicle = np.array([label.vehicle for label in store.captures], dtype=object)
    vehicle = vehicle[store.capture.numpy()] if len(store.captures) else vehicle
    kept: dict[str, dict[str, list[float]]] = {}
    for number, name in REFERENCES.items():
        measured = store.reference.numpy() == number
        here = benign & measured
        for each in sorted(set(vehicle[here].tolist())):
            kept.setdefault(name, {})[each] = score[here & (vehicle == each)].tolist()
    return replace(unset, benign=kept)


def _usual(parts: Float64[np.ndarray, "windows parts"]) -> tuple[tuple[float, float], ...]:
    """Median and distance of the 84 % quantile from it, of each part."""
    middle, high = np.quantile(parts, (0.5, 0.84), axis=0)
    above = np.maximum(high - middle, _LEAST_SPREAD)
    return tuple(zip(middle.tolist(), above.tolist(), strict=True))


def _conformal(scores: Float64[np.ndarray, "windows"], alpha: float) -> float:
    """Just above the ceil((n + 1)(1 - alpha))-th smallest score; above all where n is too small."""
    place = math.ceil((len(scores) + 1) * (1 - alpha))
    ordered = np.sort(scores)
    return float(np.nextafter(ordered[min(place, len(ordered)) - 1], np.inf))
