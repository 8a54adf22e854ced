"""A trained model on a stream of messages: windows, scores and alarms as they complete.

A window gets the score that `evaluate` would give it: the same windows, features and threshold, in
pieces instead of a whole capture. `adapted` takes the first seconds for the vehicle's profile, and
scores none of them; `zero_shot` takes nothing and scores from the first message on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64, Int8, Int64

from kdgat.configs.evaluation import EvaluationConfig, Protocol
from kdgat.data.features import feature_names
from kdgat.data.graphs import Graphs, concatenate
from kdgat.data.measured import (
    REFERENCES,
    graphs_by_library,
    graphs_by_profile,
    graphs_of_prefix,
    prefix_messages,
)
from kdgat.data.profiles import VehicleProfile, make_profile
from kdgat.data.store import GraphStore
from kdgat.data.windows import Messages, window_starts
from kdgat.errors import CheckpointError, DataError
from kdgat.stages.prepare import Prepared
from kdgat.stages.suspicion import Suspect, suspects
from kdgat.training.adaptation import adapted, adapts
from kdgat.training.calibration import FROM_PREFIX, Calibration
from kdgat.training.checkpoint import TrainedModel
from kdgat.training.scoring import score_parts

SUSPECTS = 3
"""Ids named in an alarm."""
_MOST_PER_S = 50_000
"""Messages a second that no bus carries, not even at 1 Mbit/s."""


@dataclass(frozen=True)
class Verdict:
    """What the model says of one window."""

    window: int
    """Its number, from 0 at the capture's first message; those of the prefix have theirs, too."""
    start_s: float
    """Time of its first message, on the capture's clock."""
    end_s: float
    """Time of its last message: the earliest that anybody could know."""
    score: float
    threshold: float
    alarm: bool
    reference: str
    """What it was measured against: `own`, `borrowed` (a training vehicle's) or `unprofiled`."""
    suspects: tuple[Suspect, ...]
    """Of an alarm, the most suspicious ids, the worst first."""
    waited_s: float
    """From its first message to its last, on the capture's clock."""
    computed_s: float
    """From the arrival of its last message here to the decision."""


class Detector:
    """Takes messages as they come, and judges every window that they complete.

    Raises:
        CheckpointError: the model's training did not end.
    """

    def __init__(
        self,
        subject: TrainedModel,
        prepared: Prepared,
        protocol: Protocol,
        evaluation: EvaluationConfig,
    ) -> None:
        if subject.calibration is None:
            raise CheckpointError(
                "the model is of a training that did not end",
                hint="train again with the same overrides; it goes on from its last epoch",
            )
        self.protocol = protocol
        self.prefix_s = subject.config.data.prefix_s
        self.seen = 0
        """Messages so far."""
        self._subject = subject
        self._evaluation = evaluation
        self._data = subject.config.data
        self._scaler, self._vocabulary = prepared.scaler, prepared.ids()
        self._names = feature_names(self._data.features)
        self._library = prepared.library() if protocol == "zero_shot" else {}
        self._profile: VehicleProfile | None = None
        self._own_scores: Float64[np.ndarray, "windows"] | None = None
        self._thresholds: dict[int, float] = {}
        self._held: list[Messages] = []
        self._first = 0
        self._next = 0

    @property
    def learning(self) -> bool:
        """Whether the messages so far are all of the prefix, which is never scored."""
        return self.protocol == "adapted" and self._profile is None

    @property
    def missing(self) -> int:
        """Messages that the next window still lacks; nothing is gained by giving fewer."""
        if self.learning:
            return self._data.window_messages
        return max(1, self._next + self._data.window_messages - self.seen)

    @property
    def threshold(self) -> float | None:
        """Where an alarm began for the windows so far; None without any."""
        return max(self._thresholds.values(), default=None)

    def take(self, messages: Messages, arrived_s: float | None = None) -> list[Verdict]:
        """The verdicts on the windows that these messages complete.

        Args:
            messages: what followed the messages before.
            arrived_s: when the last of them came, by `time.perf_counter`; now, if it is not given.

        Raises:
            DataError: the clock stands still, so that the prefix has no end.
        """
        arrived_s = time.perf_counter() if arrived_s is None else arrived_s
        if not len(messages):
            return []
        self._held.append(messages)
        self.seen += len(messages)
        if self.learning and not self._learn(messages):
            return []
        window, stride = self._data.window_messages, self._data.stride_messages
        if self.seen < self._next + window:
            return []
        held = self._joined()
        starts = window_starts(self.seen - self._next, window, stride) + self._next - self._first
        verdicts = self._judge(held, starts, arrived_s)
        self._next += stride * len(starts)
        keep = min(self._next - self._first, len(held))
        self._held, self._first = [held.span(keep, len(held))], self._first + keep
        return verdicts

    def _learn(self, messages: Messages) -> bool:
        """Make the profile, once the prefix is over."""
        begin_s = float(self._held[0].time_s[0])
        if not (messages.time_s >= begin_s + self.prefix_s).any():
            if self.seen > _MOST_PER_S * self.prefix_s:
                raise DataError(
                    f"{self.seen:,} messages have come within {self.prefix_s:g} s, by their own "
                    "times: the capture's clock seems to stand still",
                    hint="record with absolute time stamps (candump -t a, or -L), or use "
                    "--protocol zero_shot",
                )
            return False
        held = self._joined()
        count = prefix_messages(held, self.prefix_s)
        prefix, stride = held.span(0, count), self._data.stride_messages
        self._profile = make_profile(prefix, self.prefix_s)
        self._adapt(prefix)
        self._next = -(-count // stride) * stride
        return True

    def _joined(self) -> Messages:
        """What is held, in one piece."""
        if len(self._held) > 1:
            columns = zip(*(tuple(vars(each).values()) for each in self._held), strict=True)
            self._held = [Messages(*(np.concatenate(column) for column in columns))]
        return self._held[0]

    def _judge(
        self, held: Messages, starts: Int64[np.ndarray, "windows"], arrived_s: float
    ) -> list[Verdict]:
        if self._profile is None:
            made = graphs_by_library(held, starts, self._library, self._data, self._vocabulary)
        else:
            made = graphs_by_profile(held, starts, self._profile, self._data, self._vocabulary)
        graphs, reference = self._scaled(made[0]), made[1]
        score = self._scores(self._store(graphs, reference))
        lines = np.array([self._threshold(number) for number in reference.tolist()])
        alarm = score >= lines
        named = {
            int(i): self._suspects(held, int(starts[i]), graphs, int(i))
            for i in np.flatnonzero(alarm)
        }
        numbers = (starts + self._first) // self._data.stride_messages
        computed_s = time.perf_counter() - arrived_s
        return [
            Verdict(
                window=int(numbers[i]),
                start_s=float(graphs.start_s[i]),
                end_s=float(graphs.end_s[i]),
                score=float(score[i]),
                threshold=float(lines[i]),
                alarm=bool(alarm[i]),
                reference=REFERENCES[int(reference[i])],
                suspects=named.get(i, ()),
                waited_s=max(0.0, float(graphs.end_s[i] - graphs.start_s[i])),
                computed_s=computed_s,
            )
            for i in range(len(starts))
        ]

    def _scaled(self, graphs: Graphs) -> Graphs:
        x, edge_attr = self._scaler.nodes(graphs.x), self._scaler.edges(graphs.edge_attr)
        return replace(graphs, x=x, edge_attr=edge_attr)

    def _store(self, graphs: Graphs, reference: Int8[np.ndarray, "windows"]) -> GraphStore:
        return GraphStore(
            **{name: torch.from_numpy(array) for name, array in vars(graphs).items()},
            capture=torch.zeros(len(graphs), dtype=torch.int32),
            reference=torch.from_numpy(reference),
            captures=(),
            window_messages=self._data.window_messages,
        )

    def _scores(self, store: GraphStore) -> Float64[np.ndarray, "windows"]:
        config = self._subject.config
        parts = score_parts(self._subject.model, config.model, store, config.training.max_graphs)
        return self._calibration.scores(parts)

    @property
    def _calibration(self) -> Calibration:
        assert self._subject.calibration is not None
        return self._subject.calibration

    def _adapt(self, prefix: Messages) -> None:
        """Put the model's scores where they belong on this car, as `evaluate` does."""
        if not adapts(self._subject) and self._evaluation.threshold not in FROM_PREFIX:
            return
        data, ids = self._data, self._vocabulary
        made = graphs_of_prefix(prefix, self.prefix_s, data, ids)
        graphs, references = zip(*made, strict=True)
        store = self._store(
            self._scaled(concatenate(graphs, data, ids)), np.concatenate(references)
        )
        self._subject = adapted(self._subject, store)
        if self._evaluation.threshold in FROM_PREFIX and len(store):
            self._own_scores = self._scores(store)

    def _threshold(self, reference: int) -> float:
        """Where an alarm begins for windows that are measured so."""
        if reference not in self._thresholds:
            asked, names = self._evaluation, (REFERENCES[reference],)
            self._thresholds[reference] = self._calibration.threshold(
                asked.threshold, asked.alpha, names, self._own_scores, asked.margin
            )
        return self._thresholds[reference]

    def _suspects(
        self, held: Messages, start: int, graphs: Graphs, graph: int
    ) -> tuple[Suspect, ...]:
        nodes = slice(int(graphs.node_ptr[graph]), int(graphs.node_ptr[graph + 1]))
        # Nodes are in the order of their ids.
        ids = np.unique(held.arbitration_id[start : start + self._data.window_messages])
        return suspects(graphs.x[nodes], ids, self._names, SUSPECTS)
