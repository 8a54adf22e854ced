"""Which files a simulated data set has: folders, vehicles and attacks, before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.simulation.attacks import ATTACKS
from kdgat.data.simulation.draw import vehicle_name
from kdgat.errors import ConfigError, did_you_mean

ATTACK_FREE = "train_01_attack_free"
WITH_ATTACKS = "train_02_with_attacks"
TEST_FOLDERS = (
    "test_01_known_vehicle_known_attack",
    "test_02_unknown_vehicle_known_attack",
    "test_03_known_vehicle_unknown_attack",
    "test_04_unknown_vehicle_unknown_attack",
)


@dataclass(frozen=True)
class PlannedCapture:
    """One file to be written: in which folder, of which vehicle (from 0), under which attack."""

    folder: str
    vehicle: int
    attack: str | None = None

    @property
    def path(self) -> str:
        """The file's path below the data set's folder."""
        what = self.attack or "attack-free"
        return f"{self.folder}/{what}-{vehicle_name(self.vehicle)}.csv.gz"


def plan(config: SimulationConfig) -> list[PlannedCapture]:
    """The files of `config`, training folders first.

    Attacks go round the vehicles. In the test folders they begin with the next one, so that a
    known attack meets a known vehicle that it was not trained on, as in HCRL's set.

    Raises:
        ConfigError: an attack is unknown or named twice.
    """
    _check_attacks(config)
    each = config.vehicles_per_attack
    known = range(config.known_vehicles)
    unknown = range(config.known_vehicles, config.known_vehicles + config.unknown_vehicles)
    return [
        *(PlannedCapture(ATTACK_FREE, vehicle) for vehicle in known),
        *_spread(WITH_ATTACKS, config.known_attacks, known, each, first=0),
        *_spread(TEST_FOLDERS[0], config.known_attacks, known, each, first=1),
        *_spread(TEST_FOLDERS[1], config.known_attacks, unknown, each, first=1),
        *_spread(TEST_FOLDERS[2], config.unknown_attacks, known, each, first=1),
        *_spread(TEST_FOLDERS[3], config.unknown_attacks, unknown, each, first=1),
    ]


def _spread(
    folder: str, attacks: Sequence[str], vehicles: range, each: int, *, first: int
) -> list[PlannedCapture]:
    """Every attack on `each` of the vehicles (or on all, if they are fewer), in turn."""
    return [
        PlannedCapture(folder, vehicles[(index + first + step) % len(vehicles)], attack)
        for index, attack in enumerate(attacks)
        for step in range(min(each, len(vehicles)))
    ]


def _check_attacks(config: SimulationConfig) -> None:
    seen: dict[str, str] = {}
    for field in ("known_attacks", "unknown_attacks"):
        for name in getattr(config, field):
            if name not in ATTACKS:
                raise ConfigError(
                    f"simulation.{field}: '{name}' is not one of {', '.join(sorted(ATTACKS))}",
                    hint=did_you_mean(name, sorted(ATTACKS)),
                )
            if name in seen:
                raise ConfigError(
                    f"simulation.{field}: '{name}' is already in simulation.{seen[name]}",
                    hint="name each attack once: it is known or unknown",
                )
            seen[name] = field
