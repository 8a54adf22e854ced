"""`kdgat train --profile`: where a step's time goes, as a user asks for it."""

from __future__ import annotations

import gzip
import json

from tests.faces.conftest import TINY, Command, Tiny

FIVE = ("data", "forward", "backward", "optimizer", "idle")


def test_profile_tells_five_shares_and_leaves_a_trace(prepared: Tiny, kdgat: Command) -> None:
    said = kdgat("train", *TINY, "training.max_graphs=4", "--profile")
    assert said.code == 0, said.err
    told = [line.split()[0] for line in said.out.splitlines() if line.strip().endswith("%")]
    assert tuple(told) == FIVE
    (run_id,) = prepared.runs()
    folder = prepared.run(run_id) / "artifacts" / "profile"
    shares = json.loads((folder / "profile.json").read_text())
    assert set(shares) == {"steps", *FIVE}
    assert all(0 <= shares[name] <= 1 for name in FIVE)
    trace = json.loads(gzip.decompress((folder / "trace.json.gz").read_bytes()))
    assert any("aten::" in event.get("name", "") for event in trace["traceEvents"])


def test_a_profile_makes_no_other_experiment(prepared: Tiny, kdgat: Command) -> None:
    first = kdgat("train", *TINY, "--json").json
    again = kdgat("train", *TINY, "--profile", "--json").json
    assert (again["run_id"], again["outcome"]) == (first["run_id"], "already done")
    assert again["profile"] is None
    assert "--fresh" in kdgat("train", *TINY, "--profile").err
