"""The captures of a folder with a `dataset.toml`: which files, and how each is read.

Ranges take a look at every training file before the first capture is written. They are kept beside
the captures, with what they were made from, so that a second ingest reads only what changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from kdgat.configs.table import TableConfig
from kdgat.data.captures import Role
from kdgat.data.raw_folder import RawFile, find_captures
from kdgat.data.tables.encoding import Ranges, widest, with_margin
from kdgat.data.tables.mapping import DATASET_FILE
from kdgat.data.tables.reading import (
    TableCapture,
    benign_ranges,
    encode,
    need_ranges,
    read_rows,
)
from kdgat.errors import DataError
from kdgat.ledger.files import write_json
from kdgat.progress import Progress, quiet

_KEPT = "ranges.json"
_VERSION = 1
"""Goes up when the same table gives other messages."""


def table_files(raw: Path, table: TableConfig) -> tuple[list[RawFile], list[str]]:
    """The captures of `raw` and what was left out, each with the reason.

    Raises:
        DataError: there is no capture, or a file is claimed by two folders.
    """
    if not table.folders:
        files, ignored = find_captures(raw, "table", table.files.suffixes)
        return files, [each for each in ignored if not each.startswith(DATASET_FILE)]
    found: dict[Path, RawFile] = {}
    for folder, patterns in table.folders.items():
        for path in sorted({path for each in patterns for path in raw.glob(each)}):
            if not path.is_file() or not _fits(path, table):
                continue
            if path in found:
                raise DataError(
                    f"'{path}' is in '{found[path].folder}' and in '{folder}'",
                    hint=f"make the patterns of [folders] in {DATASET_FILE} exclusive",
                )
            found[path] = RawFile(path, path.relative_to(raw).as_posix(), folder, _role(folder))
    if not found:
        raise DataError(
            f"no file in '{raw}' fits a pattern of [folders]",
            hint=f"the patterns in {DATASET_FILE} are relative to its folder: normal/*.csv",
        )
    files, ignored = _once(list(found.values()))
    others = (path for path in sorted(raw.rglob("*")) if path.is_file() and path not in found)
    ignored += [
        f"{path.relative_to(raw).as_posix()} (in no folder of {DATASET_FILE})"
        for path in others
        if path.name != DATASET_FILE and not path.name.startswith(".")
    ]
    return files, ignored


def vehicle_of(file: RawFile, table: TableConfig) -> str | None:
    """The vehicle that `[vehicles]` gives a file; None where it says nothing."""
    place = Path(file.source)
    for name, patterns in table.vehicles.items():
        if any(place.match(each) for each in patterns):
            return name
    return None


class TableReader:
    """Reads the captures of one folder, all by the same ranges."""

    def __init__(self, table: TableConfig, ranges: Ranges) -> None:
        self.table = table
        self.ranges = ranges
        parts = (_VERSION, table.model_dump(mode="json"), sorted(ranges.items()))
        self.key = f"table:{_digest(parts)}"
        """Names what a capture's messages depend on beside its file."""

    def read(self, file: RawFile) -> TableCapture:
        """One capture.

        Raises:
            DataError: it can't be read as the mapping says.
        """
        return encode(read_rows(file.path, self.table), self.table, self.ranges)


def table_reader(
    raw: Path, table: TableConfig, files: Sequence[RawFile], out: Path, progress: Progress = quiet
) -> TableReader:
    """The reader of a folder's captures, by ranges of its benign training rows.

    Raises:
        DataError: a training file can't be read, or a column's range is not known.
        StorageError: the ranges can't be kept.
    """
    training = [file for file in files if file.role == "train"]
    wanted = [name for name in table.columns.numbers if name not in table.encoding.ranges]
    learnt: Ranges = {}
    if wanted:
        signs = [(each.source, *_sign(each.path)) for each in training]
        made_from = _digest((_VERSION, table.model_dump(mode="json"), signs))
        kept = _kept(out / _KEPT, made_from)
        learnt = _learn(training, table, wanted, progress) if kept is None else kept
        write_json(out / _KEPT, {"made_from": made_from, "ranges": dict(learnt)})
    ranges = with_margin(learnt, table.encoding)
    need_ranges(ranges, table, raw)
    return TableReader(table, ranges)


def _learn(
    training: Sequence[RawFile], table: TableConfig, wanted: Sequence[str], progress: Progress
) -> Ranges:
    parts = []
    for number, file in enumerate(training):
        progress(f"ranges of {file.source}", number, len(training))
        parts.append(benign_ranges(read_rows(file.path, table), table))
    return widest(parts, wanted)


def _kept(path: Path, made_from: str) -> Ranges | None:
    """Ranges of an earlier ingest of the same mapping and training files."""
    try:
        value = json.loads(path.read_bytes())
        if value["made_from"] != made_from:
            return None
        return {name: (float(low), float(high)) for name, (low, high) in value["ranges"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _once(files: Sequence[RawFile]) -> tuple[list[RawFile], list[str]]:
    """Files by folder and name, and those whose name is taken."""
    kept: dict[tuple[str | None, str], RawFile] = {}
    ignored = []
    for file in files:
        first = kept.setdefault((file.folder, file.name), file)
        if first is not file:
            ignored.append(f"{file.source} (same name as {first.source})")
    return list(kept.values()), ignored


def _fits(path: Path, table: TableConfig) -> bool:
    return path.name.removesuffix(".gz").endswith(table.files.suffixes)


def _role(folder: str) -> Role:
    return "train" if folder.startswith("train_") else "test"


def _sign(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f"can't read '{path}': {error.strerror or error}", hint="check that it is still there"
        ) from error
    return status.st_size, status.st_mtime_ns


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
