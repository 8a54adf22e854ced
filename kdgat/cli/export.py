"""`kdgat export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdgat.cli.options import AsJson, RunReference
from kdgat.cli.output import print_json, print_table, progress_bar, say
from kdgat.workspace import Workspace


def export(
    run: RunReference,
    file: Annotated[
        Path | None,
        typer.Argument(help="The file to write; RUN_ID.onnx here if not given."),
    ] = None,
    onnx: Annotated[  # noqa: ARG001
        bool, typer.Option("--onnx", help="As ONNX, the only form there is.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as ONNX, checked against torch on the run's validation windows.

    Examples:
        kdgat export latest --onnx
        kdgat export latest --onnx student.onnx --json
    """
    from kdgat.ops.export import export as write

    with progress_bar() as listen:
        done = write(Workspace.find(), run, path=file, progress=listen)
    if as_json:
        return print_json(done)
    rows = (
        ("parameters", done.parameters),
        ("bytes", done.bytes),
        ("threshold", done.threshold),
        ("windows checked", done.windows_checked),
        ("largest difference from torch", f"{done.max_difference:.2e}"),
        ("onnxruntime, ms a window", done.onnx_ms),
        ("torch, ms a window", done.torch_ms),
    )
    print_table(f"{done.name} ({done.run_id})", ("figure", "value"), rows)
    return say(f"written: {done.path}")
