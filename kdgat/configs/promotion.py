"""When a challenger takes the champion's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, ValidationError

from kdgat.configs.fields import config_error, fields_of
from kdgat.configs.names import Protocol
from kdgat.configs.schema import Config
from kdgat.errors import ConfigError, did_you_mean

DecidingMetric = Literal["f1", "precision", "recall", "specificity", "accuracy", "mcc"]


class PromotionConfig(Config):
    """The promotion rule: what two models are compared by, and how sure it must be."""

    metric: DecidingMetric = "f1"
    """Figure that decides; more is better."""
    scenario: str = "test_01_known_vehicle_known_attack"
    """Test scenario it is taken from."""
    attack_type: str = "all"
    """`all`, or the one attack type of the scenario that counts."""
    protocol: Protocol = "zero_shot"
    """What the models may know of a test capture: nothing, or with `adapted` a prefix."""
    split: Literal["test"] = "test"
    """Windows that are judged; headline figures never come from validation windows."""
    margin: float = Field(default=0.0, ge=-1.0, le=1.0)
    """The interval of the difference, challenger less champion, must lie above this."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Share of resamples that the interval holds, half of the rest on each side."""
    block_windows: int = Field(default=20, ge=1, le=100_000)
    """Consecutive windows that are drawn together, because neighbours resemble each other."""
    resamples: int = Field(default=2000, ge=200, le=100_000)
    """Resamples of the bootstrap."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the bootstrap."""


def promotion_rule(settings: Sequence[str] = ()) -> PromotionConfig:
    """The rule with some fields set, each as `margin=0.01`.

    Raises:
        ConfigError: a setting has no value, names no field, or is out of range.
    """
    known, values = fields_of("", PromotionConfig), {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in known:
            raise ConfigError(
                f"'{setting}' sets no field of the promotion rule",
                hint=did_you_mean(name, known) if equals else "write field=value: margin=0.01",
            )
        values[name] = value
    try:
        return PromotionConfig.model_validate(values)
    except ValidationError as error:
        raise config_error(error, "the promotion rule", known) from error
