"""Where the time of a training step goes: five shares, and a trace for a closer look.

Shares come from steps that no profiler slows down. A few steps after them are traced. On a GPU the
clock waits for its work at each mark, and idle is the share of the traced steps in which no kernel
ran; on a CPU it is what is left, in which the loop about the step was at work.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.profiler import ProfilerActivity, profile

from kdgat.ledger.files import write_json

TRACE = "trace.json.gz"
SUMMARY = "profile.json"
_WARM_UP = 3
_MEASURED = 40
_TRACED = 5


@dataclass(frozen=True)
class StepShares:
    """Shares of a training step's time; on a GPU idle overlaps with the others."""

    steps: int
    data: float
    forward: float
    backward: float
    optimizer: float
    idle: float

    def lines(self) -> tuple[str, ...]:
        """Five lines for a person."""
        meaning = {
            "data": "batches put together",
            "forward": "model and loss",
            "backward": "gradients",
            "optimizer": "clipping and the weights' step",
            "idle": "no work on the device",
        }
        return tuple(f"{name:<9} {getattr(self, name):6.1%}  {meaning[name]}" for name in meaning)


class StepProfile(Callback):
    """Times a first epoch's steps from the fourth on, then traces some; later epochs run free."""

    def __init__(self, folder: Path, measured: int = _MEASURED, traced: int = _TRACED) -> None:
        self.folder = folder
        self.measured = measured
        self.traced = traced
        self.shares: StepShares | None = None
        phases = ("data", "forward", "backward", "optimizer", "rest")
        self._spent: dict[str, float] = dict.fromkeys(phases, 0.0)
        self._steps = 0
        self._counted = 0
        self._mark = 0.0
        self._profiler: profile | None = None
        self._done = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._mark = self._now()

    def on_train_batch_start(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A batch is there."""
        self._count("data")

    def on_before_backward(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The loss is there."""
        self._count("forward")

    def on_after_backward(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradients are there."""
        self._count("backward")

    def on_train_batch_end(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, trainer: L.Trainer, *_: Any
    ) -> None:
        """The weights are new."""
        self._count("optimizer")
        self._steps += 1
        last = self._steps >= int(trainer.num_training_batches)
        if self._steps == _WARM_UP + self.measured and not last:
            self._profiler = profile(activities=_activities())
            self._profiler.start()
        if last or self._steps == _WARM_UP + self.measured + self.traced:
            self._finish()
        self._count("rest")

    def on_exception(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Training broke off."""
        self._finish()

    def on_train_end(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Of a run with few steps."""
        self._finish()

    def _count(self, phase: str) -> None:
        """Add the time since the last mark to a phase, while steps are timed."""
        if self._done or self._profiler is not None:
            return
        now = self._now()
        if _WARM_UP <= self._steps < _WARM_UP + self.measured:
            self._spent[phase] += now - self._mark
            self._counted += phase == "optimizer"
        self._mark = now

    def _finish(self) -> None:
        """Stop, and write the summary and the trace."""
        if self._done:
            return
        self._done = True
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = sum(self._spent.values())
        idle = self._spent["rest"] / whole if whole else 0.0
        if self._profiler is not None:
            self._profiler.stop()
            self._profiler.export_chrome_trace(str(self.folder / TRACE))
            busy = device_busy(self._profiler)
            idle = idle if busy is None else 1 - busy
        if whole:
            parts = {name: spent / whole for name, spent in self._spent.items() if name != "rest"}
            self.shares = StepShares(steps=self._counted, idle=idle, **parts)
            write_json(self.folder / SUMMARY, asdict(self.shares))

    def _now(self) -> float:
        if torch.cuda.is_available() and not self._done:
            torch.cuda.synchronize()
        return time.perf_counter()


def device_busy(profiler: profile) -> float | None:
    """Share of a trace in which the GPU ran a kernel; None where there was none."""
    assert profiler.profiler is not None
    results = profiler.profiler.kineto_results
    assert results is not None
    spans = sorted(
        (event.start_ns(), event.start_ns() + event.duration_ns())
        for event in results.events()
        if event.device_type() == torch.autograd.DeviceType.CUDA  # pyright: ignore[reportPrivateImportUsage]
    )
    if not spans:
        return None
    busy, end = 0, spans[0][0]
    for start, stop in spans:
        busy += max(0, stop - max(start, end))
        end = max(end, stop)
    return busy / (end - spans[0][0])


def _activities() -> list[ProfilerActivity]:
    on_gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    return [ProfilerActivity.CPU, *on_gpu]
