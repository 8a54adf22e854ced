"""Attacks on a vehicle: each takes the traffic of a capture and returns it attacked.

Phases of attack alternate with clean ones, as in the public captures. Only frames that the
attacker sends are labelled; a message that he keeps from being sent leaves nothing to label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.simulation.bus import Span, Traffic, join, starve
from kdgat.data.simulation.drive import Drive
from kdgat.data.simulation.fields import Moment
from kdgat.data.simulation.vehicle import Message, Vehicle

_TREMBLE = 0.1
_FREE_IDS = 2048


@dataclass(frozen=True)
class Scene:
    """Where an attack happens: the vehicle, what it does, and the phases of attack."""

    config: SimulationConfig
    vehicle: Vehicle
    drive: Drive
    spans: list[Span]
    rng: np.random.Generator


Attack = Callable[[Traffic, Scene], Traffic]


def draw_spans(config: SimulationConfig, rng: np.random.Generator) -> list[Span]:
    """The phases of attack: one somewhere in each of `bursts` equal parts after the clean begin."""
    clean_s = config.clean_start_share * config.capture_s
    part_s = (config.capture_s - clean_s) / config.bursts
    burst_s = config.burst_share * part_s
    begins_s = clean_s + part_s * np.arange(config.bursts)
    begins_s = begins_s + rng.uniform(0, part_s - burst_s, size=config.bursts)
    return [(float(begin_s), float(begin_s + burst_s)) for begin_s in begins_s]


def dos(traffic: Traffic, scene: Scene) -> Traffic:
    """The bus is flooded with id 000, which wins every arbitration."""
    due_s = _times(scene, scene.config.dos_interval_ms)
    payload = np.zeros((len(due_s), 8), dtype=np.uint8)
    return _injected(traffic, scene, due_s, np.zeros(len(due_s)), payload)


def fuzzing(traffic: Traffic, scene: Scene) -> Traffic:
    """Random payloads are sent under random ids, all 2,048 of them alike."""
    due_s = _times(scene, scene.config.fuzzing_interval_ms)
    ids = scene.rng.integers(_FREE_IDS, size=len(due_s))
    payload = scene.rng.integers(256, size=(len(due_s), 8), dtype=np.uint8)
    return _injected(traffic, scene, due_s, ids, payload)


def gear_spoofing(traffic: Traffic, scene: Scene) -> Traffic:
    """A forged gear is sent over and over, beside the true one."""
    return _spoofed(traffic, scene, scene.vehicle.reads("gear"))


def rpm_spoofing(traffic: Traffic, scene: Scene) -> Traffic:
    """A forged engine speed is sent over and over, beside the true one."""
    return _spoofed(traffic, scene, scene.vehicle.reads("rpm"))


def malfunction(traffic: Traffic, scene: Scene) -> Traffic:
    """One id of the vehicle is sent over and over with garbage, the same throughout a phase."""
    target = _draw_target(scene)
    due_s = _times(scene, scene.config.malfunction_interval_ms)
    garbage = scene.rng.integers(256, size=(len(scene.spans), 8), dtype=np.uint8)
    payload = garbage[_phase(due_s, scene)]
    payload[:, target.dlc :] = 0
    ids = np.full(len(due_s), target.arbitration_id)
    return _injected(traffic, scene, due_s, ids, payload, dlc=target.dlc)


def suppress(traffic: Traffic, scene: Scene) -> Traffic:
    """The unit that sends one id is kept silent, and nothing is sent in its place."""
    target = traffic.arbitration_id == _draw_target(scene).arbitration_id
    return traffic.select(~(target & _attacked(traffic, scene)))


def masquerade(traffic: Traffic, scene: Scene) -> Traffic:
    """The vehicle speed's messages are replaced: same times, right counter, forged values."""
    target = scene.vehicle.reads("speed")
    mine = traffic.arbitration_id == target.arbitration_id
    payload, attack = traffic.payload.copy(), traffic.attack.copy()
    for span in scene.spans:
        rows = np.flatnonzero(mine & traffic.within(span))
        forged = scene.drive.forged(scene.rng)
        moment = Moment(traffic.due_s[rows], traffic.turn[rows], forged, scene.rng)
        payload[rows] = target.payloads(moment)
        attack[rows] = True
    return replace(traffic, payload=payload, attack=attack)


def replay(traffic: Traffic, scene: Scene) -> Traffic:
    """A piece of earlier traffic, of some of the ids, is sent again."""
    ids = np.array([message.arbitration_id for message in scene.vehicle.messages])
    count = max(1, round(scene.config.replay_share * len(ids)))
    parts = [traffic]
    for begin_s, end_s in scene.spans:
        length_s = min(end_s - begin_s, scene.spans[0][0])
        since_s = scene.rng.uniform(0, scene.spans[0][0] - length_s)
        recorded = traffic.within((since_s, since_s + length_s))
        recorded &= np.isin(traffic.arbitration_id, scene.rng.choice(ids, count, replace=False))
        again = traffic.select(recorded)
        due_s = again.due_s - since_s + begin_s
        parts.append(replace(again, due_s=due_s, attack=np.ones(len(again), dtype=bool)))
    return starve(join(parts), scene.spans)


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        dos,
        fuzzing,
        gear_spoofing,
        rpm_spoofing,
        malfunction,
        suppress,
        masquerade,
        replay,
    )
}
"""Every attack by its name, which is the begin of a capture's file name."""


def _draw_target(scene: Scene) -> Message:
    """A message that is sent often, as attackers choose them."""
    frequent = scene.vehicle.frequent()
    return frequent[scene.rng.integers(len(frequent))]


def _times(scene: Scene, interval_ms: float) -> Float[np.ndarray, " messages"]:
    """Times of injection throughout the phases, one every `interval_ms` with a small tremble."""
    step_s = 1e-3 * interval_ms
    parts = [np.arange(begin_s, end_s - step_s, step_s) for begin_s, end_s in scene.spans]
    due_s = np.concatenate(parts)
    return due_s + _TREMBLE * step_s * scene.rng.random(len(due_s))


def _phase(due_s: Float[np.ndarray, " messages"], scene: Scene) -> np.ndarray:
    """Which phase each time is in."""
    return np.searchsorted([begin_s for begin_s, _ in scene.spans], due_s, side="right") - 1


def _attacked(traffic: Traffic, scene: Scene) -> np.ndarray:
    """Which frames are due in any phase."""
    return np.any([traffic.within(span) for span in scene.spans], axis=0)


def _spoofed(traffic: Traffic, scene: Scene, target: Message) -> Traffic:
    """The target's messages with one forged payload a phase, as a simple attacker makes them."""
    due_s = _times(scene, scene.config.spoofing_interval_ms)
    begins_s = np.array([begin_s for begin_s, _ in scene.spans])
    moment = Moment(
        begins_s, np.zeros(len(begins_s), int), scene.drive.forged(scene.rng), scene.rng
    )
    payload = target.payloads(moment)[_phase(due_s, scene)]
    ids = np.full(len(due_s), target.arbitration_id)
    return _injected(traffic, scene, due_s, ids, payload, dlc=target.dlc)


def _injected(
    traffic: Traffic,
    scene: Scene,
    due_s: Float[np.ndarray, " injected"],
    ids: np.ndarray,
    payload: UInt8[np.ndarray, "injected 8"],
    dlc: int = 8,
) -> Traffic:
    """The traffic and the attacker's frames, less what the crowded bus loses."""
    count = len(due_s)
    mine = Traffic(
        due_s=due_s,
        arbitration_id=ids.astype(np.uint16),
        dlc=np.full(count, dlc, dtype=np.uint8),
        payload=payload,
        attack=np.ones(count, dtype=bool),
        turn=np.zeros(count, dtype=np.int64),
    )
    return starve(join([traffic, mine]), scene.spans)
