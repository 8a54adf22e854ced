"""Operations that give the history to other programs: a SQLite file, and Datasette on one."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdgat.errors import HistoryError, WorkspaceError
from kdgat.ops.export import need_extra
from kdgat.runs.history import open_history
from kdgat.runs.sqlite import check_replaceable, is_copy, metadata_path, write_copy
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOST = "127.0.0.1"
"""The only address that is served: the pages ask nobody who he is."""
PORT = 8001
_SHUTDOWN_S = 3


@dataclass(frozen=True)
class HistoryCopy:
    """A SQLite file of the history, and the file that says what it means."""

    path: str
    metadata: str
    size_bytes: int
    rows: dict[str, int]
    """By table."""
    views: tuple[str, ...]
    """SQL views for what is asked often."""
    warnings: tuple[str, ...]
    """Run folders that are not whole and so not in it."""


@dataclass(frozen=True)
class Browsing:
    """What Datasette is to show."""

    path: str
    metadata: str
    """Empty where there is none beside the file."""
    host: str
    port: int


def export_history(ws: Workspace, path: Path | None = None, *, force: bool = False) -> HistoryCopy:
    """Copy the history to one SQLite file, whole or not at all, with a metadata file beside it.

    Args:
        ws: the workspace.
        path: the file; `browse/history.sqlite` in the home folder by default.
        force: overwrite a file that is no such copy.

    Raises:
        HistoryError: a folder or a foreign file is in the way, or the history is damaged.
        StorageError: the file can't be written.
    """
    target = (path or ws.home / "browse" / "history.sqlite").expanduser().absolute()
    check_replaceable(target, force=force)
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    with open_history(ws) as history:
        made = write_copy(history, target, f"Copied by kdgat {version('kdgat')} at {now}.")
        warnings = (*history.warnings, *history.faults)
    size = target.stat().st_size
    meaning = metadata_path(target)
    return HistoryCopy(ws.show(target), ws.show(meaning), size, made.rows, made.views, warnings)


def plan_browsing(ws: Workspace, path: Path | None = None, *, port: int = PORT) -> Browsing:
    """What `browse_history` shows; without `path` that is a copy made now.

    Raises:
        HistoryError: the file is no copy of the history, or it is damaged.
        StorageError: the copy can't be written.
        WorkspaceError: Datasette is not installed.
    """
    need_extra("browse", ("datasette",))
    if path is None:
        made = export_history(ws)
        return Browsing(str(ws.root / made.path), str(ws.root / made.metadata), HOST, port)
    target = path.expanduser().absolute()
    if not is_copy(target):
        raise HistoryError(
            f"'{path}' is {'no export of the history' if target.exists() else 'not there'}",
            hint=f"kdgat history export --sqlite {path}",
        )
    meaning = metadata_path(target)
    return Browsing(str(target), str(meaning) if meaning.is_file() else "", HOST, port)


def browse_history(plan: Browsing, *, tell: Callable[[str], object]) -> None:
    """Serve the pages on this machine alone, until SIGINT or SIGTERM.

    Args:
        plan: from `plan_browsing`; port 0 takes one that is free.
        tell: called with the address as soon as somebody can connect to it.

    Raises:
        WorkspaceError: the port is not to be had.
    """
    import uvicorn

    listening = _listen(plan.port)
    address = f"http://{HOST}:{listening.getsockname()[1]}/"
    config = uvicorn.Config(
        _application(plan), access_log=False, log_level="warning", server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S, ws="none",
    )  # fmt: skip
    # uvicorn stops on the signal and then raises it once more, which would end the process as if
    # it had not been handled.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        # Who connects from here on waits until the server has begun.
        tell(address)
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        listening.close()


def _application(plan: Browsing) -> ASGIApp:
    """Datasette on the file, which it never writes; for callers who name this machine."""
    from datasette.app import Datasette
    from datasette.utils import parse_metadata
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    metadata: Any = None
    if plan.metadata:
        metadata = parse_metadata(Path(plan.metadata).read_text(encoding="utf-8"))
    pages = Datasette(files=[], immutables=[plan.path], metadata=metadata)
    # So that a page elsewhere can't read the runs by a name that it points here (DNS rebinding).
    return TrustedHostMiddleware(pages.app(), allowed_hosts=[HOST, "localhost"])


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkspaceError(
            f"can't listen on {HOST}:{port}: {reason}",
            hint="give another --port; 0 takes one that is free",
        ) from error
