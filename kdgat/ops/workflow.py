"""The operation that writes a pipeline as a Snakemake workflow, whose rules call kdgat."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgat.configs.training import ResourcesConfig
from kdgat.errors import ConfigError, StorageError, WorkspaceError
from kdgat.ledger.files import storage_error, write_text
from kdgat.ops.job_request import SubmitRequest, training_job
from kdgat.ops.pipeline_steps import Step, steps_of
from kdgat.ops.workflow_text import EVALUATION, OWN_FOLDERS, Place, files_of, is_ours
from kdgat.slurm.cluster import load_cluster
from kdgat.stages.table import stage_of
from kdgat.workspace import Workspace

_UNKNOWN = Place(runtime_min=240, memory_mb=16_000, cores=4)
"""What a step asks for on a cluster that nobody named."""


@dataclass(frozen=True)
class WorkflowFile:
    """One file of a workflow."""

    path: str
    """Within the workflow's folder."""
    text: str


@dataclass(frozen=True)
class Workflow:
    """A pipeline as Snakemake takes it."""

    folder: str
    dataset: str
    steps: int
    """Runs that it consists of, evaluations included."""
    files: tuple[WorkflowFile, ...]
    removed: tuple[str, ...]
    """Files of an earlier call that this workflow does not have."""
    written: bool
    next_steps: tuple[str, ...]


def write_workflow(
    ws: Workspace,
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] = (),
    baselines: bool = False,
    cluster: str | None = None,
    dry_run: bool = False,
) -> Workflow:
    """Write the steps of `run_pipeline` as rules; Snakemake itself is not needed for it.

    Args:
        ws: the workspace, which the workflow finds again from where it lies.
        folder: where to write; made if it is not there.
        overrides: Hydra overrides, which every run gets.
        seeds: as `run_pipeline`.
        baselines: as `run_pipeline`.
        cluster: whose partitions, account and time limit the Slurm profile names.
        dry_run: write nothing.

    Raises:
        ConfigError: an override is wrong or no pipeline's, or there is no such cluster.
        WorkspaceError: the folder holds what was not written by this.
        StorageError: the file system refused.
    """
    steps = steps_of(ws, overrides, seeds, baselines=baselines)
    first = steps[0].config
    place, gpu = _places(ws, cluster, first.resources)
    config = {
        **_where(ws, folder),
        "kdgat": "kdgat",
        "dataset": first.dataset.name,
        "threads": first.resources.threads or place.cores,
        "graphs": list(_kept(overrides)),
        "steps": _named(steps, overrides),
    }
    texts = files_of(config, cluster, place, gpu)
    stale = tuple(sorted(set(_present(folder)) - set(texts)))
    if not dry_run:
        for path, text in texts.items():
            write_text(folder / path, text)
        _remove(folder, stale)
    return Workflow(
        folder=str(folder),
        dataset=first.dataset.name,
        steps=len(steps),
        files=tuple(WorkflowFile(path, text) for path, text in texts.items()),
        removed=stale,
        written=not dry_run,
        next_steps=(
            f"snakemake -s {folder}/Snakefile -n",
            f"snakemake -s {folder}/Snakefile --cores 2",
            f"snakemake -s {folder}/Snakefile --profile {folder}/profiles/slurm",
        ),
    )


def _where(ws: Workspace, folder: Path) -> dict[str, str]:
    """The workspace as seen from the workflow; a home outside of it keeps its own path."""
    home = ws.home.resolve()
    inside = home.is_relative_to(ws.root)
    return {
        "root": os.path.relpath(ws.root, folder.resolve()),
        "home": str(home.relative_to(ws.root) if inside else home),
    }


def _kept(overrides: Sequence[str]) -> Iterator[str]:
    """The overrides without the seed, which each step has for itself."""
    return (text for text in overrides if text.partition("=")[0].lstrip("+~") != "seed")


def _named(steps: Sequence[Step], overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The steps by `stage/name`, each with those it needs and what kdgat is called with."""
    names = {step.key: _name(step) for step in steps}
    return {
        names[step.key]: {
            "needs": [names[need] for need in step.needs],
            "words": _words(step, names, tuple(_kept(overrides))),
        }
        for step in steps
    }


def _name(step: Step) -> str:
    stage = EVALUATION if step.work == "evaluate" else stage_of(step.config.model).name
    return f"{stage}/{step.name}-{step.config.seed}"


def _words(step: Step, names: dict[str, str], overrides: Sequence[str]) -> list[str]:
    if step.subject is not None:
        return [f"<{names[step.subject]}>", *step.judging]
    config = step.config
    own = [f"model={config.model.kind}", f"size={config.size}", f"seed={config.seed}"]
    if step.scorers:
        own.append(f"model.scorers=[{','.join(f'<{names[key]}>' for key in step.scorers)}]")
    if step.teacher is not None:
        own.append(f"distillation.teacher=<{names[step.teacher]}>")
    return [*overrides, *own]


def _places(ws: Workspace, name: str | None, resources: ResourcesConfig) -> tuple[Place, Place]:
    """What steps without and with a GPU ask for."""
    if name is None:
        return _UNKNOWN, _UNKNOWN
    cluster = load_cluster(ws, name)
    if cluster.scheduler != "slurm":
        raise ConfigError(
            f"cluster '{name}' has no scheduler, so there is no Slurm profile to write for it",
            hint="leave --cluster out: `snakemake --cores N` runs the rules on this machine",
        )
    placed = []
    for gpus in (0, None):
        found = training_job(cluster, SubmitRequest((), name, gpus=gpus), resources).request
        count = resources.nodes * resources.devices if found.gpu or found.gres else 0
        gres = f"gpu:{found.gres}:{count}" if found.gres else f"gpu:{count}"
        placed.append(
            Place(
                runtime_min=found.time_limit_s // 60,
                memory_mb=found.memory_mb or _UNKNOWN.memory_mb,
                cores=found.cores_per_task,
                partition=found.partition,
                account=found.account,
                gres=gres if count else None,
            )
        )
    return placed[0], placed[1]


def _present(folder: Path) -> list[str]:
    """The files of an earlier call.

    Raises:
        WorkspaceError: something else is there, or one of them was changed.
    """
    found, made_here = [], False
    try:
        for path in sorted(folder.rglob("*") if _is_folder(folder) else ()):
            name = path.relative_to(folder)
            if name.parts[0] in OWN_FOLDERS or name.name.startswith(".partial-"):
                made_here = True
            elif not path.is_dir() or path.is_symlink():
                _need_ours(folder, path)
                found.append(str(name))
    except OSError as error:
        raise StorageError(
            f"can't read '{folder}': {error.strerror}", hint="name another folder"
        ) from error
    if made_here and not found:
        raise _others(folder, next(path.name for path in folder.iterdir()))
    return found


def _is_folder(folder: Path) -> bool:
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"'{folder}' is a file", hint="name a folder that may be new")
    return folder.is_dir()


def _need_ours(folder: Path, path: Path) -> None:
    regular = stat.S_ISREG(path.lstat().st_mode)
    if not regular or not is_ours(path.read_bytes().decode("utf-8", "replace")):
        raise _others(folder, str(path.relative_to(folder)))


def _others(folder: Path, name: str) -> WorkspaceError:
    return WorkspaceError(
        f"'{folder}' holds '{name}', which this did not write or which was changed since",
        hint="name a new folder, or move that file away first",
    )


def _remove(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        try:
            (folder / name).unlink()
        except OSError as error:
            raise storage_error(folder / name, error) from error
