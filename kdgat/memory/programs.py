"""A run's step programs: from the cache, or traced in a process of their own.

A trace that fails badly can take its process with it, and torch takes seconds to import, so a plan
on a login node traces in a child. The cache is keyed by all that the programs depend on, the
project's own code and the versions of torch and PyTorch Geometric included.
"""

from __future__ import annotations

import gc
import json
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from kdgat.configs.run import json_digest
from kdgat.errors import KdgatError, MemoryPlanError, StorageError
from kdgat.ledger.files import content_hash, write_json
from kdgat.memory.spec import StepPrograms, StepSpec

_PACKAGE = Path(__file__).parent.parent
_TRACED_CODE = ("data/batches.py", "data/packing.py", "memory", "models", "training")
"""Where a change may change what a step allocates."""


@dataclass(frozen=True)
class Probe:
    """Programs, and where they come from."""

    programs: StepPrograms
    cached: bool


class Prober:
    """Gives a run's programs; its child process starts when first needed, or when asked to.

    A context manager, because the child ends with it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child is not None:
            # It holds nothing that has to be put in order, and torch takes a second to leave.
            self._child.kill()
            self._child.join()

    def start(self) -> Connection:
        """Start the child now, so that it imports torch while the caller does something else."""
        if self._pipe is None:
            context = get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._child = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._child.start()
            theirs.close()
        return self._pipe

    def programs(self, spec: StepSpec) -> Probe:
        """The programs of a run's steps.

        Raises:
            MemoryPlanError: a step can't be traced, or its memory follows no plane.
        """
        path = cache_path(self.folder, spec)
        known = _read(path)
        if known is not None:
            return Probe(known, cached=True)
        pipe = self.start()
        try:
            pipe.send(spec)
            answer = pipe.recv()
        except (EOFError, OSError) as error:
            raise MemoryPlanError(
                f"the process that traces a step of {spec.config.model.kind} ended at once",
                hint="free some memory (it needs about 1 GB), and look for its message above",
            ) from error
        if isinstance(answer, KdgatError):
            raise answer
        keep(path, answer.to_json())
        return Probe(answer, cached=False)


def own_programs(folder: Path, spec: StepSpec) -> Probe:
    """As `Prober.programs`, traced in this process, which has torch at hand."""
    path = cache_path(folder, spec)
    known = _read(path)
    if known is not None:
        return Probe(known, cached=True)
    programs = _traced(spec)
    keep(path, programs.to_json())
    return Probe(programs, cached=False)


def cache_path(folder: Path, spec: StepSpec) -> Path:
    """Where the programs of a spec are kept."""
    return folder / f"{json_digest([spec.key(), _versions(), code_hash()])}.json"


@cache
def _versions() -> list[str]:
    # The packages' metadata is looked for in every folder of the path.
    return [version(name) for name in ("torch", "torch-geometric")]


@cache
def code_hash() -> str:
    """Hash of the project's own code that decides what a step allocates and how it is planned."""
    files: list[Path] = []
    for name in _TRACED_CODE:
        path = _PACKAGE / name
        files += sorted(path.glob("*.py")) if path.is_dir() else [path]
    return json_digest([content_hash(path) for path in files])


def keep(path: Path, values: dict[str, Any]) -> None:
    """Write a file of the cache, where that is possible."""
    # A cache that can't be written costs time and nothing else; what must be written tells of it.
    with suppress(StorageError):
        write_json(path, values)


def _read(path: Path) -> StepPrograms | None:
    """Programs from the cache; a file that can't be read is made again."""
    try:
        return StepPrograms.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _serve(pipe: Connection) -> None:
    """The child: programs for each spec that comes, until the parent is gone."""
    # It lives for seconds, and collecting garbage is a tenth of the time that torch's import takes.
    gc.disable()
    with warnings.catch_warnings():
        # PyTorch Geometric 2.8 still defines TorchScript functions, which torch deprecates aloud.
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
        import kdgat.memory.steps  # noqa: F401
    while True:
        spec = pipe.recv()
        try:
            answer = _traced(spec)
        except KdgatError as error:
            answer = error
        pipe.send(answer)


def _traced(spec: StepSpec) -> StepPrograms:
    from kdgat.memory.steps import step_programs

    try:
        return step_programs(spec)
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MemoryPlanError(
            f"a step of {spec.config.model.kind} can't be traced without data: {reason}",
            hint="take sizes from the batch, never from values: no .item(), nonzero, boolean "
            "mask, or repeat_interleave without output_size",
        ) from error
