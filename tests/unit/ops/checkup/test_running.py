"""One check can't break another or hold it up, and what can't be mended stays a finding."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from kdgat.errors import HistoryError
from kdgat.ops.checkup.finding import Check, Found, Surroundings, note, problem
from kdgat.ops.checkup.running import mended, run_checks
from kdgat.progress import quiet


def test_a_check_that_breaks_or_hangs_is_a_finding_and_stops_no_other(here: Surroundings) -> None:
    forever = threading.Event()

    def breaks(_: Surroundings) -> Iterator[Found]:
        yield note("one", "was seen before", "nothing")
        raise ValueError("no\nsuch thing")

    def refuses(_: Surroundings) -> Iterator[Found]:
        raise HistoryError("it is damaged", hint="delete it")

    def hangs(_: Surroundings) -> Iterator[Found]:
        forever.wait()
        return iter(())

    checks = (
        Check("breaks", breaks, "look"), Check("hangs", hangs, "kdgat wait", limit_s=0.05),
        Check("refuses", refuses, "look"),
        Check("last", lambda _: [problem("two", "is found", "mend it")], "look"),
    )  # fmt: skip
    try:
        found, went = run_checks(checks, here, quiet)
    finally:
        forever.set()
    assert [each.outcome for each in went] == ["broke", "cut off", "done", "done"]
    said = [(each.finding.severity, each.finding.what, each.finding.fix) for each in found]
    assert said == [
        ("note", "was seen before", "nothing"),
        ("problem", "the check 'breaks' broke: ValueError: no such thing", "look by hand: look"),
        ("note", "the check 'hangs' had not ended after 0.05 s, and was left", "kdgat wait"),
        ("problem", "it is damaged", "delete it"),
        ("problem", "is found", "mend it"),
    ]


def test_what_can_not_be_mended_stays_a_finding() -> None:
    def refuse() -> str:
        raise PermissionError(13, "Permission denied")

    done, left = mended([problem("runs", "is half", "kdgat runs repair", where="x", mend=refuse)])
    assert done == []
    assert [each.finding.what for each in left] == [
        "is half", "'x' can't be mended: Permission denied",
    ]  # fmt: skip
