"""Reading `dataset.toml`, with the first fault as one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from kdgat.configs.fields import fields_of
from kdgat.configs.table import TableConfig
from kdgat.errors import DataError, did_you_mean

DATASET_FILE = "dataset.toml"
"""Name of the file, in the folder of the raw captures."""
GUIDE = "the guide's page on other domains shows one whole"


def mapping_file(raw: Path) -> Path | None:
    """The `dataset.toml` of a raw folder; None where it has none."""
    path = raw / DATASET_FILE
    return path if path.is_file() else None


def load_mapping(path: Path) -> TableConfig:
    """What a `dataset.toml` says.

    Raises:
        DataError: it can't be read, is no TOML, or a field is missing, unknown or wrong.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read '{path}': {error}", hint="mend the file") from error
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"'{path}' is not valid TOML: {error}", hint="mend that line") from error
    try:
        return TableConfig.model_validate(values)
    except ValidationError as error:
        raise _fault(path, error) from error


def _fault(path: Path, error: ValidationError) -> DataError:
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    known = fields_of("", TableConfig)
    if fault["type"] == "extra_forbidden":
        hint = did_you_mean(place, known, otherwise=GUIDE)
        return DataError(f"'{path}': unknown field '{place}'", hint=hint)
    if fault["type"] == "missing":
        return DataError(f"'{path}': '{place}' is missing", hint=known.get(place) or GUIDE)
    if fault["type"] == "string_pattern_mismatch":
        section, _, name = place.partition(".")
        name = name.removesuffix(".[key]")
        say = "train_NAME or test_NAME" if section == "folders" else "small letters, digits and _"
        return DataError(f"'{path}': [{section}] has the name '{name}'", hint=f"write {say}")
    message = fault["msg"].removeprefix("Value error, ")
    given = fault["input"]
    value = "" if isinstance(given, dict) else f" = {given!r}"
    where = f"{place}{value}: " if place else ""
    return DataError(f"'{path}': {where}{message}", hint=known.get(place) or GUIDE)
