"""METRICS: the figures that models are ranked by, with their range, unit and better side."""

from __future__ import annotations

from dataclasses import dataclass

from kdgat.errors import RunError, did_you_mean


@dataclass(frozen=True)
class Metric:
    """A figure of an evaluation, of one scenario or of the mean over scenarios."""

    name: str
    title: str
    unit: str = ""
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0
    caution: str = ""
    """What to know before believing a ranking by it."""

    @property
    def label(self) -> str:
        """Title and unit, for the head of a column or an axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def better(self, one: float, two: float) -> bool:
        """Whether `one` is better than `two`."""
        return one > two if self.higher_is_better else one < two


_DETECTED = "averaged over detected attacks alone: a model that misses many may look fast"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("f1", "F1"),
        Metric("auroc", "AUROC", caution="says nothing of the threshold"),
        Metric("auprc", "AUPRC", caution="says nothing of the threshold"),
        Metric("precision", "precision"),
        Metric("recall", "recall"),
        Metric("mcc", "MCC", low=-1.0),
        Metric("accuracy", "accuracy", caution="high where attacks are rare, whatever the model"),
        Metric("specificity", "specificity"),
        Metric("false_alarms_per_hour", "false alarms", "per benign hour", False, high=None),
        Metric("delay_s", "detection delay", "s", False, high=None, caution=_DETECTED),
        Metric("delay_windows", "detection delay", "windows", False, high=None, caution=_DETECTED),
    )
}

COSTS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("parameters", "parameters", "count", False, high=None),
        Metric("checkpoint_bytes", "checkpoint", "bytes", False, high=None),
        Metric(
            "latency_ms", "latency", "ms a window", False, high=None,
            caution="measured where each evaluation ran",
        ),
    )
}  # fmt: skip
"""What a model costs; the other side of a Pareto front."""


def metric_named(name: str) -> Metric:
    """The metric of this name.

    Raises:
        RunError: there is none.
    """
    if name not in METRICS:
        raise RunError(f"no metric '{name}' to rank models by", hint=did_you_mean(name, METRICS))
    return METRICS[name]


def cost_named(name: str) -> Metric:
    """The cost of this name.

    Raises:
        RunError: there is none.
    """
    if name not in COSTS:
        raise RunError(f"no cost '{name}' to weigh models by", hint=did_you_mean(name, COSTS))
    return COSTS[name]
