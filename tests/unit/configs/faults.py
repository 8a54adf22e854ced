"""What a config mistake must say: a problem and a hint, each one sentence."""

from __future__ import annotations

import pytest

from kdgat.configs.compose import compose
from kdgat.errors import ConfigError


def fault(*overrides: str) -> tuple[str, str]:
    """Problem and hint of what can't be composed; one sentence, in one line."""
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    return one_sentence(caught.value)


def one_sentence(error: ConfigError) -> tuple[str, str]:
    assert "\n" not in error.problem + error.hint
    assert ". " not in error.problem
    assert error.hint
    return error.problem, error.hint
