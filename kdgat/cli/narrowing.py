"""What a table is narrowed to, as options or in the words of overrides: `dataset=hcrl_sa`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from kdgat.cli.options import complete_dataset

_FIELDS = ("dataset", "scenario", "metric", "protocol", "attack_type")


def complete_narrowing(incomplete: str) -> list[str]:
    """Fields, and the datasets and protocols there are."""
    from kdgat.configs.names import PROTOCOLS

    words = [f"{name}=" for name in _FIELDS if name not in ("dataset", "protocol")]
    words += [f"dataset={name}" for name in complete_dataset("")]
    words += [f"protocol={name}" for name in PROTOCOLS]
    return [word for word in words if word.startswith(incomplete)]


Narrowing = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]...",
        help="The same as the options below, such as dataset=hcrl_sa protocol=adapted.",
        autocompletion=complete_narrowing,
        show_default=False,
    ),
]


def narrowed(words: Sequence[str] | None, **options: Any) -> dict[str, Any]:
    """The options with what the words say instead.

    Raises:
        ConfigError: a word has no value or names none of the options.
    """
    from kdgat.errors import ConfigError, did_you_mean

    known = [name for name in _FIELDS if name in options]
    for word in words or ():
        name, equals, value = word.partition("=")
        if not (equals and value) or name not in known:
            hint = did_you_mean(name, known) if equals and value else "write dataset=hcrl_sa"
            raise ConfigError(f"'{word}' narrows no table", hint=hint)
        options[name] = value
    return options
