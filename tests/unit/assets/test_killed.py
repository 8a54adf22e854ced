"""Processes that add, link and collect, killed for good at random instants."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kdgat.assets.adding import add_tree
from kdgat.assets.collecting import collect, verify_contents
from kdgat.assets.links import link_asset, links_at
from kdgat.assets.store import AssetStore
from tests.unit.assets.made import folder

KILLS = 25
WORKING = """
import os, sys, time
from pathlib import Path
from kdgat.assets.adding import add_tree
from kdgat.assets.collecting import collect
from kdgat.assets.links import link_asset
from kdgat.assets.store import AssetStore
store, root = AssetStore(Path(sys.argv[1])), Path(sys.argv[2])
print("ready", flush=True)
number = 0
while True:
    (root / "raw" / "changing").write_bytes(os.urandom(300_000))
    add_tree(store, root / "raw", "can", "dataset", replace=True)
    link_asset(store, store.find("can"), root / "linked", root)
    collect(store, now=time.time() + 7200)
"""


@pytest.mark.kill
def test_a_kill_leaves_no_half_content_and_no_name_or_link_without_its_contents(
    tmp_path: Path,
) -> None:
    dice = random.Random(11)
    store = AssetStore(tmp_path / "store")
    raw = folder(tmp_path / "raw")
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WORKING, str(store.root), str(tmp_path)],
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            threading.Event().wait(dice.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        assets, faults = store.assets()
        assert faults == []
        assert verify_contents(store, assets, everything=True)[1] == []
        assert all(
            Path(target).is_file() for target in links_at(tmp_path / "linked").links.values()
        )
    add_tree(store, raw, "can", "dataset", replace=True)
    assert link_asset(store, store.find("can"), tmp_path / "linked", tmp_path) in (
        "linked", "relinked", "unchanged",
    )  # fmt: skip
    collect(store)
