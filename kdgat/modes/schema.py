"""What the front matter of a mode may say: five settings, all needed, each with its check."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from kdgat.errors import did_you_mean
from kdgat.modes.front_matter import Place, Setting

FEWEST_TOKENS, MOST_TOKENS = 500, 20_000
"""Bounds of a budget: below, nothing but the rules fits; above, it eats a session."""
NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""How modes, tools and sections are named."""
NAME_HINT = "use at most 40 small letters, digits, - and _, a letter first"
_LONGEST_LINE = 200


def checked(settings: Mapping[str, Setting], place: Place) -> dict[str, Any]:
    """The values of the settings by name.

    Raises:
        ModeError: one is unknown, missing, of the wrong type or against another: file and line.
    """
    for name, setting in settings.items():
        if name not in _FIELDS:
            hint = did_you_mean(name, _FIELDS)
            raise place.fault(setting.line, f"there is no setting {_brief(name)}", hint)
    for name in _FIELDS:
        if name not in settings:
            hint = f"add `{name}: ...`; all are needed: {', '.join(_FIELDS)}"
            raise place.fault(1, f"'{name}' is missing", hint)
    values = {name: check(settings[name], name, place) for name, check in _FIELDS.items()}
    _check_together(values, settings, place)
    return values


def _check_together(
    values: Mapping[str, Any], settings: Mapping[str, Setting], place: Place
) -> None:
    """Where questions are hidden, nothing may show them."""
    for name in ("tools", "sections"):
        if values["questions"] == "hidden" and "questions" in values[name]:
            line = settings[name].item_lines[values[name].index("questions")]
            what = f"'questions' is among the {name}, and questions are hidden"
            raise place.fault(line, what, "leave it out, or set `questions: shown`")


def _one_line(setting: Setting, name: str, place: Place) -> str:
    value = setting.value
    if not isinstance(value, str) or not value.strip() or "\n" in value.strip():
        hint = f'write a sentence on one line: {name}: "..."'
        raise place.fault(setting.line, f"{name} is {_brief(value)}, and must be one line", hint)
    if len(value) > _LONGEST_LINE:
        what = f"{name} has {len(value):,} characters, of at most {_LONGEST_LINE}"
        raise place.fault(setting.line, what, "shorten it; the rest belongs into the text below")
    return value.strip()


def _names(setting: Setting, name: str, place: Place) -> tuple[str, ...]:
    if not isinstance(setting.value, list):
        what = f"{name} is {_brief(setting.value)}, and must be a list of names"
        raise place.fault(setting.line, what, f"write {name}: [one, two], or {name}: []")
    seen: list[str] = []
    for value, line in zip(setting.value, setting.item_lines, strict=True):
        if not isinstance(value, str) or not NAME.fullmatch(value):
            raise place.fault(line, f"{name} has {_brief(value)}, which is no name", NAME_HINT)
        if value in seen:
            raise place.fault(line, f"{name} has '{value}' twice", "keep one of them")
        seen.append(value)
    return tuple(seen)


def _budget(setting: Setting, name: str, place: Place) -> int:
    value = setting.value
    bounds = f"between {FEWEST_TOKENS:,} and {MOST_TOKENS:,}"
    # YAML's `yes` is True, and Python takes that for the number 1.
    if isinstance(value, bool) or not isinstance(value, int):
        what = f"{name} is {_brief(value)}, and must be a whole number"
        raise place.fault(setting.line, what, f"write a number of tokens {bounds}")
    if not FEWEST_TOKENS <= value <= MOST_TOKENS:
        what = f"{name} is {_brief(value)}, and must lie {bounds}"
        raise place.fault(setting.line, what, "most modes do with 2,500")
    return value


def _visibility(setting: Setting, name: str, place: Place) -> Literal["hidden", "shown"]:
    if setting.value not in ("hidden", "shown"):
        what = f"{name} is {_brief(setting.value)}, and must be 'hidden' or 'shown'"
        raise place.fault(setting.line, what, f"write `{name}: hidden` or `{name}: shown`")
    return cast(Literal["hidden", "shown"], setting.value)


_FIELDS: Mapping[str, Callable[[Setting, str, Place], Any]] = {
    "description": _one_line,
    "tools": _names,
    "sections": _names,
    "budget_tokens": _budget,
    "questions": _visibility,
}


def _brief(value: object) -> str:
    """A value as an error shows it: its kind where it may be long."""
    match value:
        case None:
            return "empty"
        case list() | dict() | set() | bytes():
            return f"a {type(value).__name__}"
        case int() if abs(value) >= 10**18:
            return "a huge number"
        case _:
            text = repr(value)
            return text if len(text) <= 60 else f"{text[:60]}..."
