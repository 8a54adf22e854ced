"""The operation that watches a log, or a live bus, with a trained run."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from kdgat.configs.evaluation import PROTOCOLS, EvaluationConfig, Protocol
from kdgat.configs.fields import config_error, fields_of
from kdgat.data.formats import FORMATS
from kdgat.data.oddities import Oddity
from kdgat.errors import ConfigError, DataError, did_you_mean
from kdgat.ops.interrupt import Interrupt
from kdgat.ops.trained import usable_run
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.data.log_stream import LogStream, Source
    from kdgat.stages.detect import Detector, Verdict

STDIN = "-"
"""Stands for standard input where a capture is named."""


@dataclass(frozen=True)
class DetectionStart:
    """What is known before the first window: the log's format, the model, how it is asked."""

    run_id: str
    name: str
    protocol: Protocol
    capture: str
    format: str
    prefix_s: float | None
    """Seconds at the beginning that are taken for the profile and never scored (`adapted`)."""


@dataclass(frozen=True)
class DetectionSummary:
    """A log from its first message to its last, or to the interrupt."""

    run_id: str
    name: str
    protocol: Protocol
    capture: str
    format: str
    prefix_s: float | None
    threshold: float | None
    """Where an alarm began; the strictest, where windows have several. None without a window."""
    windows: int
    """Windows that were scored."""
    alarms: int
    messages: int
    capture_s: float
    """From the earliest message to the latest, on the capture's clock."""
    malformed_lines: int
    """Lines that no message could be made of."""
    first_malformed: str | None
    """The first of them, with its number."""
    oddities: tuple[Oddity, ...]
    """Messages that were taken although something about them is strange, counted."""
    busy_s: float
    """Time spent on reading lines, on graphs and on the model, without waiting for input."""
    messages_per_s: float | None
    times_real_time: float | None
    """`capture_s` over `busy_s`."""
    delay_mean_s: float | None
    """From a window's first message to its decision: filling the window, then computing."""
    delay_worst_s: float | None
    computed_mean_s: float | None
    """The computing alone, from the arrival of a window's last message."""
    computed_worst_s: float | None
    interrupted: bool
    cut_short: str | None
    """Why the log ended too early, if its packing is damaged."""


def detect(
    ws: Workspace,
    capture: str,
    *,
    model: str = "latest",
    protocol: str = "adapted",
    format: str | None = None,
    threshold: str | None = None,
    alpha: float | None = None,
    stdin: Source | None = None,
    on_start: Callable[[DetectionStart], None] = lambda _: None,
    on_window: Callable[[Verdict], None] = lambda _: None,
) -> DetectionSummary:
    """Score every window of a log as it completes; an interrupt ends it with the summary.

    Args:
        ws: the workspace.
        capture: a file, packed with gzip or not, or `-` for standard input.
        model: id of a training run, the beginning of one, `latest`, or a model's version.
        protocol: `adapted` takes the first `data.prefix_s` seconds for the vehicle's profile;
            `zero_shot` measures against the training vehicles.
        format: of the log; told by its content if it is not given.
        threshold: as `evaluation.threshold`; the run's own if it is not given.
        alpha: as `evaluation.alpha`.
        stdin: what `-` stands for.
        on_start: told once, before the first window.
        on_window: told of every window, at once.

    Raises:
        ConfigError: the protocol or the threshold is none.
        RunError: there is no such run, it is not completed, or it is no training run.
        DataError: the log can't be read, its format can't be told, or it holds no window to score.
        CheckpointError: the run's best checkpoint is damaged.
    """
    known = _protocol(protocol)
    _check_format(format)
    _need_file(capture)
    options = {"threshold": threshold, "alpha": alpha}
    asked = {name: value for name, value in options.items() if value is not None}
    _evaluation(EvaluationConfig(), asked)
    run = usable_run(ws, model)
    from kdgat.data.log_stream import LogStream
    from kdgat.data.sealing import labels_sealed
    from kdgat.stages.detect import Detector

    config = run.model.config
    detector = Detector(run.model, run.prepared, known, _evaluation(config.evaluation, asked))
    name = "standard input" if capture == STDIN else capture
    prefix_s = config.data.prefix_s if known == "adapted" else None
    watch = _Watch(detector, on_window)
    with ExitStack() as opened, labels_sealed(), Interrupt() as interrupt:
        try:
            source = interrupt.source(_open(opened, capture, stdin))
            stream = LogStream(source, name, format)
        except KeyboardInterrupt:
            raise DataError(
                f"interrupted before '{name}' gave enough lines to tell its format",
                hint="wait until something is recorded",
            ) from None
        start = DetectionStart(
            run.record.run_id, run.record.name, known, name, stream.layout.format, prefix_s
        )
        on_start(start)
        watch.follow(stream)
    if not watch.interrupted:
        _need_windows(watch, name, config.data.window_messages)
    return watch.summary(start, stream)


@dataclass
class _Watch:
    """Counts what a detector says of a stream."""

    detector: Detector
    on_window: Callable[[Verdict], None]
    windows: int = 0
    alarms: int = 0
    busy_s: float = 0.0
    span: tuple[float, float] | None = None
    interrupted: bool = False
    delays: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Sum and largest."""
    computed: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def follow(self, stream: LogStream) -> None:
        """Take the stream to its end, or to an interrupt."""
        try:
            while True:
                begin_s, waited_s = time.perf_counter(), stream.waited_s
                messages = stream.next_messages(self.detector.missing)
                if messages is None:
                    return
                verdicts = self.detector.take(messages, stream.arrived_s)
                self.busy_s += time.perf_counter() - begin_s - (stream.waited_s - waited_s)
                if len(messages):
                    first, last = float(messages.time_s.min()), float(messages.time_s.max())
                    low, high = self.span or (first, last)
                    self.span = (min(low, first), max(high, last))
                for verdict in verdicts:
                    self._note(verdict)
        except KeyboardInterrupt:
            self.interrupted = True

    def _note(self, verdict: Verdict) -> None:
        self.windows += 1
        self.alarms += verdict.alarm
        delay_s = verdict.waited_s + verdict.computed_s
        for kept, value in ((self.delays, delay_s), (self.computed, verdict.computed_s)):
            kept[0] += value
            kept[1] = max(kept[1], value)
        self.on_window(verdict)

    def summary(self, start: DetectionStart, stream: LogStream) -> DetectionSummary:
        """All figures, as far as there are any."""
        tally, some = stream.tally, self.windows > 0
        capture_s = self.span[1] - self.span[0] if self.span else 0.0
        bad = tally.first_malformed
        worked = self.busy_s > 0 and tally.messages > 0
        return DetectionSummary(
            **vars(start),
            threshold=self.detector.threshold,
            windows=self.windows,
            alarms=self.alarms,
            messages=tally.messages,
            capture_s=capture_s,
            malformed_lines=tally.malformed,
            first_malformed=None if bad is None else f"line {bad[0]}: {bad[1]}",
            oddities=tuple(tally.odd.values()),
            busy_s=self.busy_s,
            messages_per_s=tally.messages / self.busy_s if worked else None,
            times_real_time=capture_s / self.busy_s if worked else None,
            delay_mean_s=self.delays[0] / self.windows if some else None,
            delay_worst_s=self.delays[1] if some else None,
            computed_mean_s=self.computed[0] / self.windows if some else None,
            computed_worst_s=self.computed[1] if some else None,
            interrupted=self.interrupted,
            cut_short=stream.cut_short,
        )


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol '{name}'", hint=did_you_mean(name, PROTOCOLS))
    return cast(Protocol, name)


def _check_format(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        raise ConfigError(f"unknown format '{format}'", hint=did_you_mean(format, FORMATS))


def _evaluation(config: EvaluationConfig, asked: dict[str, Any]) -> EvaluationConfig:
    """How to judge, with what the user asked for in place of the run's own."""
    try:
        return EvaluationConfig.model_validate({**config.model_dump(), **asked})
    except ValidationError as error:
        raise config_error(error, "the options", fields_of("", EvaluationConfig)) from error


def _need_file(capture: str) -> None:
    """Tell of a wrong path before the model is loaded, which takes seconds."""
    path = Path(capture)
    if capture == STDIN or (path.exists() and not path.is_dir()):
        return
    from kdgat.data.formats.text import unreadable

    raise unreadable(path, IsADirectoryError() if path.is_dir() else FileNotFoundError())


def _open(opened: ExitStack, capture: str, stdin: Source | None) -> Source:
    if capture == STDIN:
        if stdin is None:
            raise DataError("there is no standard input", hint="name a file")
        return stdin
    from kdgat.data.formats.text import unreadable

    path = Path(capture)
    try:
        return opened.enter_context(path.open("rb"))
    except OSError as error:
        raise unreadable(path, error) from error


def _need_windows(watch: _Watch, name: str, window: int) -> None:
    """Refuse a log that ended before anything could be scored."""
    if watch.windows:
        return
    length = watch.span[1] - watch.span[0] if watch.span else 0.0
    detector = watch.detector
    if detector.learning:
        raise DataError(
            f"'{name}' ends after {length:.1f} s, and its first {detector.prefix_s:g} s are taken "
            "for the vehicle's profile and not scored",
            hint="record longer, or use --protocol zero_shot, which needs no profile",
        )
    raise DataError(
        f"'{name}' has {detector.seen:,} messages, too few for one window of {window} that is "
        "scored",
        hint="record longer",
    )
