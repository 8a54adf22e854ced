"""Which files of a raw folder are captures, and which capture folder each belongs to.

    RAW/train_*/FILE, RAW/test_*/FILE    the layout of can-train-and-test: the role is the folder's
    RAW/FILE, or FILE itself             everything is for training

Nothing is passed over in silence: what is no capture is named, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdgat.data.captures import Role
from kdgat.data.formats import FORMATS, SUFFIXES
from kdgat.data.names import capture_name
from kdgat.errors import DataError, did_you_mean

_ROLES: dict[str, Role] = {"train_": "train", "test_": "test"}
_DOCUMENTS = ("readme", "license", "licence", "citation", "changelog")


@dataclass(frozen=True)
class RawFile:
    """One raw capture: where it is, and what its place says."""

    path: Path
    """Where to read it."""
    source: str
    """Its path relative to the raw folder."""
    folder: str | None
    """Its capture folder, or None when only its messages can tell."""
    role: Role
    """For training, or an official test."""

    @property
    def name(self) -> str:
        """The capture's name."""
        return capture_name(self.path)


def find_raw_files(raw: Path, format: str) -> tuple[list[RawFile], list[str]]:
    """The captures in `raw`, sorted by path, and what was left out, each with the reason.

    Raises:
        DataError: no such format, `raw` does not exist or can't be read, or holds no capture.
    """
    if format not in FORMATS:
        raise DataError(f"no reader for '{format}'", hint=did_you_mean(format, list(FORMATS)))
    if raw.is_file():
        return [RawFile(raw, raw.name, None, "train")], []
    entries = _entries(raw)
    folders = [e for e in entries if e.is_dir() and _role(e.name) is not None]
    ignored: list[str] = []
    files: dict[tuple[str | None, str], RawFile] = {}
    for path in [p for folder in folders for p in _entries(folder)] if folders else entries:
        folder = path.parent.name if folders else None
        role = _role(path.parent.name) if folders else None
        file = RawFile(path, path.relative_to(raw).as_posix(), folder, role or "train")
        first = files.setdefault((folder, file.name), file) if _is_capture(path, format) else None
        if first is not file:
            why = f"same name as {first.source}" if first else _why_not(path, format)
            ignored.append(f"{file.source} ({why})")
    if folders:
        others = [e for e in entries if e not in folders]
        ignored += [f"{e.name} (not a train_* or test_* folder)" for e in others]
    if not files:
        raise _nothing(raw, format, entries)
    return list(files.values()), ignored


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError as error:
        raise DataError(
            f"there is no folder '{folder}'", hint="give the folder of the raw files with --raw"
        ) from error
    except OSError as error:
        raise DataError(
            f"can't list '{folder}': {error.strerror or error}", hint="check its permissions"
        ) from error


def _role(folder: str) -> Role | None:
    return next((role for start, role in _ROLES.items() if folder.startswith(start)), None)


def _why_not(path: Path, format: str) -> str | None:
    """Why `path` is no capture, or None when it is one."""
    name = path.name.lower()
    if path.is_dir():
        return "a folder in a folder of captures"
    if name.startswith("."):
        return "hidden"
    if name.startswith(_DOCUMENTS):
        return "a document"
    if not name.removesuffix(".gz").endswith(SUFFIXES[format]):
        return f"not one of {_patterns(format)}"
    return None


def _is_capture(path: Path, format: str) -> bool:
    return _why_not(path, format) is None


def _patterns(format: str) -> str:
    return ", ".join(f"*{suffix}[.gz]" for suffix in SUFFIXES[format])


def _nothing(raw: Path, format: str, entries: list[Path]) -> DataError:
    looked_for = f"train_* and test_* folders, or files {_patterns(format)}"
    inner = [e for e in entries if e.is_dir() and any(_role(p.name) for p in _entries(e))]
    hint = f"did you mean '{inner[0]}'?" if inner else "check --raw, and the dataset's format"
    return DataError(f"no {format} capture in '{raw}': looked for {looked_for}", hint=hint)
