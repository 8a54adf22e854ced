"""Ingested captures on disk: one Parquet file each, and the manifest that says which there are.

    <dataset folder>/captures.json                       the manifest, written last
    <dataset folder>/captures/<folder>/<name>.parquet    one capture's messages

A capture that is not in the manifest does not exist, so that an ingest cut short is never read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from kdgat.data.oddities import Oddity
from kdgat.errors import DataError
from kdgat.ledger.files import write_json

if TYPE_CHECKING:
    import polars as pl
    from pydantic import TypeAdapter

MANIFEST_VERSION = 1
"""Goes up when the files change meaning; a manifest of another version is ingested again."""

Role = Literal["train", "test"]
_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class CaptureRecord:
    """What is known of one ingested capture without opening it."""

    name: str
    """Name of the raw file without its extensions, in its own case."""
    folder: str
    """The capture folder, such as `test_01_known_vehicle_known_attack`."""
    role: Role
    """Whether the folder is for training or is an official test."""
    attack_type: str
    """From the file's name, in lower case with underscores; `attack_free` when it is benign."""
    vehicle: str
    """From the file's name, in lower case; empty when the name does not tell."""
    rows: int
    """Messages."""
    attack_rows: int
    """Messages labelled as injected."""
    ids: int
    """Distinct arbitration ids."""
    duration_s: float
    """From the earliest message to the latest, in seconds."""
    content_hash: str
    """`hash_messages` of the capture: the same for any copy of it."""
    source: str
    """The raw file, relative to the raw folder."""
    source_bytes: int
    """Size of the raw file."""
    source_mtime_ns: int
    """Modification time of the raw file, in nanoseconds."""
    duplicate_of: str | None = None
    """Key of the capture that this one repeats message by message, if any."""
    oddities: tuple[Oddity, ...] = ()
    """What was strange in the raw file, counted."""

    @property
    def key(self) -> str:
        """`folder/name`, unique in its dataset."""
        return f"{self.folder}/{self.name}"


@dataclass(frozen=True)
class DatasetManifest:
    """The captures of one dataset, sorted by key."""

    dataset: dict[str, str]
    """Fields of the DatasetConfig it was ingested as."""
    captures: tuple[CaptureRecord, ...]
    """Every capture, repeats included."""
    content_hash: str
    """`hash_captures` of the captures: the identity of the data."""
    ignored: tuple[str, ...] = ()
    """Paths in the raw folder that were not read, each with the reason."""
    version: int = MANIFEST_VERSION
    """Version of the layout on disk."""

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset["name"]

    @property
    def provenance(self) -> str:
        """`real`, `simulated` or `imported`."""
        return self.dataset["provenance"]

    def of_role(self, role: Role) -> tuple[CaptureRecord, ...]:
        """The captures of `role` that repeat no other one."""
        return tuple(c for c in self.captures if c.role == role and c.duplicate_of is None)


def capture_path(folder: Path, record: CaptureRecord) -> Path:
    """The Parquet file of a capture in the dataset folder `folder`."""
    return folder / "captures" / record.folder / f"{record.name}.parquet"


def hash_messages(messages: pl.DataFrame) -> str:
    """SHA-256 of a capture's messages, as 64 hex digits.

    Times count from the first message and in whole microseconds, so that a copy that was packed
    again, moved or put on another clock has the same hash.
    """
    seconds = messages["timestamp"].to_numpy()
    since_start = seconds - seconds[0] if len(seconds) else seconds
    digest = hashlib.sha256(len(messages).to_bytes(8, "little"))
    digest.update(np.rint(since_start * 1e6).astype("<i8").data)
    digest.update(messages["arbitration_id"].to_numpy().astype("<u4").data)
    digest.update(messages["dlc"].to_numpy().astype("u1").data)
    digest.update(messages["payload"].to_numpy().astype("<u8").data)
    digest.update(messages["attack"].to_numpy().astype("u1").data)
    return digest.hexdigest()


def hash_captures(captures: tuple[CaptureRecord, ...]) -> str:
    """SHA-256 over the captures' keys and content hashes in sorted order, as 64 hex digits.

    The key counts, because a capture that moves from training to test makes another dataset.
    """
    lines = sorted(f"{capture.key} {capture.content_hash}" for capture in captures)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def mark_repeats(captures: list[CaptureRecord]) -> tuple[CaptureRecord, ...]:
    """The captures sorted by key, each repeat pointing to the one it repeats.

    A test capture is the original of its training copies, so that no test message is trained on.
    Copies in two test folders both stay: each scenario is judged as it was published.
    """
    originals: dict[tuple[str, str], str] = {}
    tested = {c.content_hash: c.key for c in captures if c.role == "test"}
    marked = []
    for capture in sorted(captures, key=lambda c: c.key):
        test = capture.role == "test"
        place = (capture.folder if test else "train", capture.content_hash)
        first = capture.key if test else tested.get(capture.content_hash, capture.key)
        original = originals.setdefault(place, first)
        repeated = original if original != capture.key else None
        marked.append(replace(capture, duplicate_of=repeated))
    return tuple(sorted(marked, key=lambda c: c.key))


def save_manifest(folder: Path, manifest: DatasetManifest) -> None:
    """Write the manifest of the dataset folder `folder`, whole or not at all.

    Raises:
        StorageError: the file system refused.
    """
    write_json(folder / "captures.json", asdict(manifest))


def load_manifest(folder: Path) -> DatasetManifest:
    """The manifest of the dataset folder `folder`.

    Raises:
        DataError: the dataset was never ingested, or its manifest can't be read.
    """
    path = folder / "captures.json"
    hint = f"run `kdgat data ingest {folder.name} --raw DIR`"
    if folder.name == "simulated":
        hint = "run `kdgat data simulate`, then `kdgat data ingest simulated`"
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"dataset '{folder.name}' is not ingested: it has no '{path}'", hint=hint
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read '{path}': {error}", hint=hint) from error
    return _parse(path, text, hint)


def load_messages(folder: Path, record: CaptureRecord, *, labels: bool = True) -> pl.DataFrame:
    """The messages of one capture of the dataset folder `folder`, as MESSAGE_SCHEMA.

    Without `labels` the column that says which are attacks is not read.

    Raises:
        RuntimeError: labels are asked for while they are under seal.
        DataError: the Parquet file is missing, damaged or has other columns or rows.
    """
    # Imported here: a manifest alone is read by commands that must be quick.
    import polars as pl

    from kdgat.data.messages import LABEL, MESSAGE_SCHEMA
    from kdgat.data.sealing import need_unsealed

    path = capture_path(folder, record)
    schema = MESSAGE_SCHEMA if labels else {k: v for k, v in MESSAGE_SCHEMA.items() if k != LABEL}
    if labels:
        need_unsealed(f"the labels of '{path}'")
    hint = f"run `kdgat data ingest {folder.name} --raw DIR --force`"
    try:
        messages = pl.read_parquet(path, glob=False, columns=None if labels else list(schema))
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"can't read capture '{path}': {reason}", hint=hint) from error
    if dict(messages.schema) != schema or len(messages) != record.rows:
        raise DataError(
            f"capture '{path}' has {len(messages)} rows of {', '.join(messages.columns)}, and the "
            f"manifest says {record.rows} rows of {', '.join(schema)}",
            hint=hint,
        )
    return messages


def record_from_json(value: object) -> CaptureRecord:
    """A record that was saved as JSON.

    Raises:
        ValueError: a field is missing or of another type.
    """
    return _type_of(CaptureRecord).validate_python(value)


def _parse(path: Path, text: str, hint: str) -> DatasetManifest:
    from pydantic import ValidationError

    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(f"'{path}' is not valid JSON: {error}", hint=hint) from error
    version = value.get("version") if isinstance(value, dict) else None
    if version != MANIFEST_VERSION:
        raise DataError(
            f"'{path}' has version {version!r}, and this kdgat reads {MANIFEST_VERSION}", hint=hint
        )
    try:
        return _type_of(DatasetManifest).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"'{path}', field '{field}': {first['msg']}", hint=hint) from error


@cache
def _type_of(kind: type[_Kind]) -> TypeAdapter[_Kind]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
