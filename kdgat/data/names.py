"""What the name of a raw file tells: the capture's name, its attack and its vehicle."""

from __future__ import annotations

import re
from pathlib import Path

ATTACK_FREE = "attack_free"
"""The attack type of a benign capture."""

VEHICLES = frozenset(
    {"kia", "soul", "hyundai", "sonata", "chevrolet", "spark", "impala", "silverado", "traverse"}
    | {"subaru", "forester"}
)
"""Vehicles of the public datasets that file names speak of."""

_BENIGN_WORDS = frozenset({"benign", "normal"})
# Words that say nothing of the attack; `accessory` is a state of the car in can-train-and-test.
_FILLERS = frozenset({"accessory", "dataset", "run", "data", "trace", "capture", "log"})
_SYNONYMS = {"fuzzy": "fuzzing"}
_MADE_VEHICLE = re.compile(r"(?:vehicle|car)(?:[a-z]|[0-9]*)")


def capture_name(path: Path) -> str:
    """`DoS-kia` of `DoS-kia.csv.gz`."""
    name = path.name.removesuffix(".gz")
    return name[: -len(Path(name).suffix)] if Path(name).suffix else name


def attack_type(name: str, folder: str = "") -> str:
    """The attack that a capture's name speaks of, in lower case with underscores.

    `DoS-kia` is `dos`, `force-neutral-accessory-2` is `force_neutral`; a capture is `attack_free`
    when its name or its folder says so, and `unknown` when its name says nothing.
    """
    words = [word for word in _words(name) if not word.isdigit()]
    whole = "_".join(words)
    if ATTACK_FREE in whole or folder.endswith(ATTACK_FREE) or _BENIGN_WORDS & set(words):
        return ATTACK_FREE
    told = [_SYNONYMS.get(word, word) for word in words if not _says_nothing(word)]
    return "_".join(told) or "unknown"


def vehicle(name: str) -> str:
    """The vehicle that a capture's name speaks of, in lower case; empty if none."""
    return next((word for word in _words(name) if _is_vehicle(word)), "")


def is_attack_free(path: Path) -> bool:
    """Whether the name of a raw file, or of its folder, says that it has no attack."""
    return attack_type(capture_name(path), path.parent.name) == ATTACK_FREE


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^0-9a-z]+", name.lower()) if word]


def _is_vehicle(word: str) -> bool:
    return word in VEHICLES or _MADE_VEHICLE.fullmatch(word) is not None


def _says_nothing(word: str) -> bool:
    return word in _FILLERS or _is_vehicle(word)
