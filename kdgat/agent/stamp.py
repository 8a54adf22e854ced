"""What the context was made from, noted in the home folder.

`context.json` has the time and size of every file that it depends on, so that a hook can tell by
`stat` alone that there is nothing to do. `sections.json` has the facts themselves, so that a stale
section's cause can be named. Both are notes: without them a render takes longer, and no more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from kdgat.agent.clients import AGENTS, CLAUDE, SERVERS, SETTINGS
from kdgat.agent.modules import package_folders, source_files
from kdgat.ledger.files import write_text
from kdgat.workspace import Workspace

Seen = dict[str, list[int] | None]
"""`[mtime_ns, size]` by path, relative to the root where it lies inside; None for what is absent.
"""
MADE = (AGENTS, CLAUDE, SERVERS, SETTINGS)
"""The files that a render writes."""
_PACKAGE = Path(__file__).parents[1]
_FOLDERS = (
    "agent", "agent/rules", "agent/skills", "modes", "slurm/clusters", "tests", "knowledge",
    "knowledge/guide", "knowledge/decisions", "knowledge/papers",
)  # fmt: skip
_READ = ("agent/*", "agent/rules/*.md", "modes/*.md", "slurm/clusters/*.toml")


def stamp_path(ws: Workspace) -> Path:
    """The file that a hook compares with what is there."""
    return ws.agent / "context.json"


def sections_path(ws: Workspace) -> Path:
    """The facts of the last render."""
    return ws.agent / "sections.json"


def modules_path(ws: Workspace) -> Path:
    """What was read of modules, by the hash of each."""
    return ws.agent / "modules.json"


def look(ws: Workspace) -> Seen:
    """Time and size of everything that the context depends on, folders too.

    To be taken before anything is read: what changes after it then differs from the stamp.
    """
    return {_shown(ws, path): _stat(path) for path in _watched(ws)}


def write_stamp(ws: Workspace, seen: Seen, written: Iterable[str]) -> None:
    """Note what was seen; of the files that were written since, as they are now.

    Raises:
        StorageError: the file system refused.
    """
    fresh = dict(seen)
    for name in written:
        path = ws.root / name
        for each in (path, path.parent):
            fresh[_shown(ws, each)] = _stat(each)
    _write(stamp_path(ws), {"inputs": fresh})


def write_facts(ws: Workspace, facts: Mapping[str, Mapping[str, str]]) -> None:
    """Note the facts of every section.

    Raises:
        StorageError: the file system refused.
    """
    _write(sections_path(ws), facts)


def read_facts(ws: Workspace) -> dict[str, dict[str, str]]:
    """The facts of the last render; none where nobody rendered here, or the note is damaged."""
    with suppress(OSError, ValueError, RecursionError):
        value = json.loads(sections_path(ws).read_bytes())
        if isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()):
            return value
    return {}


def _watched(ws: Workspace) -> Iterator[Path]:
    yield ws.root
    yield ws.root / "pyproject.toml"
    yield from (ws.root / name for name in MADE)
    yield ws.root / ".claude"
    yield from (ws.root / name for name in _FOLDERS)
    yield from sorted(path for pattern in _READ for path in ws.root.glob(pattern))
    yield from sorted(ws.root.glob("*.py"))
    folders = package_folders(ws.root)
    # A kdgat that is installed elsewhere has the commands, the config and the tables.
    for folder in folders if _PACKAGE in folders else (*folders, _PACKAGE):
        files = list(source_files(folder))
        yield from sorted({folder, *(path.parent for path in files)})
        yield from files


def _shown(ws: Workspace, path: Path) -> str:
    return path.relative_to(ws.root).as_posix() if path.is_relative_to(ws.root) else str(path)


def _stat(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]


def _write(path: Path, value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)
