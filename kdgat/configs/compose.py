"""Overrides to a `RunConfig`, in Hydra's override grammar: the only module that knows hydra-zen.

The same words mean the same thing in train, sweep, config and the agent's tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import product
from math import inf
from threading import Lock
from typing import cast

from hydra import compose as hydra_compose
from hydra import initialize
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from hydra_zen import ZenStore
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from kdgat.configs.dataset import DATASETS, DatasetConfig, SimulationConfig
from kdgat.configs.experiments import experiments
from kdgat.configs.fields import SHOW, config_error, field_docs, fields_of, leaves, validated
from kdgat.configs.model import KINDS, SIZES, Kind, model_preset
from kdgat.configs.run import RunConfig
from kdgat.configs.space import Choices, Interval
from kdgat.errors import ConfigError, did_you_mean

_HYDRA = Lock()
"""Hydra composes in global state, so one thread at a time does."""
_HYDRAS_OWN = ("hydra", "_dummy_empty_config_.yaml")
_REFERENCE = "${"
_LOG = re.compile(r"([^=]+)=\s*log\((.*)\)\s*")
"""`log(a, b)`, which is short for Hydra's own `tag(log, interval(a, b))`."""
_COMPOSED = 256
"""Configs that are kept: composing one takes a tenth of a second, and they are frozen."""


def compose(
    overrides: Sequence[str] = (), datasets: Mapping[str, DatasetConfig] | None = None
) -> RunConfig:
    """One run's config from overrides such as `model=gat size=small training.max_epochs=5`.

    Args:
        overrides: Hydra overrides; `experiment=NAME` stands for that experiment's own.
        datasets: datasets known beside the named ones (those a workspace ingested).

    Raises:
        ConfigError: an override is misspelt, unknown or out of range, is a sweep, or refers to
            something else.
    """
    return _composed(tuple(overrides), tuple({**(datasets or {}), **DATASETS}.items()))


@lru_cache(maxsize=_COMPOSED)
def _composed(
    overrides: tuple[str, ...], datasets: tuple[tuple[str, DatasetConfig], ...]
) -> RunConfig:
    known = dict(datasets)
    parsed = _parse(_expand_experiment(overrides))
    _check_keys(parsed, known)
    for override in parsed:
        if override.is_sweep_override():
            raise _unexpected_sweep(override.input_line or "")
    with _store(known):
        try:
            composed = hydra_compose("run", overrides=[o.input_line or "" for o in parsed])
            # Unresolved, so that no text, whoever wrote it, is ever taken for a reference.
            values = OmegaConf.to_container(composed, resolve=False)
        except (HydraException, OmegaConfBaseException) as error:
            field = getattr(error, "full_key", None)
            where = f"{field}: " if field else ""
            raise ConfigError(f"the overrides: {where}{_first_line(error)}", hint=SHOW) from error
    return validated(values, "the overrides")


def sweep(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of a sweep's values, in Hydra's order, each as plain overrides.

    `model.hidden=32,64 seed=range(3)` makes six. Several experiments, `experiment=a,b`, come one
    after the other.

    Raises:
        ConfigError: an override can't be read, or names values that can't be counted.
    """
    for place, text in enumerate(overrides):
        key, _, names = text.partition("=")
        if key == "experiment" and "," in names:
            each = [
                [*overrides[:place], f"experiment={name.strip()}", *overrides[place + 1 :]]
                for name in names.split(",")
            ]
            return [combination for one in each for combination in sweep(one)]
    choices = []
    for override in _parse(_expand_experiment(overrides)):
        if override.is_sweep_override():
            choices.append(_choices(override))
        else:
            choices.append([override.input_line or ""])
    return list(product(*choices))


def search_space(
    overrides: Sequence[str],
) -> tuple[tuple[str, ...], dict[str, Choices | Interval]]:
    """The overrides that give one value, and the fields that the others leave open.

    The grammar is that of a sweep, and of Hydra's sweepers for intervals: `model.hidden=8,12`,
    `range(1,4)`, `interval(0,1e-3)`, `tag(log, interval(1e-4,1e-2))`, or `log(1e-4,1e-2)` in short.

    Raises:
        ConfigError: an override can't be read, or leaves nothing to choose from.
    """
    fixed, space = [], {}
    for override in _parse(_expand_experiment(overrides)):
        key = override.get_key_element().lstrip("+~")
        if not override.is_sweep_override():
            fixed.append(override.input_line or "")
        elif key in space:
            raise ConfigError(f"two overrides give values of '{key}'", hint="leave one of them out")
        elif isinstance(value := override.value(), IntervalSweep):
            space[key] = _interval(value, override.input_line or "")
        else:
            values = [text.partition("=")[2] for text in _choices(override)]
            space[key] = Choices(tuple(dict.fromkeys(values)))
    return tuple(fixed), space


def compose_simulation(overrides: Sequence[str] = ()) -> SimulationConfig:
    """A simulation's config from overrides such as `seed=3 capture_s=60`.

    Raises:
        ConfigError: an override is misspelt, unknown or out of range.
    """
    known = fields_of("", SimulationConfig)
    values = {}
    for override in _parse(overrides):
        if override.key_or_group not in known or override.is_sweep_override():
            raise ConfigError(
                f"'{override.input_line}' sets no field of a simulation",
                hint=did_you_mean(override.key_or_group, known),
            )
        values[override.key_or_group] = override.value()
    try:
        return SimulationConfig.model_validate(values)
    except ValidationError as error:
        raise config_error(error, "the simulation", known) from error


def origins(
    overrides: Sequence[str], datasets: Mapping[str, DatasetConfig] | None = None
) -> dict[str, str]:
    """Where each field's value comes from: an override, an experiment, a preset or a default."""
    config = compose(overrides, datasets)
    named = next((item for item in overrides if item.startswith("experiment=")), "")
    given = _given(_parse(_expand_experiment(overrides)))
    direct = _given(_parse(overrides))
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
            own = "." in name and group != "dataset"
            owner = getattr(config, group) if own else config
            found[name] = f"default of {type(owner).__name__}"
    return found


def _parse(overrides: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            parsed.append(parser.parse_override(_LOG.sub(r"\1=tag(log,interval(\2))", text)))
        except HydraException as error:
            raise ConfigError(
                f"override '{text}' can't be read: {_first_line(error)}",
                hint="write it as key=value, for example training.max_epochs=5",
            ) from error
        _refuse_reference(parsed[-1], text)
    return parsed


def _refuse_reference(override: Override, text: str) -> None:
    r"""Refuse `${oc.env:NAME}` and its like: a run's config would tell what is in the environment.

    The value is looked at as well as the text, which may hide the brace: `$\{`.
    """
    if _REFERENCE in text or _REFERENCE in str(override.value()):
        raise ConfigError(
            f"override '{text}' refers to something else", hint="write the value itself"
        )


def _expand_experiment(overrides: Sequence[str]) -> list[str]:
    """An `experiment=NAME` replaced by its own overrides, which come first so others win."""
    named, rest = [], []
    for text in overrides:
        key, _, name = text.partition("=")
        if key != "experiment":
            rest.append(text)
        elif "," in name:
            raise _unexpected_sweep(text)
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
    kind = str(next((o.value() for o in reversed(parsed) if o.key_or_group == "model"), "gat"))
    own = field_docs(cast(Kind, kind)) if kind in KINDS else known
    for override in parsed:
        key, text = override.get_key_element().lstrip("+~"), override.input_line
        if key in known and (override.is_add() or override.is_delete()):
            raise ConfigError(
                f"override '{text}' would add or remove a field, and '{key}' is always there",
                hint=f"write {key}=VALUE to change it",
            )
        if key == "model.kind" or key.startswith("dataset."):
            group = key.partition(".")[0]
            raise ConfigError(
                f"override '{text}' sets a part of what {group}=NAME stands for",
                hint=f"write {group}=NAME; NAME is one of: {', '.join(sorted(choices[group]))}",
            )
        one = key in choices and not override.is_sweep_override()
        if one and override.value() not in choices[key]:
            raise ConfigError(
                f"unknown {key} '{override.value()}' in override '{text}'",
                hint=did_you_mean(str(override.value()), choices[key]),
            )
        for name in () if key in choices else _names(override):
            if name not in known:
                raise ConfigError(
                    f"unknown config field '{name}' in override '{text}'",
                    hint=did_you_mean(name, known, otherwise=SHOW),
                )
        if key.startswith("model.") and key not in own:
            raise ConfigError(
                f"model '{kind}' has no field '{key.removeprefix('model.')}' (override '{text}')",
                hint=f"its fields are {', '.join(name for name in own if 'model.' in name)}",
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
    with _HYDRA:
        shared, theirs = ConfigStore.instance(), GlobalHydra.instance().hydra
        saved = shared.repo
        GlobalHydra.instance().clear()
        # Hydra's own groups alone: nobody else's are seen, and none of theirs is changed.
        shared.repo = {name: saved[name] for name in _HYDRAS_OWN if name in saved}
        try:
            store.add_to_hydra_store()
            with initialize(version_base="1.3", config_path=None):
                yield
        finally:
            shared.repo = saved
            GlobalHydra.instance().hydra = theirs


def _choices(override: Override) -> list[str]:
    """One sweep's values, each as a plain override."""
    key, text = override.get_key_element(), override.input_line
    try:
        values = list(override.sweep_string_iterator())
    except HydraException as error:
        raise ConfigError(
            f"override '{text}' names values that can't be counted",
            hint="write them out, or use range(...) or choice(...)",
        ) from error
    if not values:
        raise ConfigError(f"override '{text}' names no value", hint="widen the range")
    return [f"{key}={value}" for value in values]


def _interval(sweep: IntervalSweep, text: str) -> Interval:
    low, high = sweep.start, sweep.end
    log = "log" in sweep.tags
    if low is None or high is None or not 0 < high - low < inf or (log and low <= 0):
        raise ConfigError(
            f"override '{text}' is no interval{' of a logarithm' * log}",
            hint="write the smaller number first" + ", above 0" * log,
        )
    return Interval(float(low), float(high), log=log, whole=isinstance(low, int))


def _unexpected_sweep(text: str) -> ConfigError:
    return ConfigError(
        f"override '{text}' names several values, which makes a sweep",
        hint="add -m to run one after the other, or give one value",
    )


def _given(parsed: Sequence[Override]) -> dict[str, str]:
    """The fields and groups that overrides name, each with the last override that does."""
    given: dict[str, str] = {}
    for override in parsed:
        given.update(dict.fromkeys(_names(override), override.input_line or ""))
    return given


def _names(override: Override) -> list[str]:
    """The fields that an override sets: several for `training={max_epochs: 5, patience: 2}`."""
    key, value = override.get_key_element().lstrip("+~"), override.value()
    inner = leaves(value, f"{key}.") if isinstance(value, dict) else {}
    return list(inner) or [key]


def _first_line(error: Exception) -> str:
    """The parser's own words in one line, without its list of tokens and links."""
    text = str(error).split("See https")[0].split("\n    full_key:")[0]
    return re.sub(r"\s+", " ", text.split(" expecting {")[0]).strip()
