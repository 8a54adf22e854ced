"""What makes two runs the same experiment, and what a run rests on: teacher, scorers, captures.

Training here and giving a run to a scheduler ask the same questions, so that neither does what the
other has done, does, or is about to do.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from kdgat.configs.evaluation import EvaluationConfig
from kdgat.configs.fields import validated
from kdgat.configs.model import FusionConfig
from kdgat.configs.run import RunConfig, identity_of, json_digest
from kdgat.data.captures import load_manifest
from kdgat.errors import ConfigError, DataError, RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, new_run_id, utc_now
from kdgat.ledger.scan import LATEST, readable, run_folders
from kdgat.ledger.states import RESUMABLE, State
from kdgat.runs.registry import BEST, run_named
from kdgat.stages.table import EVALUATION_VERSION, Stage, graphs_key, stage_of
from kdgat.workspace import Workspace

AS_CONFIGURED = EvaluationConfig()
"""How runs are judged where nobody says otherwise."""
UNFINISHED = frozenset({State.PLANNED, State.SUBMITTED, State.RUNNING})
"""States of a run that somebody works on, or is about to."""


def scorers_of(config: RunConfig) -> tuple[str, ...]:
    """What a fusion weighs, as its config names it; nothing for other models."""
    return config.model.scorers if isinstance(config.model, FusionConfig) else ()


def new_record(config: RunConfig, stage: Stage, dataset_hash: str, graphs: str) -> RunRecord:
    """The record of a training that is to be; its config names other runs by their ids."""
    return RunRecord(
        run_id=new_run_id(),
        stage=stage.name,
        stage_version=stage.version,
        dataset=config.dataset.name,
        provenance=config.dataset.provenance,
        model=config.model.kind,
        size=config.size,
        digest=config.digest(),
        dataset_hash=dataset_hash,
        graphs=graphs,
        seed=config.seed,
        created_at=utc_now(),
        teacher=config.distillation.teacher,
        scorers=scorers_of(config),
    )


def evaluation_record(trained: RunRecord, config: EvaluationConfig = AS_CONFIGURED) -> RunRecord:
    """The record of an evaluation that is to be, of a run that may still have to be trained."""
    return RunRecord(
        run_id=new_run_id(),
        stage="evaluation",
        stage_version=EVALUATION_VERSION,
        dataset=trained.dataset,
        provenance=trained.provenance,
        model=trained.model,
        size=trained.size,
        digest=json_digest(["evaluation", trained.run_id, config.model_dump(mode="json")]),
        dataset_hash=trained.dataset_hash,
        graphs=trained.graphs,
        seed=trained.seed,
        created_at=utc_now(),
        teacher=trained.teacher,
        scorers=trained.scorers,
        subject=trained.run_id,
    )


def earlier_run(ws: Workspace, config: RunConfig, stage: Stage, graphs: str) -> RunFolder | None:
    """The newest run of this very experiment that is done, being done, or can go on."""
    identity = (config.digest(), graphs, stage.name, stage.version)
    fitting = [
        (folder, record)
        for folder, record in readable(run_folders(ws.runs / config.dataset.name, depth=2))
        if (record.digest, record.graphs, record.stage, record.stage_version) == identity
    ]
    for folder, record in fitting:
        if record.state is State.COMPLETED and _intact(folder.path / BEST):
            return folder
    return _unfinished(fitting, RESUMABLE)


def earlier_evaluation(
    ws: Workspace, trained: RunRecord, config: EvaluationConfig = AS_CONFIGURED
) -> RunFolder | None:
    """The newest evaluation of a run by this version that is done, being done, or never began."""
    wanted = (evaluation_record(trained, config).digest, EVALUATION_VERSION, "evaluation")
    fitting = [
        (folder, record)
        for folder, record in readable(run_folders(ws.runs / trained.dataset, depth=2))
        if (record.digest, record.stage_version, record.stage) == wanted
    ]
    for folder, record in fitting:
        if record.state is State.COMPLETED:
            return folder
    begun = [(folder, record) for folder, record in fitting if record.attempts]
    unused = [(folder, record) for folder, record in fitting if not record.attempts]
    # What an evaluation that began left behind is no start for another.
    return _unfinished(begun, frozenset()) or _unfinished(unused, RESUMABLE)


def refuse_unfinished(record: RunRecord) -> None:
    """Refuse to train what is being trained, or waits to be.

    Raises:
        RunError: the run is running, or was given to a scheduler.
    """
    where = f"on {record.host} (process {record.pid})"
    if record.state is not State.RUNNING:
        where = f"as job '{record.job}'"
    if record.state in UNFINISHED:
        raise RunError(
            f"run '{record.run_id}' of this very experiment is {record.state.value} {where}",
            hint="wait for it, stop it, or train anew beside it with --fresh",
        )


def own_config(folder: RunFolder, record: RunRecord) -> RunConfig:
    """The config a run was planned with.

    Raises:
        RunError: the file was changed since: what it lacks would silently be a default.
    """
    values = folder.config()
    config = validated(values, f"'{folder.path / 'config.json'}'")
    try:
        same = json_digest(identity_of(values)) == record.digest
    except (KeyError, TypeError, AttributeError):
        same = False
    if not same:
        raise RunError(
            f"'{folder.path / 'config.json'}' is not the config that run '{record.run_id}' was "
            f"trained with (its digest is not {record.digest})",
            hint="restore the file, or train with overrides of your own (`kdgat train`)",
        )
    return config


def check_unchanged(ws: Workspace, folder: RunFolder, trained: RunRecord) -> None:
    """Refuse to judge or repeat a run on other captures than those it was trained on.

    Raises:
        DataError: the dataset is gone, or its captures or the making of graphs changed since.
    """
    manifest = load_manifest(ws.dataset(trained.dataset))
    if manifest.content_hash != trained.dataset_hash:
        raise DataError(
            f"dataset '{trained.dataset}' changed since run '{trained.run_id}' was trained",
            hint="ingest the captures it was trained on, or train again on these",
        )
    config = validated(folder.config(), f"'{folder.path / 'config.json'}'")
    if graphs_key(manifest, config.data) != trained.graphs:
        raise DataError(
            f"run '{trained.run_id}' was trained on graphs that this version makes differently",
            hint="train again: the same overrides make a new run",
        )


def resolve_teacher(
    ws: Workspace, config: RunConfig, graphs: str
) -> tuple[RunConfig, RunFolder | None]:
    """The config with its teacher as a run id, and the folder of the teacher, which is trained.

    Raises:
        ConfigError: models of that kind learn from no teacher.
        RunError: the teacher does not exist, has not completed, is of another dataset or kind, or
            was trained on other graphs than the student's (`graphs`).
    """
    if config.distillation.teacher is None:
        return config, None
    _need_taught(config)
    folder = _named_teacher(ws, config, graphs)
    record = folder.current()
    _check_teacher(record, config, graphs)
    if record.state is not State.COMPLETED:
        raise _unusable(record)
    return with_teacher(config, record.run_id), folder


def resolve_planned_teacher(
    ws: Workspace, config: RunConfig, graphs: str, planned: Mapping[str, RunRecord]
) -> tuple[RunConfig, RunRecord | None]:
    """As `resolve_teacher`, for a student that is to be trained after its teacher.

    Args:
        ws: the workspace.
        config: the student's config.
        graphs: names the student's graphs.
        planned: runs by id that have no folder yet, or that will be taken up again.

    Raises:
        ConfigError: models of that kind learn from no teacher.
        RunError: as `resolve_teacher`; but a teacher that is planned, submitted or running will do.
    """
    wanted = config.distillation.teacher
    if wanted is None:
        return config, None
    _need_taught(config)
    record = planned.get(wanted)
    if record is None:
        record = _named_teacher(ws, config, graphs).current()
    _check_teacher(record, config, graphs)
    if record.run_id not in planned and record.state not in UNFINISHED | {State.COMPLETED}:
        raise _unusable(record)
    return with_teacher(config, record.run_id), record


def with_teacher(config: RunConfig, run_id: str) -> RunConfig:
    """The config with another teacher."""
    distillation = config.distillation.model_copy(update={"teacher": run_id})
    return config.model_copy(update={"distillation": distillation})


def _need_taught(config: RunConfig) -> None:
    if stage_of(config.model).how == "fitted":
        raise ConfigError(
            f"a {config.model.kind} has no teacher, and distillation.teacher = "
            f"'{config.distillation.teacher}'",
            hint="leave distillation.teacher out: it learns from the captures alone",
        )


def _named_teacher(ws: Workspace, config: RunConfig, graphs: str) -> RunFolder:
    wanted, dataset, kind = config.distillation.teacher, config.dataset.name, config.model.kind
    size = config.distillation.teacher_size

    def fits(record: RunRecord) -> bool:
        same = record.dataset == dataset and record.model == kind
        whole = record.size == size and record.subject is None
        return same and whole and record.graphs == graphs

    try:
        return run_named(ws, wanted or "", fits)
    except RunError as error:
        if wanted != LATEST:
            raise
        raise RunError(
            f"no completed {size} {kind} on '{dataset}' as it is now, with the student's data.*, "
            "to be the teacher",
            hint=f"train it first: kdgat train dataset={dataset} model={kind} size={size}",
        ) from error


def _check_teacher(record: RunRecord, config: RunConfig, graphs: str) -> None:
    dataset, kind = config.dataset.name, config.model.kind
    if (record.dataset, record.model) != (dataset, kind) or record.subject is not None:
        raise RunError(
            f"teacher '{record.run_id}' is {record.name} ({record.stage}), the student "
            f"{dataset}-{kind}-{config.size}",
            hint="choose a teacher of the same dataset and model (`kdgat runs list`)",
        )
    if record.graphs != graphs:
        raise RunError(
            f"teacher '{record.run_id}' was trained on other captures, windows or features than "
            "the student would be",
            hint="give the student the teacher's data.* (`kdgat config diff`), or train a teacher "
            "with the student's",
        )


def _unusable(teacher: RunRecord) -> RunError:
    return RunError(
        f"teacher '{teacher.run_id}' is {teacher.state.value}, not completed",
        hint="train it to its end first; the same overrides resume it",
    )


def _unfinished(
    fitting: list[tuple[RunFolder, RunRecord]], resumable: frozenset[State]
) -> RunFolder | None:
    """The newest run that somebody works on, or that can go on."""
    for folder, record in fitting:
        # Without a job, what is planned is another process's, which is about to begin or is dead.
        theirs = record.state is State.PLANNED and record.job is None
        if record.state in UNFINISHED | resumable and not theirs:
            return folder
    return None


def _intact(checkpoint: Path) -> bool:
    """Whether a checkpoint is there and fits its checksums; told without torch."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
    ):
        return False
