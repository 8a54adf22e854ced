"""Messages and windows a second through `kdgat serve`, beside `kdgat detect`, on one core.

Run by hand, on a machine with nothing else to do:

    uv run pytest tests/benchmarks/test_serve_speed.py -m benchmarks -s -o addopts=

Server and detector are processes of their own with one thread, on the first core; the client is
this process. A student-sized fusion of a VGAE and a GAT is trained for an epoch, on which time
does not depend. Bodies are made before the clock starts, since a client makes them elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx2
import pytest

from tests.faces.conftest import call, enter, new_root
from tests.faces.test_serve import TOKEN, messages

pytestmark = pytest.mark.benchmarks

BUS_MESSAGES_PER_S = 2_500
LEAST_BUSES = 2
"""Buses of that rate that one core must keep up with."""
ROUNDS = 3
PIECE = 2_500
MOST = 60_000
SIMULATION = ("seed=3", "capture_s=20", "attack_free_s=10", "known_attacks=[dos]")
TRAINING = (
    "size=small", "data.prefix_s=2", "data.training_stride_messages=100", "training.max_epochs=1",
    "training.min_steps_per_epoch=0", "resources.threads=1",
)  # fmt: skip
ONE = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "PYTHONWARNINGS": "ignore"}
PINNED = ("taskset", "-c", "0") if shutil.which("taskset") else ()
KDGAT = (*PINNED, sys.executable, "-m", "kdgat.cli.main")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A capture of a workspace, entered, whose newest run is a fusion."""
    root = new_root(tmp_path_factory.mktemp("serve") / "workspace")
    with pytest.MonkeyPatch.context() as patch:
        enter(root, patch)
        done = [
            call("data", "simulate", *SIMULATION, "unknown_attacks=[suppress]"),
            call("data", "ingest", "simulated"),
            *(call("train", *TRAINING, f"model={kind}") for kind in ("vgae", "gat", "fusion")),
        ]
        assert not [each for each in done if each.code], [each.err for each in done]
        found = root.glob(".kdgat/data/simulated/raw/test_01*/*.csv.gz")
        yield max(found, key=lambda path: path.stat().st_size)


def test_one_core_serves_several_busy_buses(capture: Path) -> None:
    all_messages = messages(capture)[:MOST]
    pieces = [all_messages[first : first + PIECE] for first in range(0, len(all_messages), PIECE)]
    with serving() as client:
        whole = [ask(client, [{"messages": all_messages}]) for _ in range(ROUNDS)]
        streamed = [
            ask(client, [{"messages": piece, "stream": f"bus-{number}"} for piece in pieces])
            for number in range(ROUNDS)
        ]
    detected = json.loads(
        subprocess.run(
            [*KDGAT, "detect", str(capture), "--model", "latest", "--json"],
            env={**os.environ, **ONE}, capture_output=True, text=True, check=True,
        ).stdout.splitlines()[-1]
    )  # fmt: skip
    rates = {
        "one request": median(len(all_messages) / seconds for seconds, _ in whole),
        f"a stream in pieces of {PIECE:,}": median(
            len(all_messages) / seconds for seconds, _ in streamed
        ),
    }
    for (name, rate), (_, windows) in zip(rates.items(), (whole[0], streamed[0]), strict=True):
        print(
            f"\nserve, {name}: {rate:,.0f} messages/s, "
            f"{rate * windows / len(all_messages):,.0f} windows/s, "
            f"{rate / BUS_MESSAGES_PER_S:.1f} times a bus of {BUS_MESSAGES_PER_S:,}/s, "
            f"{rate / detected['messages_per_s']:.2f} of kdgat detect"
        )
    print(
        f"kdgat detect, the same capture: {detected['messages_per_s']:,.0f} messages/s, "
        f"{detected['messages_per_s'] / BUS_MESSAGES_PER_S:.1f} times that bus"
    )
    assert whole[0][1] == streamed[0][1] > 0
    assert min(rates.values()) >= LEAST_BUSES * BUS_MESSAGES_PER_S, rates


def serving() -> httpx2.Client:
    """A client of a fresh server, which ends with the client."""
    process = subprocess.Popen(
        [*KDGAT, "serve", "latest", "--port", "0"], stderr=subprocess.PIPE, text=True,
        env={**os.environ, **ONE, "KDGAT_SERVE_TOKEN": TOKEN},
    )  # fmt: skip
    assert process.stderr
    said = process.stderr.readline()
    assert said.startswith("kdgat serves "), said

    class Ending(httpx2.Client):
        def __exit__(self, *error: object) -> None:
            super().__exit__(*error)  # pyright: ignore[reportArgumentType]
            process.terminate()
            process.communicate(timeout=60)

    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    return Ending(base_url=said.split()[-1], headers=headers, trust_env=False, timeout=600)


def ask(client: httpx2.Client, bodies: list[dict[str, object]]) -> tuple[float, int]:
    """Seconds from the first request to the last answer, and the windows in the answers."""
    packed = [json.dumps(body).encode() for body in bodies]
    begin = time.perf_counter()
    answers = [client.post("/score", content=body) for body in packed]
    seconds = time.perf_counter() - begin
    assert {each.status_code for each in answers} == {200}, answers[0].text[:300]
    return seconds, sum(len(each.json()["windows"]) for each in answers)
