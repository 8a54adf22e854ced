"""What of a pasted error tells: the lines that name it, without what differs from run to run."""

from __future__ import annotations

import re

_TELLING = re.compile(
    r"\b(\w*(?:error|exception|warning|fault)|fail(?:ed|ure)?|fatal|denied|refused|timed? ?out|"
    r"not found|no such|cannot|can't|unable|killed|invalid|missing|abort(?:ed)?|oom)\b",
    re.IGNORECASE,
)
_FRAME = re.compile(r'^\s*(File "|at \S+\(|Traceback \(|\^+\s*$|~+|-{5,})')
_PASSING = re.compile(
    r"\b0x[0-9a-f]+\b|\b\d{4}-\d\d-\d\d[T ][\d:.,]+Z?|\b[0-9a-f]{12,}\b|(?<![\w.])/(?:[\w.+-]+/)+",
    re.IGNORECASE,
)
_MOST_LINES = 3
_LONGEST = 400


def essence(text: str) -> str:
    """The question in an error's text; a short text is its own."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not _FRAME.match(line)]
    telling = [line for line in lines if _TELLING.search(line)]
    # A traceback ends with what it is about.
    chosen = list(dict.fromkeys((telling or lines)[-_MOST_LINES:][::-1]))
    question = " ".join(_PASSING.sub(" ", " ".join(chosen)).split())
    return question[:_LONGEST] or text.strip()[:_LONGEST]
