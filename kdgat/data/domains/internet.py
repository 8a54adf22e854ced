"""Flows between hosts of a small network, and what a host under control does to them.

Clients ask servers, each at its own pace and with its own habits; a scan tries many hosts and ports
with hardly any bytes, a flood asks one server far too often, an upload sends much to one host
outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Flows = dict[str, np.ndarray]
"""Columns of flows: time_s, client and server (numbers of hosts), port, sent, received, label."""

_CLIENTS, _SERVERS = 14, 5
_PORTS = (53, 80, 123, 443, 993)
_FLOWS_PER_S = 22.0
_COLUMNS = "ts,src,dst,dst_port,sent_bytes,received_bytes,duration_ms,label,attack\n"
MAPPING = """\
citation = "made by kdgat"

[files]
suffixes = [".csv"]

[columns]
time = "ts"
entity = "src"
values = ["dst_port", "sent_bytes", "received_bytes", "duration_ms"]
label = "label"
attack_type = "attack"

[time]
unit = "ms"

[labels]
attack = ["malicious"]
benign = ["normal"]

[encoding]
log = ["sent_bytes", "received_bytes", "duration_ms"]
ranges = { dst_port = [0, 65535] }

[folders]
train_01_attack_free = ["quiet/*.csv"]
train_02_with_attacks = ["attacked/*.csv"]
test_01_known_attack = ["later/known/*.csv"]
test_02_unknown_attack = ["later/unknown/*.csv"]
"""
FILES: Mapping[str, str | None] = {
    "quiet/monday.csv": None,
    "quiet/tuesday.csv": None,
    "attacked/wednesday.csv": "scan",
    "attacked/thursday.csv": "flood",
    "later/known/friday.csv": "scan",
    "later/known/saturday.csv": "flood",
    "later/unknown/sunday.csv": "upload",
}
"""The files, each with its attack."""


def capture(
    attack: str | None, length_s: float, spans: list[tuple[float, float]], seed: int,
    rng: np.random.Generator,
) -> tuple[str, int, int]:  # fmt: skip
    """One file: its text, its rows, its rows under attack.

    Args:
        attack: scan, flood or upload; None for none.
        length_s: seconds of traffic.
        spans: first and last second of each burst of attack.
        seed: draws the hosts and their habits, the same for every file of a set.
        rng: draws this file's traffic.
    """
    flows = _usual(length_s, np.random.default_rng([seed, 7]), rng)
    if attack is not None:
        parts = [flows, *(ATTACKS[attack](first, last, rng) for first, last in spans)]
        flows = {name: np.concatenate([part[name] for part in parts]) for name in flows}
    order = np.argsort(flows["time_s"], kind="stable")
    flows = {name: values[order] for name, values in flows.items()}
    return _text(flows, attack), len(order), int(flows["label"].sum())


def _usual(length_s: float, habits: np.random.Generator, rng: np.random.Generator) -> Flows:
    """What the clients do by themselves."""
    pace = habits.dirichlet(np.full(_CLIENTS, 3.0))
    server = habits.dirichlet(np.ones(_SERVERS), size=_CLIENTS)
    size = habits.uniform(5.5, 8.0, size=(_CLIENTS, _SERVERS))
    count = rng.poisson(_FLOWS_PER_S * length_s)
    client = rng.choice(_CLIENTS, size=count, p=pace)
    drawn = rng.random(count)[:, None] > np.cumsum(server, axis=1)[client]
    asked = np.minimum(drawn.sum(axis=1), _SERVERS - 1)
    typical = size[client, asked]
    return {
        "time_s": np.sort(rng.uniform(0, length_s, size=count)),
        "client": client,
        "server": asked,
        "port": np.array(_PORTS)[asked],
        "sent": np.exp(rng.normal(typical - 1.0, 0.5)),
        "received": np.exp(rng.normal(typical + 1.0, 0.7)),
        "duration": np.exp(rng.normal(3.0, 0.8, size=count)),
        "label": np.zeros(count, dtype=bool),
    }


def _scan(first_s: float, last_s: float, rng: np.random.Generator) -> Flows:
    """One client tries ports of every host, and is hardly answered."""
    count = rng.poisson(18.0 * (last_s - first_s))
    return _attack(
        first_s, last_s, rng, client=np.full(count, rng.integers(_CLIENTS)),
        server=rng.integers(_SERVERS, size=count), port=rng.integers(1, 10_000, size=count),
        sent=rng.uniform(40, 80, size=count), received=rng.uniform(0, 60, size=count),
        duration=rng.uniform(0, 3, size=count),
    )  # fmt: skip


def _flood(first_s: float, last_s: float, rng: np.random.Generator) -> Flows:
    """Three clients ask one server far too often."""
    count = rng.poisson(40.0 * (last_s - first_s))
    return _attack(
        first_s, last_s, rng, client=rng.choice(rng.choice(_CLIENTS, 3, replace=False), size=count),
        server=np.full(count, rng.integers(_SERVERS)), port=np.full(count, 80),
        sent=rng.uniform(60, 120, size=count), received=rng.uniform(0, 40, size=count),
        duration=rng.uniform(0, 10, size=count),
    )  # fmt: skip


def _upload(first_s: float, last_s: float, rng: np.random.Generator) -> Flows:
    """One client sends much to one server, a little more often than usual."""
    count = rng.poisson(4.0 * (last_s - first_s))
    return _attack(
        first_s, last_s, rng, client=np.full(count, rng.integers(_CLIENTS)),
        server=np.full(count, rng.integers(_SERVERS)), port=np.full(count, 443),
        sent=np.exp(rng.normal(15.0, 0.4, size=count)), received=rng.uniform(40, 200, size=count),
        duration=np.exp(rng.normal(8.0, 0.5, size=count)),
    )  # fmt: skip


ATTACKS: Mapping[str, Callable[[float, float, np.random.Generator], Flows]] = {
    "scan": _scan,
    "flood": _flood,
    "upload": _upload,
}


def _attack(
    first_s: float, last_s: float, rng: np.random.Generator, **columns: np.ndarray
) -> Flows:
    count = len(columns["port"])
    return {
        "time_s": np.sort(rng.uniform(first_s, last_s, size=count)),
        **columns,
        "label": np.ones(count, dtype=bool),
    }


def _text(flows: Flows, attack: str | None) -> str:
    """The file: addresses for hosts, times in milliseconds."""
    rows = zip(
        np.round(flows["time_s"] * 1000).astype(int), flows["client"] + 10, flows["server"] + 1,
        flows["port"], flows["sent"].astype(int), flows["received"].astype(int),
        np.round(flows["duration"], 2), flows["label"], strict=True,
    )  # fmt: skip
    return _COLUMNS + "".join(
        f"{time},10.0.0.{client},10.0.1.{server},{port},{sent},{received},{duration:g},"
        f"{'malicious' if bad else 'normal'},{attack if bad else ''}\n"
        for time, client, server, port, sent, received, duration, bad in rows
    )
