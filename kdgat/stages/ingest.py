"""Ingest: raw captures to validated Parquet, once.

Each capture's Parquet has a sidecar that says which raw file it is of, so that a second ingest
reads only what changed and one cut short goes on where it was.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import polars as pl

from kdgat.configs.dataset import DatasetConfig
from kdgat.data.captures import (
    CaptureRecord,
    DatasetManifest,
    capture_path,
    hash_captures,
    hash_messages,
    mark_repeats,
    record_from_json,
    save_manifest,
)
from kdgat.data.messages import Capture
from kdgat.data.names import attack_type, vehicle
from kdgat.data.raw_folder import RawFile, find_raw_files
from kdgat.data.reading import read_capture
from kdgat.data.tables.mapping import DATASET_FILE, load_mapping, mapping_file
from kdgat.data.tables.source import table_files, table_reader, vehicle_of
from kdgat.data.validation import validate
from kdgat.errors import DataError
from kdgat.ledger.files import atomic_path, storage_error, write_json
from kdgat.progress import Progress, quiet

INGEST_VERSION = 1
"""Goes up when a reader changes what it returns: captures of another version are read again."""

_FLAT_BENIGN = "train_01_attack_free"
_FLAT_ATTACKED = "train_02_with_attacks"


@dataclass(frozen=True)
class _Told:
    """A capture, and what its rows or its mapping tell of it; None where they tell nothing."""

    capture: Capture
    attack: str | None = None
    vehicle: str | None = None
    entities: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Source:
    """The captures of a raw folder, and how one is read."""

    files: list[RawFile]
    ignored: list[str]
    key: str
    """Names what a capture's messages depend on beside its file."""
    read: Callable[[RawFile], _Told]


def ingest(
    dataset: DatasetConfig,
    raw: Path,
    out: Path,
    progress: Progress = quiet,
    force: bool = False,
) -> DatasetManifest:
    """Read, validate and save every capture in `raw` to the dataset folder `out`.

    Args:
        dataset: says the format, and is kept in the manifest.
        raw: a folder with `train_*` and `test_*` folders, a folder of files, or one file.
        out: where Parquet files and, last of all, `captures.json` go.
        progress: told before each capture and at the end.
        force: read captures again whose raw file has not changed.

    Raises:
        DataError: no capture in `raw`, or one that can't be read; those before it are kept.
        StorageError: the file system refused to write; nothing is left half-written.
    """
    source = _table(raw, out, progress) if dataset.format == "table" else _bus(raw, dataset.format)
    files, records = source.files, []
    for done, file in enumerate(files):
        progress(f"ingest {file.source}", done, len(files))
        known = None if force else _known(file, source.key, out)
        records.append(known or _ingest_file(file, source, out))
    captures = mark_repeats(records)
    manifest = DatasetManifest(
        dataset=dataset.model_dump(mode="json"),
        captures=captures,
        content_hash=hash_captures(captures),
        ignored=tuple(source.ignored),
    )
    save_manifest(out, manifest)
    progress(f"ingested {dataset.name}", len(files), len(files))
    return manifest


def _bus(raw: Path, format: str) -> _Source:
    """Captures of a bus, in a format that is known by name."""
    files, ignored = find_raw_files(raw, format)
    return _Source(files, ignored, format, lambda file: _Told(read_capture(file.path, format)))


def _table(raw: Path, out: Path, progress: Progress) -> _Source:
    """Captures of another domain, as the folder's own `dataset.toml` says."""
    path = mapping_file(raw)
    if path is None:
        raise DataError(
            f"'{raw}' has no {DATASET_FILE}, which says what the columns of a table are",
            hint="write one: the guide's page on other domains shows it whole",
        )
    table = load_mapping(path)
    files, ignored = table_files(raw, table)
    reader = table_reader(raw, table, files, out, progress)

    def read(file: RawFile) -> _Told:
        found = reader.read(file)
        return _Told(found.capture, found.attack, vehicle_of(file, table), found.entities)

    return _Source(files, ignored, reader.key, read)


def _ingest_file(file: RawFile, source: _Source, out: Path) -> CaptureRecord:
    status = _stat(file.path)
    told = source.read(file)
    capture = told.capture
    validate(capture.messages, str(file.path))
    record = _describe(file, status, told)
    path = capture_path(out, record)
    if path.exists():
        _retract(out, path)
    with atomic_path(path) as aside, aside.open("wb") as handle:
        _write(capture.messages, handle)
    sidecar = {"version": INGEST_VERSION, "format": source.key, "record": asdict(record)}
    if told.entities:
        sidecar["entities"] = dict(told.entities)
    write_json(path.with_suffix(".json"), sidecar)
    return record


def _write(messages: pl.DataFrame, handle: IO[bytes]) -> None:
    try:
        messages.write_parquet(handle, compression="zstd", statistics=True)
    except pl.exceptions.PolarsError as error:
        # polars wraps what the file system said in an error of its own.
        refused = re.search(r"\(os error (\d+)\)", str(error))
        if refused is None:
            raise
        number = int(refused[1])
        raise OSError(number, os.strerror(number)) from error


def _describe(file: RawFile, status: os.stat_result, told: _Told) -> CaptureRecord:
    capture, messages = told.capture, told.capture.messages
    attack_rows = int(messages["attack"].sum())
    folder = file.folder or (_FLAT_ATTACKED if attack_rows else _FLAT_BENIGN)
    seconds = messages["timestamp"].to_numpy()
    return CaptureRecord(
        name=file.name,
        folder=folder,
        role=file.role,
        attack_type=told.attack or attack_type(file.name, folder),
        vehicle=told.vehicle or vehicle(file.name),
        rows=len(messages),
        attack_rows=attack_rows,
        ids=messages["arbitration_id"].n_unique(),
        duration_s=float(seconds.max() - seconds.min()),
        content_hash=hash_messages(messages),
        source=file.source,
        source_bytes=status.st_size,
        source_mtime_ns=status.st_mtime_ns,
        oddities=capture.oddities,
    )


def _known(file: RawFile, format: str, out: Path) -> CaptureRecord | None:
    """The record of an earlier ingest of the very same raw file, if its Parquet is there."""
    status = _stat(file.path)
    for folder in [file.folder] if file.folder else [_FLAT_BENIGN, _FLAT_ATTACKED]:
        sidecar = out / "captures" / folder / f"{file.name}.json"
        record = _read_sidecar(sidecar, format)
        if record is None or not capture_path(out, record).is_file():
            continue
        same = (record.source, record.source_bytes, record.source_mtime_ns)
        if same == (file.source, status.st_size, status.st_mtime_ns):
            return record
    return None


def _read_sidecar(path: Path, format: str) -> CaptureRecord | None:
    """The record in a sidecar; None when it is absent, damaged or of another version or format."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if (value["version"], value["format"]) != (INGEST_VERSION, format):
            return None
        return record_from_json(value["record"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _retract(out: Path, path: Path) -> None:
    """Withdraw what says that the capture at `path` is there, before it is replaced.

    Otherwise a kill in between would leave a manifest that describes other messages.
    """
    for stale in (out / "captures.json", path.with_suffix(".json")):
        try:
            stale.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(stale, error) from error


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise DataError(
            f"can't read '{path}': {error.strerror or error}", hint="check that it is still there"
        ) from error
