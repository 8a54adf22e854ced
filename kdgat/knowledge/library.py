"""The sites of a workspace: which there are, whether their indexes still hold, and the indexes.

An index that no longer holds is brought up to date by whoever asks, so that an answer is of the
pages as they are. A process keeps what it opened, and looks at the files each time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kdgat.errors import KnowledgeError
from kdgat.knowledge.checkout import checkout
from kdgat.knowledge.index import Indexed, IndexFile, is_current, open_index, write_index
from kdgat.knowledge.scan import scan
from kdgat.knowledge.search import Searchable
from kdgat.knowledge.sources import Source, listed, name_of, site_at
from kdgat.knowledge.vectors import Encoder, encoder
from kdgat.ledger.files import write_json
from kdgat.workspace import Workspace

_open: dict[Path, tuple[tuple[int, int, int], Searchable]] = {}


@dataclass(frozen=True)
class Synced:
    """What became of one source."""

    source: str
    root: str
    indexed: Indexed | None
    """None: it could not be indexed; `problem` says why."""
    problem: str | None
    seconds: float


def sync(ws: Workspace, source: Source) -> Synced:
    """Bring one source's index up to date; what is wrong with the source is told, not raised.

    Raises:
        StorageError: the home can't be written.
    """
    began = time.monotonic()
    problem = None
    root = _root(ws, source)
    try:
        if source.git:
            problem = checkout(source.git, root)
        indexed = _synced(ws, source.name, root)
    except KnowledgeError as error:
        return Synced(source.name, str(root), None, f"{error.problem}; {error.hint}", _since(began))
    return Synced(source.name, str(root), indexed, problem, _since(began))


def given(ws: Workspace, folder: Path) -> Source:
    """The source of a folder that is given by hand; its name is remembered.

    Raises:
        KnowledgeError: there is no such folder, or its name is that of a listed source elsewhere.
    """
    folder = folder.expanduser().resolve()
    name = name_of(folder)
    for each in listed(ws):
        if each.path and each.path.resolve() == folder:
            return each
        if each.name == name:
            raise KnowledgeError(
                f"'{name}' is the name of another source, at '{each.path or each.git}'",
                hint="list the folder in knowledge/sources.toml under a name of its own",
            )
    site_at(name, folder)
    write_json(_given_folder(ws) / f"{name}.json", {"root": str(folder)})
    return Source(name, path=folder)


def sources(ws: Workspace) -> tuple[Source, ...]:
    """Listed sources, and those that were given by hand."""
    found = {source.name: source for source in _by_hand(ws)}
    found.update((source.name, source) for source in listed(ws))
    return tuple(found.values())


def open_sites(ws: Workspace, names: list[str] | None) -> tuple[list[Searchable], list[str]]:
    """What can be searched now, each index as its pages are; and what is wrong with the rest.

    Raises:
        StorageError: an index must be made and can't be written.
    """
    sites, notes = [], []
    for source in sources(ws):
        if names is not None and source.name not in names:
            continue
        root = _root(ws, source)
        if source.git and not root.is_dir():
            notes.append(f"source '{source.name}' was not cloned yet: `kdgat docs sync` does that")
            continue
        try:
            sites.append(_current(ws, source.name, root))
        except KnowledgeError as error:
            notes.append(f"{error.problem}; {error.hint}")
    return sites, notes


def model() -> Encoder | None:
    """The encoder of questions; None where the weights are not installed."""
    return encoder()


def _synced(ws: Workspace, name: str, root: Path) -> Indexed:
    path = _file(ws, name)
    site = site_at(name, root)
    old = open_index(path)
    meaning = encoder()
    wanted = meaning.name if meaning else ""
    if old and old.model == wanted and _holds(old, root):
        return replace(old.indexed, changed=0, embedded=0)
    return write_index(site, path, old, meaning)


def _current(ws: Workspace, name: str, root: Path) -> Searchable:
    """An index that holds: the one that is open, the one in the file, or a new one."""
    if not root.is_dir():
        # Said by site_at, with what to do.
        site_at(name, root)
    path = _file(ws, name)
    stamp = _stamp(path)
    kept = _open.get(path)
    if kept and kept[0] == stamp and _holds(kept[1].index, root):
        return kept[1]
    index = open_index(path)
    if index is None or not _holds(index, root):
        write_index(site_at(name, root), path, index, encoder())
        stamp = _stamp(path)
        index = open_index(path)
    if index is None:
        raise KnowledgeError(
            f"the index '{path}' of '{name}' vanished while it was read", hint="ask again"
        )
    _open[path] = (stamp, Searchable(name, index))
    return _open[path][1]


def _holds(index: IndexFile, root: Path) -> bool:
    root = root.resolve()
    docs = index.docs
    if index.root != root or not docs.is_dir():
        return False
    return is_current(index, scan(root, docs))


def _root(ws: Workspace, source: Source) -> Path:
    return source.path or ws.knowledge / "clones" / source.name


def _file(ws: Workspace, name: str) -> Path:
    return ws.knowledge / "indexes" / f"{name}.db"


def _given_folder(ws: Workspace) -> Path:
    return ws.knowledge / "given"


def _by_hand(ws: Workspace) -> Iterator[Source]:
    for file in sorted(_given_folder(ws).glob("[!.]*.json")):
        try:
            yield Source(file.stem, path=Path(json.loads(file.read_text(encoding="utf-8"))["root"]))
        except (OSError, ValueError, KeyError, TypeError):
            # Half a file of another time; giving the folder again writes it anew.
            continue


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0, 0
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
