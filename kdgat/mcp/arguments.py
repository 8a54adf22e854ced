"""A call's arguments, checked; what is wrong with them is told in one sentence."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from kdgat.errors import ConfigError, did_you_mean
from kdgat.mcp.derive import Derived

_SHOWN = 60
"""Characters of a wrong value that an error repeats."""
_FINE = "\n\t\r"


def checked(tool: Derived, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the tool's function takes them.

    Raises:
        ConfigError: one is missing, unknown, too long, of a wrong type, or no plain text.
    """
    try:
        model = tool.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        raise _told(tool, error) from None
    values = {name: getattr(model, name) for name in tool.arguments.model_fields}
    for name, value in values.items():
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str):
                check_text(name, text)
    return values


def check_text(name: str, text: str) -> None:
    """Refuse an argument that is no plain text.

    Raises:
        ConfigError: it holds a control character; says which, and where.
    """
    if text.isascii() and text.isprintable():
        return
    for place, letter in enumerate(text):
        if letter not in _FINE and unicodedata.category(letter) in ("Cc", "Cs"):
            raise ConfigError(
                f"'{name}' holds the control character U+{ord(letter):04X} at place {place}",
                hint="give plain text",
            )


def _told(tool: Derived, error: ValidationError) -> ConfigError:
    """The first complaint, in a sentence of ours."""
    first = error.errors(include_url=False, include_context=True)[0]
    name = str(first["loc"][0]) if first["loc"] else "arguments"
    known = list(tool.arguments.model_fields)
    given, limits = first.get("input"), first.get("ctx", {})
    hint = f"the arguments of {tool.row.name} are: {', '.join(known) or 'none'}"
    match first["type"]:
        case "missing":
            problem = f"{tool.row.name} needs '{name}', which was not given"
        case "extra_forbidden":
            problem = f"{tool.row.name} has no argument {_shown(name)}"
            hint = did_you_mean(name, known, otherwise=hint) if known else hint
        case "literal_error":
            problem = f"'{name}' is {_shown(given)}"
            hint = f"choose one of: {limits['expected']}"
        case "string_too_long":
            problem = f"'{name}' has {len(str(given))} characters"
            hint = f"give at most {limits['max_length']}"
        case "too_long":
            problem = f"'{name}' has {limits['actual_length']} items"
            hint = f"give at most {limits['max_length']}"
        case "string_unicode":
            problem, hint = f"'{name}' is no valid Unicode", "give plain text"
        case _:
            wanted = first["msg"].removeprefix("Input should be ").removeprefix("a ")
            problem = f"'{name}' is {_shown(given)}, where it should be {wanted}"
    return ConfigError(problem, hint=hint)


def _shown(value: object) -> str:
    """A value of the caller's on one line, shortened, control characters escaped."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    text = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return f"'{text}'" if isinstance(value, str) else text
