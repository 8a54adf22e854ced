"""The operation that writes a trained run's model as ONNX."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from kdgat.errors import ConfigError, WorkspaceError
from kdgat.ops.trained import usable_run
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class ExportSummary:
    """An ONNX file, checked against torch."""

    run_id: str
    name: str
    path: str
    bytes: int
    parameters: int
    opset: int
    threshold: float
    """Where an alarm begins for a window measured against its own vehicle's profile."""
    windows_checked: int
    """Validation windows whose scores were compared."""
    max_difference: float
    """Largest difference from torch's score; relative, of scores above 1."""
    onnx_ms: float
    """Median time of one window alone by onnxruntime with one thread, features already made."""
    torch_ms: float
    """The same by torch with one thread."""


def export(
    ws: Workspace, run: str = "latest", *, path: Path | None = None, progress: Progress = quiet
) -> ExportSummary:
    """Write a trained model as ONNX; nothing is written unless its scores are torch's.

    Args:
        ws: the workspace.
        run: id of a training run, the beginning of one, `latest`, or a model's version.
        path: the file; `<run id>.onnx` in the current folder if it is not given.
        progress: told of every step.

    Raises:
        WorkspaceError: the extra `export` is not installed.
        RunError: there is no such run, it is not completed, or it is no training run.
        ConfigError: the model is of a kind that can't be exported.
        DataError: the dataset is gone, changed since the training, or has too few windows.
        CheckpointError: the checkpoint is damaged, or ONNX gives other scores than torch.
        StorageError: the file can't be written.
    """
    need_extra("export", _PACKAGES)
    subject = usable_run(ws, run, progress)
    from kdgat.stages.export import EXPORTABLE, export_onnx, exportable

    kind = exportable(subject.model)
    if kind is not None:
        raise ConfigError(
            f"run '{subject.record.run_id}' is or weighs a {kind}, which has no ONNX form here",
            hint=f"export one of: {', '.join(EXPORTABLE)}",
        )
    target = path or Path(f"{subject.record.run_id}.onnx")
    record = subject.record
    about = {
        "run_id": record.run_id,
        "name": record.name,
        "dataset": record.dataset,
        "provenance": record.provenance,
    }
    progress("exporting, and checking it", 0, 1)
    report = export_onnx(subject.model, subject.prepared, target, about)
    progress("exported", 1, 1)
    return ExportSummary(run_id=record.run_id, name=record.name, path=str(target), **asdict(report))


def need_extra(extra: str, packages: tuple[str, ...]) -> None:
    """Refuse where an optional part of the installation is missing.

    Raises:
        WorkspaceError: one of its packages can't be imported.
    """
    for name in packages:
        try:
            import_module(name)
        except ImportError as error:
            raise WorkspaceError(
                f"this needs the package '{name}', which can't be imported: {error}",
                hint=f"uv sync --extra {extra}",
            ) from error
