"""Several files to make and to edit, written all together or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from kdgat.errors import KdgatError, StorageError, WorkspaceError
from kdgat.ledger.files import write_text
from kdgat.workspace import Workspace

TEMPLATES = Path(__file__).parent / "templates"
_CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7}) ", re.MULTILINE)

Edit = Callable[[str, str], str]
"""Gives a file's new text of its old one; the second argument is the file as a person reads it."""


@dataclass(frozen=True)
class Change:
    """One file, before and after."""

    path: Path
    shown: str
    before: str | None
    """None where there is no such file yet."""
    after: str

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        old = (self.before or "").splitlines(True)
        source = "/dev/null" if self.before is None else f"a/{self.shown}"
        return "".join(unified_diff(old, self.after.splitlines(True), source, f"b/{self.shown}"))


class Draft:
    """Changes to a checkout that are not made yet."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._changes: dict[Path, Change] = {}

    @property
    def changes(self) -> tuple[Change, ...]:
        """New files and edited ones, in the order in which they were named."""
        return tuple(self._changes.values())

    def has(self, relative: str) -> bool:
        """Whether the checkout has a file or a folder of that name."""
        return (self._ws.root / relative).exists()

    def read(self, relative: str) -> str:
        """A file's text, with the draft's edits of it.

        Raises:
            WorkspaceError: it is missing, is no text, or has the marks of a merge's conflict.
        """
        path = self._ws.root / relative
        if path in self._changes:
            return self._changes[path].after
        try:
            text = path.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise WorkspaceError(
                f"'{relative}' can't be read, and a row has to go into it: {error}",
                hint="`kdgat new` makes code in a checkout of kdgat itself: change into one",
            ) from error
        if match := _CONFLICT.search(text):
            line = text.count("\n", 0, match.start()) + 1
            raise WorkspaceError(
                f"'{relative}', line {line} has the mark of a conflict",
                hint="finish the merge first, then call this again",
            )
        return text

    def add(self, relative: str, text: str) -> None:
        """A new file.

        Raises:
            WorkspaceError: there is one already.
        """
        path = self._ws.root / relative
        # A link that leads nowhere is something too.
        if path.exists() or path.is_symlink():
            raise WorkspaceError(
                f"'{relative}' is there already", hint="choose another name, or edit that file"
            )
        self._changes[path] = Change(path, relative, None, text)

    def edit(self, relative: str, edit: Edit) -> None:
        """A file's text changed; several edits of one file follow each other.

        Raises:
            WorkspaceError: the file can't be read, or the edit finds no place in it.
        """
        path, text = self._ws.root / relative, self.read(relative)
        known = self._changes.get(path)
        before = text if known is None else known.before
        self._changes[path] = Change(path, relative, before, edit(text, relative))

    def write(self) -> None:
        """Make every change, or none: what was made before a failure is taken back.

        Raises:
            StorageError: the file system refused one of them.
            WorkspaceError: a file was changed meanwhile.
        """
        done: list[Change] = []
        folders: list[Path] = []
        try:
            for change in self.changes:
                _check_unchanged(change)
                parents = change.path.parents
                folders += [each for each in parents if not each.exists() and each not in folders]
                done.append(change)
                write_text(change.path, change.after)
        except BaseException as error:
            _take_back(done, folders)
            if isinstance(error, StorageError):
                raise StorageError(
                    f"{error.problem}; nothing was changed",
                    hint="see that you may write there, then call this again",
                ) from error
            raise


def template(file: str, /, **words: str) -> str:
    """A template's text with each `@word@` replaced."""
    text = (TEMPLATES / f"{file}.in").read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _check_unchanged(change: Change) -> None:
    path = change.path
    now = path.read_bytes().decode(errors="replace") if path.is_file() else None
    if now != change.before:
        raise WorkspaceError(
            f"'{change.shown}' was changed by somebody else in this moment",
            hint="call this again",
        )


def _take_back(done: list[Change], folders: list[Path]) -> None:
    # The first error is the one to tell, so others are passed over.
    for change in reversed(done):
        with suppress(OSError, KdgatError):
            if change.before is None:
                change.path.unlink(missing_ok=True)
            elif change.path.read_bytes() != change.before.encode():
                write_text(change.path, change.before)
    for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
        with suppress(OSError):
            folder.rmdir()
