"""The datasets kdgat knows by name, and how their raw files are laid out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

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

    seed: int = Field(0, ge=0)
    """Seed of every random choice; the same seed gives the same files to the byte."""
    capture_s: float = Field(24.0, ge=1.0, le=3600.0)
    """Length of one capture, in seconds of bus time."""
    known_vehicles: int = Field(2, ge=1, le=8)
    """Vehicles in the training folders."""
    unknown_vehicles: int = Field(1, ge=1, le=8)
    """Vehicles that appear in the test folders alone."""
    known_attacks: tuple[str, ...] = ("dos", "fuzzing", "gear_spoofing", "rpm_spoofing")
    """Attacks in the training folders."""
    unknown_attacks: tuple[str, ...] = ("malfunction", "masquerade", "replay", "suppress")
    """Attacks in the test folders alone."""


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
