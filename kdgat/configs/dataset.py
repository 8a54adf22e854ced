"""The datasets kdgat knows by name, and how their raw files are laid out."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from kdgat.configs.schema import Config

Format = Literal["can_train_and_test", "car_hacking", "candump", "crysys"]
Provenance = Literal["real", "simulated", "imported"]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


class DatasetConfig(Config):
    """One dataset: its name, the format of its raw files, and where its traffic comes from."""

    name: Name
    """Name of the dataset, and of its folder."""
    format: Format = "can_train_and_test"
    """On-disk format of the raw captures."""
    provenance: Provenance = "real"
    """Whether the traffic was recorded on a car (real), made by kdgat (simulated) or imported."""
    citation: str = ""
    """Whom to cite."""


class SimulationConfig(Config):
    """A simulated data set: vehicles on a bus, attacks on them, and how long each file is."""

    seed: int = Field(default=0, ge=0)
    """Seed of every random choice; the same seed gives the same files to the byte."""
    capture_s: float = Field(default=20.0, ge=5.0, le=3600.0)
    """Length of a capture with attacks, in seconds of bus time."""
    attack_free_s: float = Field(default=24.0, ge=5.0, le=3600.0)
    """Length of an attack-free capture, in seconds of bus time."""
    known_vehicles: int = Field(default=2, ge=1, le=8)
    """Vehicles in the training folders."""
    unknown_vehicles: int = Field(default=1, ge=1, le=8)
    """Vehicles that appear in the test folders alone."""
    known_attacks: tuple[str, ...] = ("dos", "fuzzing", "gear_spoofing", "rpm_spoofing")
    """Attacks in the training folders."""
    unknown_attacks: tuple[str, ...] = ("malfunction", "masquerade", "replay", "suppress")
    """Attacks in the test folders alone."""
    vehicles_per_attack: int = Field(default=1, ge=1, le=8)
    """Vehicles that each attack is made on, in every folder that has it (at most all it has)."""
    clean_start_share: float = Field(default=0.5, ge=0.1, le=0.9)
    """Share of a capture that passes before the first burst of attack."""
    bursts: int = Field(default=3, ge=1, le=100)
    """Bursts of attack in a capture."""
    burst_share: float = Field(default=0.6, gt=0.0, lt=1.0)
    """Share of the time after the clean start that is under attack."""
    ids_min: int = Field(default=25, ge=20, le=100)
    """Fewest arbitration ids of a vehicle."""
    ids_max: int = Field(default=60, ge=20, le=100)
    """Most arbitration ids of a vehicle."""
    rate_min_per_s: float = Field(default=1500.0, ge=500.0, le=3000.0)
    """Lowest rate of a vehicle without an attack, in messages per second."""
    rate_max_per_s: float = Field(default=2100.0, ge=500.0, le=3000.0)
    """Highest rate of a vehicle without an attack; one with few ids may stay below."""
    jitter_ms: float = Field(default=0.8, ge=0.0, le=1.5)
    """Standard deviation of the send times of the worst control unit, in milliseconds."""
    dos_interval_ms: float = Field(default=0.45, ge=0.25, le=100.0)
    """Time between two frames of a flood, in milliseconds."""
    fuzzing_interval_ms: float = Field(default=0.9, ge=0.25, le=100.0)
    """Time between two fuzzed frames, in milliseconds."""
    spoofing_interval_ms: float = Field(default=1.0, ge=0.25, le=100.0)
    """Time between two forged gears or engine speeds, in milliseconds."""
    malfunction_interval_ms: float = Field(default=3.0, ge=0.25, le=100.0)
    """Time between two garbage frames of a malfunction, in milliseconds."""
    replay_share: float = Field(default=0.3, gt=0.0, le=1.0)
    """Share of the vehicle's ids that are replayed."""

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> Self:
        for low, high in (("ids_min", "ids_max"), ("rate_min_per_s", "rate_max_per_s")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} = {getattr(self, low)} is above {high} = {getattr(self, high)}"
                )
        return self


_CTAT = "Lampe and Meng, can-train-and-test v1.5"
_HAN = "Han, Kwak and Kim 2018, survival analysis for in-vehicle networks"
_SONG = "Song, Woo and Kim 2020, Car-Hacking dataset"

DATASETS: dict[str, DatasetConfig] = {
    dataset.name: dataset
    for dataset in (
        DatasetConfig(name="simulated", provenance="simulated", citation="made by kdgat"),
        DatasetConfig(name="hcrl_ch", citation=f"{_SONG}, as repackaged by {_CTAT}"),
        DatasetConfig(name="hcrl_sa", citation=f"{_HAN}, as repackaged by {_CTAT}"),
        DatasetConfig(name="set_01", citation=_CTAT),
        DatasetConfig(name="set_02", citation=_CTAT),
        DatasetConfig(name="set_03", citation=_CTAT),
        DatasetConfig(name="set_04", citation=_CTAT),
    )
}
