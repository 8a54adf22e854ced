"""The fields of a config by their dotted names: their docs, their values, their faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from kdgat.configs.model import KINDS, Kind, model_preset
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError, did_you_mean

SHOW = "`kdgat config show` lists every field"
"""What to do next when no field is near what was written."""


def field_docs(kind: Kind | None = None) -> dict[str, str]:
    """Every config field by its dotted name, with its one-line description.

    With a kind only that model's own fields are among them, otherwise those of every model.
    """
    docs = fields_of("", RunConfig)
    for each in KINDS if kind is None else (kind,):
        docs |= fields_of("model.", type(model_preset(each, "large")))
    return docs


def leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted names and plain values."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(leaves(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def fields_of(prefix: str, kind: type[BaseModel]) -> dict[str, str]:
    """The fields of one config class and of those within it, with their descriptions."""
    docs: dict[str, str] = {}
    for name, field in kind.model_fields.items():
        docs[prefix + name] = " ".join((field.description or "").split())
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            docs |= fields_of(f"{prefix}{name}.", field.annotation)
    return docs


def validated(values: object, source: str) -> RunConfig:
    """A `RunConfig` from plain values, with the first fault as one sentence.

    Raises:
        ConfigError: names `source`, the field and the value.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise config_error(error, source, field_docs()) from error


def config_error(error: ValidationError, source: str, known: Mapping[str, str]) -> ConfigError:
    """The first fault as one sentence that names `source`, the field and the value."""
    fault = error.errors(include_url=False)[0]
    at = list(fault["loc"])
    kind = at.pop(1) if at[:1] == ["model"] and len(at) > 1 else None
    place = ".".join(part for part in at if isinstance(part, str))
    if kind in KINDS:
        known = field_docs(kind)
    if fault["type"] == "extra_forbidden":
        hint = did_you_mean(place, known, otherwise=SHOW)
        return ConfigError(f"{source}: unknown config field '{place}'", hint=hint)
    message = fault["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    where = f"{place} = {fault['input']!r}: " if place else ""
    doc = known.get(place)
    return ConfigError(f"{source}: {where}{message}", hint=f"{place}: {doc}" if doc else SHOW)
