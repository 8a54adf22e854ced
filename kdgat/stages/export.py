"""A trained model as an ONNX file that is checked against torch before anybody gets it.

What a window's tensors mean is written into the file's metadata: the features and their scaling,
the window's length, the thresholds. So an ECU needs the file alone.
"""

from __future__ import annotations

import io
import json
import logging
import time
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kdgat.data.batches import collate
from kdgat.data.features import EDGE_FEATURE_NAMES, feature_names
from kdgat.data.measured import REFERENCES
from kdgat.data.store import GraphStore, open_store
from kdgat.errors import CheckpointError, DataError
from kdgat.ledger.files import atomic_path
from kdgat.models.onnx_form import INPUTS, OUTPUT, OnnxForm, inputs_of
from kdgat.models.table import parameter_count
from kdgat.stages.prepare import Prepared
from kdgat.training.checkpoint import TrainedModel
from kdgat.training.tasks import score_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxruntime import InferenceSession

EXPORTABLE = ("gat", "vgae", "mlp", "fusion")
"""Kinds that are made of layers; trees and counts of ids are not."""
TOLERANCE = 1e-4
"""Largest difference from torch's score, absolute or, of a score above 1, relative."""
OPSET = 18
_CHECKED = 256
_ALONE = 64
_EXAMPLE = 3
_PREFIX = "kdgat."


@dataclass(frozen=True)
class ExportReport:
    """An ONNX file, and how it compares to torch."""

    threshold: float
    bytes: int
    parameters: int
    opset: int
    windows_checked: int
    max_difference: float
    """Largest difference of a score, as TOLERANCE measures it."""
    onnx_ms: float
    """Median time of one window alone, with one thread, features already made."""
    torch_ms: float


def exportable(subject: TrainedModel) -> str | None:
    """The kind that stands in the way of an export, if any does."""
    kinds = [subject.config.model.kind, *(each.config.model.kind for each in subject.scorers)]
    return next((kind for kind in kinds if kind not in EXPORTABLE), None)


def export_onnx(
    subject: TrainedModel, prepared: Prepared, path: Path, about: Mapping[str, Any]
) -> ExportReport:
    """Write a model as ONNX, if its scores are torch's; otherwise nothing is written.

    Args:
        subject: the model; `exportable` says whether it can be.
        prepared: the graphs that it was trained on.
        path: the file.
        about: what else its metadata should say.

    Raises:
        CheckpointError: its training did not end, or ONNX gives other scores than torch.
        DataError: there are too few validation windows to check with.
        StorageError: the file can't be written.
    """
    calibration = subject.calibration
    if calibration is None:
        raise CheckpointError(
            "the model is of a training that did not end",
            hint="train again with the same overrides; it goes on from its last epoch",
        )
    store = open_store(prepared.folder / "validation", labels=False)
    if len(store) < _EXAMPLE:
        raise DataError(
            f"dataset '{prepared.dataset}' has {len(store)} validation windows, too few to check "
            "an export with",
            hint="ingest longer captures",
        )
    score = score_of(subject.config.model)
    form = OnnxForm(subject.model, score, calibration.center, calibration.spread).eval()
    meaning = _meaning(subject, prepared)
    packed = _packed(form, store, {**meaning, **about})
    with _one_thread():
        session = _session(packed)
        difference, checked = _compare(form, session, store)
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"ONNX gives scores up to {difference:.2g} away from torch's, and "
                f"{TOLERANCE:g} is the most",
                hint="nothing was written; please report it with the versions of torch and "
                "onnxruntime",
            )
        onnx_ms, torch_ms = _latencies(form, session, store)
    with atomic_path(path) as aside:
        aside.write_bytes(packed)
    return ExportReport(
        threshold=meaning["threshold"],
        bytes=len(packed),
        parameters=parameter_count(subject.model),
        opset=OPSET,
        windows_checked=checked,
        max_difference=difference,
        onnx_ms=onnx_ms,
        torch_ms=torch_ms,
    )


def _meaning(subject: TrainedModel, prepared: Prepared) -> dict[str, Any]:
    """What its user must know of the tensors and of the score."""
    data, scaler, judging = subject.config.data, prepared.scaler, subject.config.evaluation
    assert subject.calibration is not None
    lines = {
        name: subject.calibration.threshold(
            judging.threshold, judging.alpha, (name,), margin=judging.margin
        )
        for name in REFERENCES.values()
    }
    return {
        "threshold": lines["own"],
        "thresholds": lines,
        "references": {name: number for number, name in REFERENCES.items()},
        "window_messages": data.window_messages,
        "stride_messages": data.stride_messages,
        "prefix_s": data.prefix_s,
        "node_features": feature_names(data.features),
        "edge_features": EDGE_FEATURE_NAMES,
        "id_encoding": data.id_encoding,
        "id_hash_bits": data.id_hash_bits if data.id_encoding == "hash" else None,
        "vocabulary": prepared.vocabulary,
        "node_mean": scaler.node_mean,
        "node_std": scaler.node_std,
        "edge_mean": scaler.edge_mean,
        "edge_std": scaler.edge_std,
        "clip": scaler.clip,
        "profile_columns": scaler.profile,
    }


def _packed(form: OnnxForm, store: GraphStore, about: Mapping[str, Any]) -> bytes:
    nodes, edges, graphs = (torch.export.Dim(name) for name in ("nodes", "edges", "graphs"))
    shapes = ({0: nodes}, {1: edges}, {0: edges}, {0: nodes}, {0: edges}, {0: graphs})
    example = inputs_of(collate(store, torch.arange(_EXAMPLE)))
    with _silence():
        program = torch.onnx.export(
            form,
            example,
            input_names=INPUTS,
            output_names=(OUTPUT,),
            opset_version=OPSET,
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model
    # Each node carries the lines of Python that it came from, several times its own size.
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.metadata_props.clear()
    model.metadata_props.clear()
    model.metadata_props.update(
        {
            _PREFIX + name: value if isinstance(value, str) else json.dumps(value)
            for name, value in about.items()
        }
    )
    return program.model_proto.SerializeToString()


def _session(packed: bytes) -> InferenceSession:
    import onnxruntime
    from onnxruntime import InferenceSession

    # The package's own annotations leave it out.
    options = onnxruntime.SessionOptions()  # pyright: ignore[reportAttributeAccessIssue]
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return InferenceSession(packed, options, providers=["CPUExecutionProvider"])


def _compare(form: OnnxForm, session: InferenceSession, store: GraphStore) -> tuple[float, int]:
    """The largest difference, over windows together and one by one, and how many were compared."""
    chosen = torch.linspace(0, len(store) - 1, min(_CHECKED, len(store))).long().unique()
    worst = 0.0
    for index in (chosen, *chosen[:_ALONE].split(1)):
        inputs = inputs_of(collate(store, index))
        with torch.inference_mode():
            ours = form(*inputs).numpy()
        theirs = _run(session, inputs)
        away = np.abs(theirs - ours) / np.maximum(np.abs(ours), 1)
        worst = max(worst, float(np.nan_to_num(away, nan=np.inf).max()))
    return worst, len(chosen)


def _latencies(form: OnnxForm, session: InferenceSession, store: GraphStore) -> tuple[float, float]:
    """Median milliseconds of one window, by ONNX and by torch, which take turns."""
    count = min(_ALONE, len(store))
    windows = [inputs_of(collate(store, torch.tensor([i]))) for i in range(count)]
    onnx_s, torch_s = [], []
    with torch.inference_mode():
        for inputs in windows:
            begin = time.perf_counter()
            _run(session, inputs)
            middle = time.perf_counter()
            form(*inputs)
            onnx_s.append(middle - begin)
            torch_s.append(time.perf_counter() - middle)
    return float(np.median(onnx_s)) * 1000, float(np.median(torch_s)) * 1000


def _run(session: InferenceSession, inputs: tuple[Tensor, ...]) -> np.ndarray:
    # What a model does not look at is no input of its file.
    wanted = {each.name for each in session.get_inputs()}
    given = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
    return np.asarray(session.run([OUTPUT], {name: given[name] for name in wanted})[0])


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's own progress off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(level)
