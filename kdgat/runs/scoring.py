"""A registered model as MLflow loads it: CAN messages in, one score and alarm a window out.

`mlflow.pyfunc.load_model("models:/simulated-gat-large@champion").predict(messages)` calls this
through `_load_pyfunc`. The folder holds the checkpoint and the scaling of the training data, which
is all that scoring needs; kdgat itself must be installed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdgat.errors import DataError
from kdgat.ledger.files import content_hash

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINT = "best.ckpt"
SCALER = "scaler.json"
INPUTS = {
    "timestamp": "double",
    "arbitration_id": "long",
    "data": "string",
}
"""Columns of a message: seconds, the id as a number, and the payload in hex (`2A366C2BBA`)."""
OUTPUTS = {"start_s": "double", "end_s": "double", "score": "double", "alarm": "boolean"}
"""Columns of a window's answer."""


class WindowScorer:
    """Scores the windows of one capture's messages."""

    def __init__(self, folder: Path) -> None:
        from kdgat.data.scaling import Scaler
        from kdgat.training.checkpoint import load_best

        self.trained = load_best(folder / CHECKPOINT)
        self.scaler = Scaler(**json.loads((folder / SCALER).read_bytes()))

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """One row a window, in order; fewer messages than a window give none.

        Args:
            model_input: messages of one capture, in their order, with the columns `INPUTS`.
            params: not used; MLflow hands it over.

        Raises:
            DataError: a payload is no hex of at most 8 bytes.
        """
        import numpy as np
        import pandas as pd

        from kdgat.data.graphs import build_graphs
        from kdgat.data.windows import Messages, window_starts

        del params
        config = self.trained.config.data
        payload, dlc = _payloads(model_input["data"])
        messages = Messages(
            model_input["timestamp"].to_numpy(np.float64),
            model_input["arbitration_id"].to_numpy().astype(np.uint32),
            dlc,
            payload,
        )
        starts = window_starts(len(messages), config.window_messages, config.stride_messages)
        graphs = build_graphs(messages, starts, config)
        score = self._scores(graphs) if len(starts) else np.zeros(0)
        calibration = self.trained.calibration
        threshold = np.inf if calibration is None else calibration.threshold
        return pd.DataFrame(
            {
                "start_s": graphs.start_s,
                "end_s": graphs.end_s,
                "score": score,
                "alarm": score >= threshold,
            }
        )

    def _scores(self, graphs: Any) -> Any:
        import numpy as np
        import torch

        from kdgat.data.store import GraphStore
        from kdgat.training.scoring import score_parts

        assert self.trained.calibration is not None, "only completed runs are registered"
        fields = {
            **vars(graphs),
            "x": self.scaler.nodes(graphs.x),
            "edge_attr": self.scaler.edges(graphs.edge_attr),
            "capture": np.zeros(len(graphs), dtype=np.int32),
        }
        store = GraphStore(
            captures=(),
            window_messages=self.trained.config.data.window_messages,
            **{name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in fields.items()},
        )
        config = self.trained.config
        parts = score_parts(self.trained.model, config.model, store, config.training.max_graphs)
        return self.trained.calibration.scores(parts)


def _load_pyfunc(path: str) -> WindowScorer:
    """MLflow's entry: the model in a folder."""
    return WindowScorer(Path(path))


def save_for_mlflow(folder: Path, checkpoint: Path, scaler: Any, metadata: dict[str, Any]) -> None:
    """Write an MLflow model (MLmodel, signature, checkpoint and scaling) to a new folder.

    Args:
        folder: where to; must not exist.
        checkpoint: the run's best.ckpt.
        scaler: scaling of the training data (`Prepared.scaler`'s fields).
        metadata: lineage, kept in the MLmodel file.
    """
    import shutil
    import tempfile

    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(
        inputs=Schema([ColSpec(kind, name) for name, kind in INPUTS.items()]),
        outputs=Schema([ColSpec(kind, name) for name, kind in OUTPUTS.items()]),
    )
    with tempfile.TemporaryDirectory() as aside:
        data = Path(aside) / "model"
        data.mkdir()
        shutil.copyfile(checkpoint, data / CHECKPOINT)
        (data / SCALER).write_text(json.dumps(scaler), encoding="utf-8")
        save_model(
            str(folder),
            loader_module="kdgat.runs.scoring",
            data_path=str(data),
            signature=signature,
            pip_requirements=["kdgat"],
            metadata={**metadata, "checkpoint_sha256": content_hash(checkpoint)},
        )


def scaler_of(dataset: Path, graphs: str) -> dict[str, Any]:
    """The scaling of the graphs a run was trained on.

    Raises:
        DataError: the graphs are gone.
    """
    path = dataset / "graphs" / graphs / "prepare.json"
    try:
        from kdgat.data.scaling import Scaler

        return asdict(Scaler(**json.loads(path.read_bytes())["scaler"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"'{path}', which has the scaling of the training data, can't be read: {error}",
            hint="`kdgat data prepare` with the run's data.* makes it again",
        ) from error


def _payloads(data: Any) -> tuple[Any, Any]:
    """Payloads as the table of messages has them (first byte on top), and their lengths."""
    import numpy as np

    try:
        raw = [bytes.fromhex(text) for text in data]
        if any(len(each) > 8 for each in raw):
            raise ValueError("more than 8 bytes")
    except (ValueError, TypeError) as error:
        raise DataError(
            f"a payload is no hex of at most 8 bytes: {error}", hint="write it as 2A366C2BBA"
        ) from error
    values = [int.from_bytes(each.ljust(8, b"\0"), "big") for each in raw]
    lengths = [len(each) for each in raw]
    return np.array(values, dtype=np.uint64), np.array(lengths, dtype=np.uint8)
