"""`kdgat serve` over real sockets: scores as `kdgat detect` has them, and bad requests."""

# ruff: noqa: F811 (a fixture that is imported is named again as an argument)
from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.faces.conftest import Command, enter
from tests.faces.watched import Watched, watched, watched_once  # noqa: F401

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytestmark = pytest.mark.slow

TOKEN = "a-token-of-tests-0123456789"
MESSAGE = {"time_s": 1.5, "arbitration_id": "316", "data": "2A366C2BBA000000"}


@dataclass(frozen=True)
class Served:
    """A server that listens on a real socket, and the messages of the capture that is asked of."""

    url: str
    process: subprocess.Popen[str]
    messages: list[dict[str, Any]]

    def ask(self, path: str, body: Any = None, method: str = "POST", **options: Any) -> Any:
        """One request with the token."""
        headers = {"Authorization": f"Bearer {TOKEN}", **options.pop("headers", {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
            # By Python's own writer, which has NaN too.
            options["content"] = json.dumps(body)
        with httpx2.Client(trust_env=False, timeout=300) as client:
            return client.request(method, f"{self.url}{path}", headers=headers, **options)

    def score(self, **body: Any) -> Any:
        """What is answered to messages or windows."""
        answer = self.ask("/score", body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def serving(watched: Watched, *arguments: object) -> Iterator[Served]:
    """`kdgat serve` on a free port; it is up when it has said where."""
    command = [sys.executable, "-m", "kdgat.cli.main", "serve", watched.run, "--port", "0"]
    process = subprocess.Popen(
        [*command, *map(str, arguments)], cwd=watched.root, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "KDGAT_SERVE_TOKEN": TOKEN, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    try:
        assert process.stderr
        said = process.stderr.readline()
        assert said.startswith("kdgat serves "), said + process.stderr.read()
        yield Served(said.split()[-1], process, messages(watched.capture))
    finally:
        process.kill()
        process.communicate(timeout=30)


def messages(capture: Path) -> list[dict[str, Any]]:
    rows = gzip.decompress(capture.read_bytes()).decode().splitlines()[1:]
    cut = (row.split(",") for row in rows)
    return [{"time_s": float(t), "arbitration_id": i, "data": d} for t, i, d, _ in cut]


@pytest.fixture(scope="module")
def adapted(watched_once: Watched) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        enter(watched_once.root, patch)
        with serving(watched_once) as server:
            yield server


@pytest.fixture(scope="module")
def zero_shot(watched_once: Watched) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        enter(watched_once.root, patch)
        with serving(watched_once, "--protocol", "zero_shot") as server:
            yield server


def detected(watched: Watched, kdgat: Command, protocol: str) -> list[dict[str, Any]]:
    """The windows of the same capture by `kdgat detect`."""
    words = ("--model", watched.run, "--protocol", protocol, "--all", "--json")
    said = kdgat("detect", watched.capture, *words)
    assert said.code == 0, said.err
    return [json.loads(line) for line in said.out.splitlines()][:-1]


def same(windows: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert len(windows) == len(wanted) > 20
    for each, one in zip(windows, wanted, strict=True):
        exact = ("window", "start_s", "end_s", "alarm", "reference")
        assert {name: each[name] for name in exact} == {name: one[name] for name in exact}
        assert each["score"] == pytest.approx(one["score"], abs=1e-6)
        assert each["threshold"] == pytest.approx(one["threshold"], abs=1e-6)
        assert [found["id"] for found in each["suspects"]] == [
            found["id"] for found in one["suspects"]
        ]


@pytest.mark.parametrize("protocol", ["adapted", "zero_shot"])
def test_its_scores_are_those_of_detect(
    request: pytest.FixtureRequest, watched: Watched, kdgat: Command, protocol: str
) -> None:
    server: Served = request.getfixturevalue(protocol)
    answer = server.score(messages=server.messages)
    same(answer["windows"], detected(watched, kdgat, protocol))
    assert answer["run_id"] == watched.run
    assert answer["alarms"] == sum(each["alarm"] for each in answer["windows"])
    assert answer["messages"] == len(server.messages)


def test_a_stream_in_pieces_is_scored_as_the_whole(adapted: Served) -> None:
    whole = adapted.score(messages=adapted.messages)["windows"]
    windows, learning = [], []
    for first in range(0, len(adapted.messages), 333):
        piece = adapted.messages[first : first + 333]
        answer = adapted.score(messages=piece, stream="car-7")
        windows += answer["windows"]
        learning.append(answer["learning"])
    same(windows, whole)
    assert learning[0]
    assert not learning[-1]
    closed = adapted.ask("/streams/car-7", method="DELETE").json()
    assert closed == {"stream": "car-7", "messages": len(adapted.messages)}
    assert adapted.ask("/streams/car-7", method="DELETE").status_code == 404


def test_whole_windows_are_scored_each_by_itself(zero_shot: Served, adapted: Served) -> None:
    count = len(zero_shot.messages) // 100
    windows = [zero_shot.messages[100 * i : 100 * i + 100] for i in range(count)]
    whole = zero_shot.score(messages=zero_shot.messages)["windows"]
    same(zero_shot.score(windows=windows)["windows"], whole)
    back = zero_shot.score(windows=windows[::-1])["windows"]
    assert [each["score"] for each in back[::-1]] == pytest.approx(
        [each["score"] for each in whole], abs=1e-6
    )
    early = adapted.ask("/score", {"windows": windows[:1]})
    assert early.status_code == 422
    assert "not known yet" in early.json()["error"]
    adapted.score(messages=adapted.messages, stream="known")
    assert len(adapted.score(windows=windows[:3], stream="known")["windows"]) == 3


def test_requests_at_once_get_the_same_answers(adapted: Served) -> None:
    alone = adapted.score(messages=adapted.messages)["windows"]
    with ThreadPoolExecutor(8) as pool:
        ask = [pool.submit(adapted.score, messages=adapted.messages) for _ in range(8)]
        answers = [each.result() for each in ask]
    for each in answers:
        same(each["windows"], alone)


def test_it_says_what_is_served(adapted: Served, watched: Watched) -> None:
    about = adapted.ask("/model", method="GET").json()
    record = json.loads(
        next(watched.root.glob(f".kdgat/runs/*/*/{watched.run}/run.json")).read_text()
    )
    assert about["config_digest"] == record["digest"]
    assert (about["run_id"], about["protocol"], about["prefix_s"]) == (watched.run, "adapted", 1.0)
    assert (about["thresholds"], about["window_messages"]) == ({"own": 0.5}, 100)
    assert about["parameters"] > 0
    health = adapted.ask("/health", method="GET").json()
    assert (health["status"], health["run_id"]) == ("ok", watched.run)


def test_its_description_has_types_and_examples_that_hold(adapted: Served) -> None:
    from kdgat.serving.body import Request

    described = adapted.ask("/openapi.json", method="GET").json()
    schemas = described["components"]["schemas"]
    assert {"/health", "/model", "/score", "/streams/{stream}"} == set(described["paths"])
    for example in schemas["Request"]["examples"]:
        Request.model_validate(example)
    answers = described["paths"]["/score"]["post"]["responses"]
    assert answers["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Answer")
    for status in ("401", "413", "422", "503"):
        schema = answers[status]["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith("/Problem")
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


@pytest.mark.parametrize(("body", "where", "value"), [
    ({}, "body", ""),
    ({"messages": [], "windows": []}, "body", ""),
    ([], "body", "an array of 0"),
    ({"messages": [MESSAGE, {**MESSAGE, "data": "2A3"}]}, "messages.1.data", "'2A3'"),
    ({"messages": [{**MESSAGE, "data": "00" * 9}]}, "messages.0.data", f"'{'00' * 9}'"),
    ({"messages": [{**MESSAGE, "arbitration_id": 790}]}, "messages.0.arbitration_id", "790"),
    ({"messages": [{**MESSAGE, "arbitration_id": "20000000"}]}, "messages.0.arbitration_id",
     "'20000000'"),
    ({"messages": [{**MESSAGE, "arbitration_id": "\ud800"}]}, "messages.0.arbitration_id",
     r"'\ud800'"),
    ({"messages": [{**MESSAGE, "time_s": float("nan")}]}, "messages.0.time_s", "nan"),
    ({"messages": [{**MESSAGE, "time_s": 1e300}]}, "messages.0.time_s", "1e+300"),
    ({"messages": [{**MESSAGE, "attack": 1}]}, "messages.0.attack", "1"),
    ({"windows": [[MESSAGE], [{**MESSAGE, "data": "x"}]]}, "windows.1.0.data", "'x'"),
    ({"messages": [MESSAGE], "stream": "a b"}, "stream", "'a b'"),
])  # fmt: skip
def test_a_bad_value_is_told_with_its_place(
    adapted: Served, body: Any, where: str, value: str
) -> None:
    answer = adapted.ask("/score", body)
    assert answer.status_code == 422
    first = answer.json()["faults"][0]
    assert (first["where"], first["value"]) == (where, value)
    assert where in answer.json()["error"]
    assert answer.json()["hint"]


@pytest.mark.parametrize(("body", "told"), [
    ({"messages": [MESSAGE]}, "first 1 s"),
    ({"windows": [[MESSAGE] * 99], "stream": "short"}, "windows.0 has 99 messages"),
    ({"windows": []}, "there is none"),
])  # fmt: skip
def test_what_can_not_be_scored_is_told(adapted: Served, body: Any, told: str) -> None:
    answer = adapted.ask("/score", body)
    assert answer.status_code == 422
    assert told in answer.json()["error"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"messages":[' + b"9" * 5000 + b"]}"]
)
def test_what_is_no_json_is_told(adapted: Served, content: bytes) -> None:
    answer = adapted.ask("/score", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("body: ")


def test_a_body_beyond_the_bound_is_refused(adapted: Served) -> None:
    from kdgat.serving.server import MAX_BODY_BYTES

    headers = {"Content-Type": "application/json"}

    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_BODY_BYTES // 2)

    for content in (b" " * (MAX_BODY_BYTES + 1), pieces()):
        answer = adapted.ask("/score", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["error"] == f"the body has more than {MAX_BODY_BYTES:,} bytes"


@pytest.mark.parametrize(("headers", "status"), [
    ({"Authorization": ""}, 401),
    ({"Authorization": "Bearer another-token-0123456789"}, 401),
    ({"Host": "evil.example"}, 421),
    ({"Host": "localhost.evil.example:8766"}, 421),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Host": "localhost:9000", "Origin": "http://localhost:3000"}, 200),
    ({"Host": "[::1]:9000"}, 200),
])  # fmt: skip
def test_only_those_with_the_token_and_from_here_are_answered(
    adapted: Served, headers: dict[str, str], status: int
) -> None:
    for path in ("/health", "/openapi.json"):
        answer = adapted.ask(path, method="GET", headers=headers)
        assert answer.status_code == status, answer.text
        assert (status == 200) or answer.json()["hint"]
        assert TOKEN not in answer.text


def test_a_signal_lets_a_request_that_has_begun_end(watched: Watched) -> None:
    with serving(watched, "--protocol", "zero_shot") as server:
        body = json.dumps({"messages": server.messages[:1000]}).encode()
        url = httpx2.URL(server.url)
        with socket.create_connection((url.host, url.port or 0), timeout=60) as begun:
            begun.sendall(
                f"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                "Expect: 100-continue\r\nConnection: close\r\n\r\n".encode()
            )
            # By this the server has begun to read what it will answer.
            assert begun.recv(100).startswith(b"HTTP/1.1 100")
            server.process.send_signal(signal.SIGTERM)
            begun.sendall(body)
            answer = b"".join(iter(lambda: begun.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"windows":[{"window":0' in answer
        _, err = server.process.communicate(timeout=60)
        assert server.process.returncode == 0
        assert "Traceback" not in err
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((url.host, url.port or 0)).close()


def test_what_would_be_served_is_json_and_a_missing_extra_one_sentence(
    watched: Watched, kdgat: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = kdgat("serve", watched.run, "--protocol", "zero_shot", "--json").json
    assert set(about["thresholds"]) == {"borrowed", "unprofiled"}
    assert about["prefix_s"] is None
    kdgat("serve", "nothing", "--json").mistake("nothing")
    kdgat("serve", watched.run, "--protocol", "adpted", "--json").mistake("adapted")
    monkeypatch.delenv("KDGAT_SERVE_TOKEN", raising=False)
    kdgat("serve", watched.run, "--host", "0.0.0.0").mistake("other machines", "--token-file")
    monkeypatch.setitem(sys.modules, "fastapi", None)
    kdgat("serve", watched.run, "--json").mistake("fastapi", "uv sync --extra serve")
