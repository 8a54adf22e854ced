"""What kdgat is said to have: is it used so?"""

from __future__ import annotations

import shlex
from pathlib import Path

from kdgat.configs.compose import compose, compose_simulation
from kdgat.knowledge.own import own_things
from kdgat.workspace import Workspace


def test_every_config_field_is_told_with_a_command_that_takes_it(tmp_path: Path) -> None:
    things = own_things(Workspace(tmp_path, tmp_path / "home"))
    assert things is not None
    fields = [thing for thing in things.all() if thing.kind == "config field"]
    simulated = 0
    for field in fields:
        words = shlex.split(field.use)
        if words[:3] == ["kdgat", "data", "simulate"]:
            compose_simulation(words[3:])
            simulated += 1
        else:
            assert words[:2] == ["kdgat", "train"]
            compose(words[2:])
    assert len(fields) - simulated > 50
    assert simulated > 20
