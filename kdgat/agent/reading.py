"""Files that a person edits, read with errors that name them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from kdgat.errors import StorageError, WorkspaceError


def read_text(path: Path, shown: str) -> str:
    """The content of a file, line ends as they are.

    Raises:
        WorkspaceError: it is no UTF-8.
        StorageError: it can't be read.
    """
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise WorkspaceError(f"{shown}:{line}: not UTF-8", hint="save it as UTF-8") from error
    except OSError as error:
        raise StorageError(
            f"can't read '{shown}': {error.strerror or error}",
            hint="mend its permissions, or what stands in its place",
        ) from error


def text_or_none(path: Path, shown: str) -> str | None:
    """The same; None where there is no such file.

    Raises:
        WorkspaceError: it is no UTF-8.
        StorageError: it can't be read.
    """
    return read_text(path, shown) if path.exists() or path.is_symlink() else None


def read_toml(path: Path, shown: str) -> dict[str, Any]:
    """The tables of a TOML file; an absent one has none.

    Raises:
        WorkspaceError: it is no TOML.
        StorageError: it can't be read.
    """
    try:
        return tomllib.loads(text_or_none(path, shown) or "")
    except tomllib.TOMLDecodeError as error:
        raise WorkspaceError(f"'{shown}' is no TOML: {error}", hint="mend that line") from error


def parse_object(text: str, shown: str) -> dict[str, Any]:
    """The JSON object in a text; a blank one is empty.

    Raises:
        WorkspaceError: it is something else: file, line and next step.
    """
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"{shown}:{error.lineno}: not JSON: {error.msg}"
        raise WorkspaceError(problem, hint="mend that line; comments are no JSON") from error
    except RecursionError as error:
        problem = f"{shown}: nested too deeply to be read"
        raise WorkspaceError(problem, hint="restore the file") from error
    if not isinstance(value, dict):
        raise WorkspaceError(f"{shown}:1: no JSON object", hint="it starts with a curly bracket")
    return value
