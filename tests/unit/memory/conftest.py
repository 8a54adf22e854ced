"""What every test of the planner needs."""

from __future__ import annotations

import jaxtyping
import pytest


@pytest.fixture(autouse=True)
def unchecked_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No shape is checked: under autocast the models' `Float32` are of half precision."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
