"""How names and times are spelt that will stand in an #SBATCH line.

Names are held to letters that neither Slurm nor a shell gives a meaning to; times are Slurm's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from kdgat.configs.resources import gpu as catalogue_gpu
from kdgat.errors import ConfigError, KdgatError

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_MODULE = re.compile(r"[A-Za-z0-9_.+-]+(/[A-Za-z0-9_.+-]+)*")
_N = "([0-9]{1,7})"
_SLURM_TIME = re.compile(rf"(?:{_N}-{_N}(?::{_N})?(?::{_N})?|{_N}(?::{_N})?(?::{_N})?)")
_SPOKEN_TIME = re.compile(rf"(?:{_N}d)?(?:{_N}h)?(?:{_N}m(?:in)?)?(?:{_N}s)?")
_HOURS_AND_MINUTES = re.compile(rf"{_N}h{_N}")
_TIME_HINT = "write 04:00:00, 1-12:00:00 (a day and a half), 90m or 1h30m"


def slurm_name(what: str, text: str) -> str:
    """`text`, when it may stand in an #SBATCH line.

    Raises:
        ConfigError: it has other characters than letters, digits, `_`, `.` and `-`.
    """
    try:
        return _inert(text)
    except ValueError as error:
        raise ConfigError(f"{what} {error}", hint=f"check the {what}'s spelling") from error


def parse_time(text: str) -> int:
    """Seconds of a time limit: Slurm's `D-HH:MM:SS` and its short forms, `1h30m`, `90m`, `2d`.

    As in Slurm, a bare number is minutes and `30:00` is half an hour.
    https://slurm.schedmd.com/sbatch.html#OPT_time

    Raises:
        ConfigError: it is none of these, or no time at all.
    """
    plain = "".join(text.split()).lower()
    seconds = _seconds(plain)
    if seconds is None:
        raise ConfigError(f"'{text}' is no time limit", hint=_TIME_HINT)
    if seconds == 0:
        raise ConfigError(f"a time limit of '{text}' is none", hint=_TIME_HINT)
    return seconds


def show_time(seconds: int) -> str:
    """Seconds as Slurm writes them: `04:00:00`, `7-00:00:00`."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days}-{clock}" if days else clock


def _seconds(plain: str) -> int | None:
    """Seconds of a time without blanks; None where it is none."""
    if found := _SLURM_TIME.fullmatch(plain):
        days, hours, minutes, seconds, *short = (int(part or 0) for part in found.groups())
        if found[1] is None:
            # One number is minutes, two are minutes and seconds, three begin with hours.
            hours, minutes, seconds = short if found[7] else (0, *short[:2])
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if found := _HOURS_AND_MINUTES.fullmatch(plain):
        return int(found[1]) * 3600 + int(found[2]) * 60
    if plain and (found := _SPOKEN_TIME.fullmatch(plain)):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return None


def _inert(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} may hold only letters, digits, '_', '.' and '-'")
    return text


def _module(text: str) -> str:
    if not _MODULE.fullmatch(text):
        raise ValueError(f"{text!r} is no module's name, such as python/3.12")
    return text


def _time(text: str) -> str:
    return _said(lambda: show_time(parse_time(text)))


def _in_catalogue(name: str) -> str:
    return _said(lambda: catalogue_gpu(name).name)


def _said(check: Callable[[], str]) -> str:
    """Another check's verdict as pydantic wants it."""
    try:
        return check()
    except KdgatError as error:
        raise ValueError(f"{error.problem}; {error.hint}") from error


Name = Annotated[str, AfterValidator(_inert)]
"""May stand in an #SBATCH line."""
Module = Annotated[str, AfterValidator(_module)]
"""A name for `module load`."""
TimeLimit = Annotated[str, AfterValidator(_time)]
"""As Slurm writes it."""
GpuName = Annotated[str, AfterValidator(_in_catalogue)]
"""In the catalogue of `kdgat memory plan`."""
Count = Annotated[int, Field(ge=1, strict=True)]
"""One or more."""
