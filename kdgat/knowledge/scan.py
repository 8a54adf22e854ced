"""Which pages a site has now: a walk that costs a stat a file, and what of it is no page.

A file that was written within the last moments may be written again without its times or its size
telling, so it is held against its content until it has rested ("racy git" has the same cure).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LARGEST_BYTES = 4 << 20
_RESTED_NS = 3_000_000_000
_OPEN_QUESTIONS = f"{os.sep}modes{os.sep}questions"
"""A workspace's open questions are no documentation: modes may hide them."""
Stamp = tuple[int, int, int]
"""Modified, changed (both ns), bytes."""
GONE: Stamp = (0, 0, -1)


@dataclass(frozen=True)
class Scan:
    """Files of a site, by their path from its root, and what was passed over."""

    pages: Mapping[str, Stamp]
    skipped: tuple[tuple[str, str], ...] = field(default=())
    """Path and reason."""


def scan(site_root: Path, docs: Path) -> Scan:
    """Walk a site's pages; links that lead out of the site are named and not followed."""
    pages: dict[str, Stamp] = {}
    skipped: list[tuple[str, str]] = []
    inside = site_root.resolve()
    prefix = "" if docs == site_root else docs.relative_to(site_root).as_posix() + "/"
    _walk(str(docs), prefix, inside, pages, skipped, {os.path.realpath(docs)})
    return Scan(pages, tuple(skipped))


def stamps_of(root: Path, names: Sequence[str]) -> Iterator[tuple[str, Stamp]]:
    """Stamps of files beside the pages; a missing one has the stamp of nothing."""
    for name in names:
        try:
            yield name, _stamp((root / name).stat())
        except OSError:
            yield name, GONE


def restless(stamp: Stamp, at_ns: int) -> bool:
    """Whether a file had been written so lately, at a time, that its stamp proved nothing."""
    return stamp[2] >= 0 and max(stamp[:2]) > at_ns - _RESTED_NS


def digest(data: bytes) -> str:
    """A short name for content."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_page_bytes(path: Path) -> bytes:
    """What a page's file holds.

    Raises:
        ValueError: it is too long.
        OSError: it can't be read.
    """
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise ValueError(f"{size / 1e6:.0f} MB is more than a page has ({LARGEST_BYTES >> 20} MiB)")
    return path.read_bytes()


def decoded(data: bytes) -> str:
    """Bytes as text.

    Raises:
        ValueError: they are none.
    """
    if b"\0" in data:
        raise ValueError("it is binary, not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from error


def read_text(path: Path) -> str:
    """The text of a page.

    Raises:
        ValueError: it is too long, or no text; says so.
        OSError: it can't be read.
    """
    return decoded(read_page_bytes(path))


def _walk(
    folder: str,
    prefix: str,
    inside: Path,
    pages: dict[str, Stamp],
    skipped: list[tuple[str, str]],
    seen: set[str],
) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        skipped.append((prefix or ".", f"can't be read: {error.strerror}"))
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(inside):
            if entry.name.endswith(".md") or entry.is_dir():
                skipped.append((name, "it is a link that leads out of the site"))
        elif entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in seen and not real.endswith(_OPEN_QUESTIONS):
                _walk(entry.path, name + "/", inside, pages, skipped, seen | {real})
        elif entry.name.endswith(".md"):
            try:
                pages[name] = _stamp(entry.stat())
            except OSError:
                skipped.append((name, "it is a link that leads nowhere"))


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size
