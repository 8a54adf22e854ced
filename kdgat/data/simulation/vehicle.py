"""A vehicle: its messages, the control units that send them, and their schedule.

A unit wakes every 10 ms by its own clock, which is a little fast or slow and trembles, and then
sends all its messages that are due at once. So frames come back to back, as on a real bus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from kdgat.data.simulation.bus import Traffic, join
from kdgat.data.simulation.drive import Drive
from kdgat.data.simulation.fields import Field, Moment

TICK_S = 0.01
"""How often a control unit wakes, in seconds."""

_TREMBLE_SIGMAS = 2.5
_QUEUE_S = 2e-5


@dataclass(frozen=True)
class Unit:
    """A control unit: when it first wakes, how fast its clock runs, and how much it trembles."""

    phase_s: float
    tick_s: float
    jitter_s: float


@dataclass(frozen=True)
class Message:
    """A message of a vehicle: its id, its unit, which ticks it is sent at, and its payload."""

    arbitration_id: int
    unit: int
    every_ticks: int
    first_tick: int
    dlc: int
    fields: tuple[Field, ...]
    role: str = ""
    """The signal that the car reads from this message ("gear", "rpm", "speed"), if any."""

    @property
    def period_s(self) -> float:
        """Seconds between two of them."""
        return self.every_ticks * TICK_S

    def payloads(self, moment: Moment) -> UInt8[np.ndarray, "messages 8"]:
        """The payloads at the moment's times."""
        payload = np.zeros((len(moment.times_s), 8), dtype=np.uint8)
        for field in self.fields:
            field.fill(payload, moment)
        return payload


@dataclass(frozen=True)
class Vehicle:
    """A car model: the control units on its bus, and their messages."""

    units: tuple[Unit, ...]
    messages: tuple[Message, ...]

    def reads(self, signal: str) -> Message:
        """The message from which the car reads `signal`."""
        return next(message for message in self.messages if message.role == signal)

    def frequent(self) -> list[Message]:
        """Messages sent at least every 20 ms."""
        return [message for message in self.messages if message.every_ticks <= 2]


def schedule(vehicle: Vehicle, drive: Drive, length_s: float, rng: np.random.Generator) -> Traffic:
    """All that the vehicle wants to send in `length_s` seconds, message by message."""
    wakes = [_wakes(unit, length_s, rng) for unit in vehicle.units]
    return join([_one(message, wakes[message.unit], drive, rng) for message in vehicle.messages])


def _wakes(unit: Unit, length_s: float, rng: np.random.Generator) -> Float[np.ndarray, " ticks"]:
    count = max(1, int((length_s - unit.phase_s) / unit.tick_s))
    tremble = np.clip(rng.standard_normal(count), -_TREMBLE_SIGMAS, _TREMBLE_SIGMAS)
    return unit.phase_s + unit.tick_s * np.arange(count) + unit.jitter_s * tremble


def _one(
    message: Message,
    wakes_s: Float[np.ndarray, " ticks"],
    drive: Drive,
    rng: np.random.Generator,
) -> Traffic:
    due_s = wakes_s[message.first_tick :: message.every_ticks]
    due_s = due_s + _QUEUE_S * rng.random(len(due_s))
    turn = np.arange(len(due_s)) + rng.integers(256)
    payload = message.payloads(Moment(due_s, turn, drive, rng))
    return Traffic(
        due_s=due_s,
        arbitration_id=np.full(len(due_s), message.arbitration_id, dtype=np.uint16),
        dlc=np.full(len(due_s), message.dlc, dtype=np.uint8),
        payload=payload,
        attack=np.zeros(len(due_s), dtype=bool),
        turn=turn,
    )
