"""Drawing a vehicle: which ids it has, how often each is sent, and what stands in its payloads.

The shares below follow HCRL's survival analysis set (Han, Kwak and Kim 2018): nearly all messages
have 8 bytes, most of the traffic is sent every 10 ms, about a third of the ids never change.
"""

from __future__ import annotations

import string
from dataclasses import replace

import numpy as np

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.simulation.drive import SIGNALS
from kdgat.data.simulation.fields import (
    Checksum,
    ChecksumKind,
    Constant,
    Counter,
    Field,
    Pages,
    Sensor,
)
from kdgat.data.simulation.vehicle import TICK_S, Message, Unit, Vehicle

_ROLES = ("gear", "rpm", "speed")
_CHECKSUMS: tuple[ChecksumKind, ...] = ("xor", "sum", "crc8")
_FIXED_SHARE = 0.35
_CONSTANT_SHARE = 0.75
_CHECKSUM_SHARE = 0.25
_GAIN_DECADES = 1.3
_SLOW_TICKS = np.array([2, 5, 10, 20, 50, 100])
_SLOW_SHARES = np.array([0.3, 0.1, 0.3, 0.15, 0.05, 0.1])
# 000 is the flood's, and car makers leave the ids from 700 up to diagnosis.
_IDS = np.arange(0x001, 0x700)


def draw_vehicle(number: int, config: SimulationConfig) -> Vehicle:
    """Vehicle `number` (from 0) of the seed; the others have no influence on it."""
    rng = np.random.default_rng([config.seed, 1, number])
    count = int(rng.integers(config.ids_min, config.ids_max + 1))
    ids = np.sort(rng.choice(_IDS, size=count, replace=False))
    every_ticks = _draw_periods(ids, config, rng)
    units = _draw_units(config, rng)
    checksum = _CHECKSUMS[rng.integers(len(_CHECKSUMS))]
    roles = dict(zip(rng.choice(np.flatnonzero(every_ticks == 1), 3, False), _ROLES, strict=True))
    messages = []
    for index in range(count):
        role = roles.get(index, "")
        dlc = 8 if role or rng.random() < 0.85 else int(rng.integers(2, 8))
        messages.append(
            Message(
                arbitration_id=int(ids[index]),
                unit=int(rng.integers(len(units))),
                every_ticks=int(every_ticks[index]),
                first_tick=int(rng.integers(every_ticks[index])),
                dlc=dlc,
                fields=_draw_fields(dlc, role, checksum, rng),
                role=role,
            )
        )
    return Vehicle(units, tuple(messages))


def vehicle_name(number: int) -> str:
    """The name of vehicle `number`: carA, carB, ..."""
    return f"car{string.ascii_uppercase[number]}"


def _draw_periods(
    ids: np.ndarray, config: SimulationConfig, rng: np.random.Generator
) -> np.ndarray:
    """Ticks between two messages of each id, so that all together reach the vehicle's rate.

    Low ids win the bus, so designers give them to the messages that are sent most often.
    """
    most = min(config.rate_max_per_s, 0.8 * len(ids) / TICK_S)
    rate_per_s = rng.uniform(min(config.rate_min_per_s, most), most)
    every_ticks = rng.choice(_SLOW_TICKS, size=len(ids), p=_SLOW_SHARES)
    every_ticks[np.cumsum(1 / (every_ticks * TICK_S)) > rate_per_s] = _SLOW_TICKS[-1]
    for index in np.argsort(ids + rng.normal(0, 400, size=len(ids))):
        missing_per_s = rate_per_s - (1 / (every_ticks * TICK_S)).sum()
        if missing_per_s < 1 / TICK_S and (every_ticks == 1).sum() >= len(_ROLES):
            break
        every_ticks[index] = 1
    return every_ticks


def _draw_units(config: SimulationConfig, rng: np.random.Generator) -> tuple[Unit, ...]:
    """Five to nine control units.

    In the real set the time between two messages of an id has a standard deviation of 0.1 to
    1.2 ms, and clocks differ by some parts in a thousand.
    """
    return tuple(
        Unit(
            phase_s=rng.uniform(0.005, 0.015),
            tick_s=TICK_S * (1 + rng.uniform(-1e-3, 1e-3)),
            jitter_s=1e-3 * config.jitter_ms * 10 ** rng.uniform(-1, 0),
        )
        for _ in range(rng.integers(5, 10))
    )


def _draw_fields(
    dlc: int, role: str, checksum: ChecksumKind, rng: np.random.Generator
) -> tuple[Field, ...]:
    """The fields of one payload of `dlc` bytes: one for each byte or pair, a checksum last."""
    if not role and rng.random() < _FIXED_SHARE:
        return tuple(_draw_constant(offset, rng) for offset in range(dlc))
    end: list[Field] = []
    if dlc >= 4 and (role or rng.random() < _CHECKSUM_SHARE):
        dlc -= 1
        end.append(Checksum(dlc, checksum, int(rng.integers(256))))
    if end or rng.random() < 0.4:
        dlc -= 1
        end.insert(0, Counter(dlc, int(rng.choice([16, 16, 16, 256]))))
    if not role and dlc >= 3 and rng.random() < 0.15:
        return (_draw_pages(dlc, rng), *end)
    fields: list[Field] = []
    offset = 0
    if role:
        offset = 1 if role == "gear" else 2
        fields.append(replace(_draw_sensor(0, offset, role, rng), gain=1.0))
    while offset < dlc:
        if rng.random() < _CONSTANT_SHARE:
            fields.append(_draw_constant(offset, rng))
            offset += 1
        else:
            width = int(rng.integers(1, min(2, dlc - offset) + 1))
            fields.append(_draw_sensor(offset, width, str(rng.choice(SIGNALS)), rng))
            offset += width
    return (*fields, *end)


def _draw_constant(offset: int, rng: np.random.Generator) -> Constant:
    values = np.array([0x00, 0xFF, rng.integers(256)])
    return Constant(offset, int(rng.choice(values, p=[0.5, 0.15, 0.35])))


def _draw_sensor(offset: int, width: int, signal: str, rng: np.random.Generator) -> Sensor:
    noise = 0.0 if signal == "gear" else float(rng.choice([0.0, 0.0, 0.5, 2.0]))
    return Sensor(
        offset=offset,
        width=width,
        signal=signal,
        gain=float(10 ** rng.uniform(-_GAIN_DECADES, 0.0)),
        noise=noise,
        little_endian=bool(rng.random() < 0.3),
    )


def _draw_pages(length: int, rng: np.random.Generator) -> Pages:
    """Two to eight pages of `length` - 1 bytes."""
    table = rng.integers(256, size=(int(rng.integers(2, 9)), length - 1))
    return Pages(0, tuple(tuple(int(byte) for byte in page) for page in table))
