"""Checks, one after the other; none can break another, or hold it up for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kdgat.errors import KdgatError
from kdgat.ops.checkup.finding import Check, Found, Surroundings, note, of_error, problem
from kdgat.progress import Progress

_KIND = "check"


@dataclass(frozen=True)
class Checked:
    """How one check went."""

    check: str
    outcome: Literal["done", "broke", "cut off"]
    findings: int
    seconds: float


def run_checks(
    checks: Sequence[Check], here: Surroundings, progress: Progress
) -> tuple[list[Found], list[Checked]]:
    """What the checks find, each thing once, and how each went."""
    found: dict[str, Found] = {}
    went = []
    for number, check in enumerate(checks):
        progress(check.name, number, len(checks))
        each, how = _run(check, here)
        went.append(how)
        for one in each:
            # Two checks may read one file, and say the same of it.
            found.setdefault(one.finding.what, one)
    return list(found.values()), went


def mended(found: Iterable[Found]) -> tuple[list[str], list[Found]]:
    """Mend what is safe to mend: what was done, and what is left."""
    done: dict[int, str] = {}
    left = []
    for each in found:
        if each.mend is None:
            left.append(each)
            continue
        try:
            # One action may mend several findings.
            if id(each.mend) not in done:
                done[id(each.mend)] = each.mend()
        except KdgatError as error:
            left.append(each)
            left.append(of_error("fix", error))
        except OSError as error:
            left.append(each)
            what = f"'{each.finding.where}' can't be mended: {error.strerror or error}"
            left.append(problem("fix", what, "mend its permissions"))
    return list(done.values()), left


def _run(check: Check, here: Surroundings) -> tuple[list[Found], Checked]:
    """In a thread of its own, which is left alone when it hangs, on a dead file system say."""
    found: list[Found] = []
    broke: list[Exception] = []

    def work() -> None:
        try:
            found.extend(check.look(here))
        except KdgatError as error:
            found.append(of_error(check.name, error))
        except Exception as error:
            broke.append(error)

    began = time.monotonic()
    thread = threading.Thread(target=work, name=f"kdgat-doctor-{check.name}", daemon=True)
    thread.start()
    thread.join(check.limit_s)
    seconds = round(time.monotonic() - began, 3)
    if thread.is_alive():
        what = f"the check '{check.name}' had not ended after {check.limit_s:g} s, and was left"
        return [note(_KIND, what, check.by_hand)], Checked(check.name, "cut off", 0, seconds)
    if broke:
        error = broke[0]
        told = " ".join(str(error).split())[:200]
        what = f"the check '{check.name}' broke: {type(error).__name__}: {told}"
        fix = f"look by hand: {check.by_hand}"
        return [*found, problem(_KIND, what, fix)], Checked(check.name, "broke", 0, seconds)
    return found, Checked(check.name, "done", len(found), seconds)
