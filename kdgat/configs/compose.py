"""Overrides to a `RunConfig`, in Hydra's override grammar: the only module that knows hydra-zen.

The same words mean the same thing in train, sweep, config and the agent's tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra_zen import ZenStore
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from kdgat.configs.dataset import DATASETS, DatasetConfig
from kdgat.configs.experiments import experiments
from kdgat.configs.model import KINDS, SIZES, model_preset
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError, did_you_mean

_SHOW = "`kdgat config show` lists every field"


def compose(
    overrides: Sequence[str] = (), datasets: Mapping[str, DatasetConfig] | None = None
) -> RunConfig:
    """One run's config from overrides such as `model=gat size=small training.max_epochs=5`.

    Args:
        overrides: Hydra overrides; `experiment=NAME` stands for that experiment's own.
        datasets: datasets known beside the named ones (those a workspace ingested).

    Raises:
        ConfigError: an override is misspelt, unknown or out of range, or is a sweep.
    """
    known = {**(datasets or {}), **DATASETS}
    parsed = _parse(_expand_experiment(overrides))
    _check_keys(parsed, known)
    for override in parsed:
        if override.is_sweep_override():
            raise ConfigError(
                f"override '{override.input_line}' names several values, which makes a sweep",
                hint="add -m to run one after the other, or give one value",
            )
    with _store(known):
        try:
            composed = hydra_compose("run", overrides=[o.input_line or "" for o in parsed])
            values = OmegaConf.to_container(composed, resolve=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_first_line(error), hint=_SHOW) from error
    return validated(values, "the overrides")


def sweep(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of a sweep's values, in Hydra's order, each as plain overrides.

    `model.hidden=32,64 seed=range(3)` makes six.
    """
    choices = []
    for override in _parse(_expand_experiment(overrides)):
        if override.is_sweep_override():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([override.input_line or ""])
    return list(product(*choices))


def validated(values: object, source: str) -> RunConfig:
    """A `RunConfig` from plain values, with the first fault as one sentence.

    Raises:
        ConfigError: names `source`, the field and the value.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"] if part not in KINDS)
        if fault["type"] == "extra_forbidden":
            hint = did_you_mean(place, field_docs(), otherwise=_SHOW)
            raise ConfigError(f"{source}: unknown config field '{place}'", hint=hint) from error
        message = fault["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        raise ConfigError(
            f"{source}: {place} = {fault['input']!r}: {message}",
            hint=f"`kdgat config show` says what {place} means and its default",
        ) from error


def field_docs() -> dict[str, str]:
    """Every config field by its dotted name, with its one-line description."""
    docs = _fields("", RunConfig)
    for kind in KINDS:
        docs |= _fields("model.", type(model_preset(kind, "large")))
    return docs


def origins(
    overrides: Sequence[str], datasets: Mapping[str, DatasetConfig] | None = None
) -> dict[str, str]:
    """Where each field's value comes from: an override, an experiment, a preset or a default."""
    config = compose(overrides, datasets)
    named = next((item for item in overrides if item.startswith("experiment=")), "")
    given = {o.key_or_group: o.input_line for o in _parse(_expand_experiment(overrides))}
    direct = {o.key_or_group for o in _parse(overrides)}
    found = {}
    for name in leaves(config.model_dump()):
        group = name.partition(".")[0]
        key = name if name in given else "model" if name == "model.kind" else group
        if key in given and (key == name or key in ("dataset", "size") or name == "model.kind"):
            source = "override" if key in direct else named
            found[name] = f"{source} {given[key]}"
        elif group == "model":
            found[name] = f"preset {config.model.kind} {config.size}"
        else:
            owner = getattr(config, group)
            found[name] = f"default of {type(owner if '.' in name else config).__name__}"
    return found


def leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted names and plain values."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(leaves(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _fields(prefix: str, kind: type[BaseModel]) -> dict[str, str]:
    docs: dict[str, str] = {}
    for name, field in kind.model_fields.items():
        docs[prefix + name] = field.description or ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            docs |= _fields(f"{prefix}{name}.", field.annotation)
    return docs


def _parse(overrides: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            parsed.append(parser.parse_override(text))
        except HydraException as error:
            raise ConfigError(
                f"override '{text}' can't be read: {_first_line(error)}",
                hint="write it as key=value, for example training.max_epochs=5",
            ) from error
    return parsed


def _expand_experiment(overrides: Sequence[str]) -> list[str]:
    """An `experiment=NAME` replaced by its own overrides, which come first so others win."""
    named, rest = [], []
    for text in overrides:
        key, _, name = text.partition("=")
        if key != "experiment":
            rest.append(text)
        elif name in experiments():
            named.extend(experiments()[name])
        else:
            raise ConfigError(
                f"unknown experiment '{name}'",
                hint=did_you_mean(
                    name, list(experiments()), otherwise="`kdgat experiments` lists them"
                ),
            )
    return named + rest


def _check_keys(parsed: Sequence[Override], datasets: Mapping[str, DatasetConfig]) -> None:
    """Name a misspelt key or group choice ourselves: Hydra's own text doesn't say what is near."""
    choices = {"dataset": list(datasets), "model": list(KINDS), "size": list(SIZES)}
    known = field_docs()
    kind = next((o.value() for o in reversed(parsed) if o.key_or_group == "model"), "gat")
    own = _fields("model.", type(model_preset(kind, "large"))) if kind in KINDS else known
    for override in parsed:
        key, text = override.key_or_group, override.input_line
        if key in choices and not override.is_sweep_override():
            if override.value() not in choices[key]:
                raise ConfigError(
                    f"unknown {key} '{override.value()}' in override '{text}'",
                    hint=did_you_mean(str(override.value()), choices[key]),
                )
        elif key not in known and key not in choices:
            raise ConfigError(
                f"unknown config field '{key}' in override '{text}'",
                hint=did_you_mean(key, known, otherwise=_SHOW),
            )
        elif key.startswith("model.") and key not in own:
            raise ConfigError(
                f"model '{kind}' has no field '{key.removeprefix('model.')}' (override '{text}')",
                hint=f"its fields are {', '.join(own)}",
            )


@contextmanager
def _store(datasets: Mapping[str, DatasetConfig]) -> Iterator[None]:
    """Hydra's global config store, filled for the time of one composition."""
    defaults = RunConfig().model_dump(mode="json", exclude={"dataset", "model", "size"})
    groups = [{"dataset": "simulated"}, {"size": "large"}, {"model": "gat"}]
    preset = {"preset": "${model}_${size}"}
    store = ZenStore(name="kdgat", overwrite_ok=True)
    store({"defaults": ["_self_", *groups, preset], **defaults}, name="run")
    for name, dataset in datasets.items():
        store(dataset.model_dump(mode="json"), group="dataset", name=name)
    for size in SIZES:
        store({"size": size}, group="size", name=size, package="_global_")
    for kind, size in product(KINDS, SIZES):
        numbers = model_preset(kind, size).model_dump(mode="json")
        store({"kind": kind}, group="model", name=kind)
        store(numbers, group="preset", name=f"{kind}_{size}", package="model")
    saved = ConfigStore.instance().repo.copy()
    try:
        store.add_to_hydra_store()
        with initialize(version_base="1.3", config_path=None):
            yield
    finally:
        ConfigStore.instance().repo = saved


def _first_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error).split("See https")[0]).strip()
