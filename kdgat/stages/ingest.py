"""Ingest: raw captures to validated Parquet, once.

Each capture's Parquet has a sidecar that says which raw file it is of, so that a second ingest
reads only what changed and one cut short goes on where it was.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
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
from kdgat.data.validation import validate
from kdgat.errors import DataError
from kdgat.ledger.files import atomic_path, storage_error, write_json
from kdgat.progress import Progress, quiet

INGEST_VERSION = 1
"""Goes up when a reader changes what it returns: captures of another version are read again."""

_FLAT_BENIGN = "train_01_attack_free"
_FLAT_ATTACKED = "train_02_with_attacks"


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
    files, ignored = find_raw_files(raw, dataset.format)
    records = []
    for done, file in enumerate(files):
        progress(f"ingest {file.source}", done, len(files))
        known = None if force else _known(file, dataset.format, out)
        records.append(known or _ingest_file(file, dataset.format, out))
    captures = mark_repeats(records)
    manifest = DatasetManifest(
        dataset=dataset.model_dump(mode="json"),
        captures=captures,
        content_hash=hash_captures(captures),
        ignored=tuple(ignored),
    )
    save_manifest(out, manifest)
    progress(f"ingested {dataset.name}", len(files), len(files))
    return manifest


def _ingest_file(file: RawFile, format: str, out: Path) -> CaptureRecord:
    status = _stat(file.path)
    capture = read_capture(file.path, format)
    validate(capture.messages, str(file.path))
    record = _describe(file, status, capture)
    path = capture_path(out, record)
    if path.exists():
        _retract(out, path)
    with atomic_path(path) as aside, aside.open("wb") as handle:
        _write(capture.messages, handle)
    sidecar = {"version": INGEST_VERSION, "format": format, "record": asdict(record)}
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


def _describe(file: RawFile, status: os.stat_result, capture: Capture) -> CaptureRecord:
    messages = capture.messages
    attack_rows = int(messages["attack"].sum())
    folder = file.folder or (_FLAT_ATTACKED if attack_rows else _FLAT_BENIGN)
    seconds = messages["timestamp"].to_numpy()
    return CaptureRecord(
        name=file.name,
        folder=folder,
        role=file.role,
        attack_type=attack_type(file.name, folder),
        vehicle=vehicle(file.name),
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
