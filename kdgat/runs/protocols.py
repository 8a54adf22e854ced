"""The protocols that models were judged under, and one question asked under each of them.

Figures of two protocols never stand in one table, so what is asked of all of them is asked of each
alone and answered in tables of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from kdgat.configs.names import PROTOCOLS
from kdgat.errors import RunError
from kdgat.runs.history import History
from kdgat.runs.scores import Question

Found = TypeVar("Found")


def protocol_place(name: str) -> tuple[int, str]:
    """Where a protocol stands among others: `zero_shot`, `adapted`, then any other by its name."""
    return (PROTOCOLS.index(name) if name in PROTOCOLS else len(PROTOCOLS)), name


def protocols(history: History) -> tuple[str, ...]:
    """The protocols that models were judged under, in their order."""
    sql = "SELECT DISTINCT protocol FROM metrics WHERE protocol IS NOT NULL"
    return tuple(sorted((row[0] for row in history.query(sql).rows), key=protocol_place))


def each_protocol(
    answer: Callable[[History, Question], tuple[Found, ...]],
    history: History,
    question: Question,
    protocol: str | None,
) -> list[Found]:
    """The answers of one question under a protocol, or under every one that there is.

    Args:
        answer: gives the answers under one protocol.
        history: the open history.
        question: what is asked; its protocol does not count.
        protocol: the one that is asked for; None for all.

    Raises:
        RunError: there is no answer under any of them; then as the first of them says.
    """
    found: list[Found] = []
    faults: list[RunError] = []
    for each in (protocol,) if protocol else protocols(history) or PROTOCOLS[:1]:
        try:
            found += answer(history, replace(question, protocol=each))
        except RunError as error:
            faults.append(error)
    if not found and faults:
        raise faults[0]
    return found
