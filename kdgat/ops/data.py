"""Operations on data: ingest, prepare, list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from pydantic import ValidationError

from kdgat.configs.dataset import DATASETS, DatasetConfig, Format
from kdgat.data.captures import DatasetManifest, load_manifest
from kdgat.data.splits import CaptureSplit
from kdgat.errors import ConfigError, DataError
from kdgat.ops.config import compose_config, ingested_datasets
from kdgat.ops.simulation import SIMULATED, is_whole, simulated_raw, simulation_mark
from kdgat.progress import Progress, quiet
from kdgat.stages.ingest import ingest as ingest_stage
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class OddityCount:
    """Something strange in the raw files: kept and counted."""

    kind: str
    count: int
    where: str
    """First capture and line it stands in."""
    example: str


@dataclass(frozen=True)
class DatasetSummary:
    """One ingested dataset."""

    name: str
    provenance: str
    format: str
    citation: str
    captures: int
    repeats: int
    """Captures that repeat another one; they are kept and not used twice."""
    rows: int
    attack_rows: int
    content_hash: str
    oddities: tuple[OddityCount, ...]
    ignored: tuple[str, ...]
    """Files of the raw folder that were not read, with the reason."""


@dataclass(frozen=True)
class PreparedSummary:
    """The graphs of a dataset for one data config."""

    dataset: str
    key: str
    folder: str
    made: bool
    """Whether this call made them; otherwise they were there."""
    train_graphs: int
    validation_graphs: int
    captures: tuple[CaptureSplit, ...]


@dataclass(frozen=True)
class DatasetRow:
    """A dataset that can be named in a config, and whether it is here."""

    name: str
    provenance: str
    ingested: bool
    captures: int
    rows: int
    attack_share: float | None
    problem: str | None = None


def ingest_data(
    ws: Workspace,
    dataset: str,
    *,
    raw: Path | None = None,
    format: str | None = None,
    force: bool = False,
    progress: Progress = quiet,
) -> DatasetSummary:
    """Read raw captures into the workspace, validated; what has not changed is not read again.

    Args:
        ws: the workspace.
        dataset: a known name, or a new one for captures of your own.
        raw: folder with `train_*` and `test_*` folders, a folder of files, or one file.
        format: of the raw files, for a new name.
        force: read again even what has not changed.
        progress: told of every capture.

    Raises:
        ConfigError: the name or format is wrong, or simulated captures would pass as real.
        DataError: the folder is missing, or a capture can't be read.
        StorageError: the file system refused.
    """
    config = _dataset_config(ws, dataset, format)
    if raw is None:
        if config.provenance != SIMULATED:
            raise DataError(
                f"the folder of the raw captures of '{dataset}' was not given",
                hint=f"kdgat data ingest {dataset} --raw DIR",
            )
        raw = simulated_raw(ws)
        if not raw.is_dir():
            raise DataError(
                f"there are no simulated captures in '{ws.show(raw)}'",
                hint="kdgat data simulate",
            )
    config = _with_provenance(config, raw)
    manifest = ingest_stage(config, raw, ws.dataset(dataset), progress, force)
    return summarise(manifest)


def prepare_data(
    ws: Workspace,
    *,
    overrides: Sequence[str] = (),
    force: bool = False,
    progress: Progress = quiet,
) -> PreparedSummary:
    """Make the graphs that a config's training needs, once.

    Raises:
        ConfigError: an override is wrong.
        DataError: the dataset is not ingested, or has no benign training window.
    """
    config = compose_config(ws, overrides)
    # torch takes seconds to import, and of all that is done with data only this needs it.
    from kdgat.stages.prepare import prepare as prepare_stage

    made = prepare_stage(ws.dataset(config.dataset.name), config.data, progress, force=force)
    return PreparedSummary(
        dataset=made.dataset,
        key=made.key,
        folder=ws.show(made.folder),
        made=made.made,
        train_graphs=made.train_graphs,
        validation_graphs=made.validation_graphs,
        captures=made.captures,
    )


def list_datasets(ws: Workspace) -> tuple[DatasetRow, ...]:
    """Every dataset a config can name, and what of it is ingested here."""
    here = {path.parent.name for path in ws.data.glob("*/captures.json")}
    known = {**DATASETS, **ingested_datasets(ws)}
    return tuple(_row(ws, name, known.get(name)) for name in sorted({*known, *here}))


def check_name(name: str) -> None:
    """Refuse what is no name, such as `../elsewhere`: it would become a path.

    Raises:
        ConfigError: no dataset can have that name.
    """
    try:
        DatasetConfig(name=name)
    except ValidationError as error:
        raise ConfigError(
            f"'{name}' can't be a dataset's name",
            hint="begin with a letter; letters, digits, _ and - may follow, 64 at most",
        ) from error


def summarise(manifest: DatasetManifest) -> DatasetSummary:
    """A manifest in a few figures."""
    used = [capture for capture in manifest.captures if capture.duplicate_of is None]
    counts: Counter[str] = Counter()
    first: dict[str, tuple[str, str]] = {}
    for capture in manifest.captures:
        for oddity in capture.oddities:
            counts[oddity.kind] += oddity.count
            line = "" if oddity.first_line is None else f":{oddity.first_line}"
            first.setdefault(oddity.kind, (f"{capture.source}{line}", oddity.example))
    return DatasetSummary(
        name=manifest.name,
        provenance=manifest.provenance,
        format=manifest.dataset["format"],
        citation=manifest.dataset["citation"],
        captures=len(manifest.captures),
        repeats=len(manifest.captures) - len(used),
        rows=sum(capture.rows for capture in used),
        attack_rows=sum(capture.attack_rows for capture in used),
        content_hash=manifest.content_hash,
        oddities=tuple(OddityCount(kind, n, *first[kind]) for kind, n in counts.items()),
        ignored=manifest.ignored,
    )


def _row(ws: Workspace, name: str, config: DatasetConfig | None) -> DatasetRow:
    provenance = config.provenance if config else "unknown"
    try:
        summary = summarise(load_manifest(ws.dataset(name)))
    except DataError as error:
        problem = error.problem if (ws.dataset(name) / "captures.json").is_file() else None
        return DatasetRow(name, provenance, False, 0, 0, None, problem)
    share = summary.attack_rows / summary.rows if summary.rows else None
    return DatasetRow(name, provenance, True, summary.captures, summary.rows, share)


def _dataset_config(ws: Workspace, name: str, format: str | None) -> DatasetConfig:
    known = {**ingested_datasets(ws), **DATASETS}.get(name)
    if format is not None and format not in get_args(Format):
        raise ConfigError(
            f"unknown format '{format}'", hint=f"choose one of: {', '.join(get_args(Format))}"
        )
    if known is not None:
        same = format is None or known.format == format
        return known if same else known.model_copy(update={"format": format})
    check_name(name)
    return DatasetConfig(name=name, format=cast(Format, format or "can_train_and_test"))


def _with_provenance(config: DatasetConfig, raw: Path) -> DatasetConfig:
    """Captures that kdgat made stay simulated, whatever they are called; others never become so."""
    mark = simulation_mark(raw)
    if mark is None:
        if config.name == SIMULATED:
            raise ConfigError(
                f"'{raw}' holds no simulated captures, and '{SIMULATED}' is for those alone",
                hint="give captures of your own a name of your own: kdgat data ingest NAME --raw "
                f"{raw}",
            )
        own = config.provenance == SIMULATED
        return config.model_copy(update={"provenance": "real"}) if own else config
    if not is_whole(mark):
        raise DataError(
            f"the simulation in '{mark.parent}' was broken off",
            hint="run the same `kdgat data simulate` again",
        )
    if config.name in DATASETS and config.name != SIMULATED:
        raise ConfigError(
            f"'{raw}' holds simulated captures, and '{config.name}' is a real dataset",
            hint=f"ingest them as '{SIMULATED}' or under a name of your own",
        )
    return config.model_copy(update={"provenance": SIMULATED})
