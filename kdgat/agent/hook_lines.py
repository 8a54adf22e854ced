"""How many lines of code a session wrote, and whether it looked for what exists already."""

from __future__ import annotations

from pathlib import Path

from kdgat.agent.hook import SOURCES, Place
from kdgat.agent.hook_processes import git
from kdgat.ledger.files import read_lines

_LOOKS = frozenset({"prior_art", "docs_lookup"})
"""Tools of the server that look for what exists."""
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_LARGEST_BYTES = 1_000_000
_MOST_FILES = 2_000
_FILES = tuple(f"*{end}" for end in SOURCES)


def commit_now(place: Place) -> str:
    """The commit of the checkout; the empty tree before the first one."""
    said = git(place, "rev-parse", "--verify", "--quiet", "HEAD")
    return said.decode().strip() if said else _EMPTY_TREE


def net_lines(place: Place, commit: str) -> int | None:
    """Lines of code that came since a commit less those that went, untracked files included.

    None where there is no repository, or the commit is not in it any more.
    """
    changed = git(
        place, "diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv",
        "--relative", commit, "--", *_FILES,
    )  # fmt: skip
    new = git(place, "ls-files", "-z", "--others", "--exclude-standard", "--", *_FILES)
    if changed is None or new is None:
        return None
    rows = (row.split(b"\t") for row in changed.split(b"\0") if row)
    # Git counts no lines of a binary file and writes a dash.
    tracked = sum(int(row[0]) - int(row[1]) for row in rows if row[0].isdigit())
    paths = [Path(place.root, name.decode(errors="surrogateescape")) for name in new.split(b"\0")]
    return tracked + sum(_lines(path) for path in paths[:_MOST_FILES])


def looked(place: Place, since: str) -> bool:
    """Whether somebody looked for prior art since a time (ISO 8601, UTC), by command or tool."""
    return any(
        _is_look(line) and _later(line, since)
        for path in (
            Path(place.agent("prior-art.jsonl")),
            *sorted(Path(place.agent("calls")).glob("*.jsonl")),
        )
        for line in _rows(path)
    )


def _is_look(line: dict) -> bool:
    """A line of `prior-art.jsonl` is one; of the calls those of two tools are that went well."""
    return "tool" not in line or (line["tool"] in _LOOKS and not line.get("error"))


def _later(line: dict, since: str) -> bool:
    # To the second, the spellings of a time compare as text, whatever follows.
    length = len("2026-11-21T19:15:00")
    return str(line.get("time") or line.get("started_at"))[:length] >= since[:length]


def _rows(path: Path) -> list[dict]:
    try:
        return read_lines(path)
    except (OSError, RecursionError):
        return []


def _lines(path: Path) -> int:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
            return 0
        data = path.read_bytes()
    except OSError:
        return 0
    return 0 if b"\0" in data else data.count(b"\n")
