"""A registered model as MLflow loads it: CAN messages in, one score and alarm a window out.

`mlflow.pyfunc.load_model("models:/simulated-gat-large@champion").predict(messages)` calls this
through `_load_pyfunc`. The folder holds the checkpoint, and of the graphs it was trained on their
scaling and the profiles of their vehicles, which is all that scoring needs; kdgat itself must be
installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdgat.errors import DataError, did_you_mean
from kdgat.ledger.files import content_hash

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINT = "best.ckpt"
GRAPHS = ("prepare.json", "library.npz")
"""What is taken of the graphs: how they were made and scaled, and what their vehicles are like."""
INPUTS = {
    "timestamp": "double",
    "arbitration_id": "long",
    "data": "string",
}
"""Columns of a message: seconds, the id as a number, and the payload in hex (`2A366C2BBA`)."""
OUTPUTS = {
    "start_s": "double",
    "end_s": "double",
    "score": "double",
    "threshold": "double",
    "alarm": "boolean",
}
"""Columns of a window's answer."""
PROTOCOL = "protocol"
"""The parameter of `predict`: `zero_shot`, or `adapted`, which takes the first seconds of the
messages for the vehicle's profile and scores none of them."""


class WindowScorer:
    """Scores the windows of one capture's messages."""

    def __init__(self, folder: Path) -> None:
        from kdgat.data.scaling import Scaler
        from kdgat.stages.prepare import Prepared
        from kdgat.training.checkpoint import load_best

        self.trained = load_best(folder / CHECKPOINT)
        report = json.loads((folder / GRAPHS[0]).read_bytes())
        self.prepared = Prepared(
            dataset=self.trained.config.dataset.name,
            key="",
            folder=folder,
            dataset_hash=report["dataset_hash"],
            scaler=Scaler(**report["scaler"]),
            vocabulary=tuple(report["vocabulary"]),
            captures=(),
            train_graphs=report["train_graphs"],
            validation_graphs=report["validation_graphs"],
            made=False,
        )

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """One row a window, in order; fewer messages than a window give none.

        Args:
            model_input: messages of one capture, in their order, with the columns `INPUTS`.
            params: `protocol`, by default zero_shot.

        Raises:
            DataError: a payload is no hex of at most 8 bytes, or there is no such protocol.
        """
        import numpy as np
        import pandas as pd

        from kdgat.configs.names import PROTOCOLS
        from kdgat.data.windows import Messages
        from kdgat.stages.detect import Detector

        protocol = (params or {}).get(PROTOCOL, PROTOCOLS[0])
        if protocol not in PROTOCOLS:
            raise DataError(
                f"there is no protocol '{protocol}'", hint=did_you_mean(protocol, PROTOCOLS)
            )
        payload, dlc = _payloads(model_input["data"])
        messages = Messages(
            model_input["timestamp"].to_numpy(np.float64),
            model_input["arbitration_id"].to_numpy().astype(np.uint32),
            dlc,
            payload,
        )
        evaluation = self.trained.config.evaluation
        verdicts = Detector(self.trained, self.prepared, protocol, evaluation).take(messages)
        rows = [[getattr(each, name) for name in OUTPUTS] for each in verdicts]
        return pd.DataFrame(rows, columns=list(OUTPUTS)).astype(_DTYPES)


_DTYPES = {name: "bool" if kind == "boolean" else "float64" for name, kind in OUTPUTS.items()}


def _load_pyfunc(path: str) -> WindowScorer:
    """MLflow's entry: the model in a folder."""
    return WindowScorer(Path(path))


def save_for_mlflow(folder: Path, checkpoint: Path, graphs: Path, metadata: dict[str, Any]) -> None:
    """Write an MLflow model (MLmodel, signature, checkpoint, scaling, profiles) to a new folder.

    Args:
        folder: where to; must not exist.
        checkpoint: the run's best.ckpt.
        graphs: folder of the graphs it was trained on.
        metadata: lineage, kept in the MLmodel file.

    Raises:
        DataError: the graphs are gone.
    """
    import shutil
    import tempfile

    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    signature = ModelSignature(
        inputs=Schema([ColSpec(kind, name) for name, kind in INPUTS.items()]),
        outputs=Schema([ColSpec(kind, name) for name, kind in OUTPUTS.items()]),
        params=ParamSchema([ParamSpec(PROTOCOL, "string", "zero_shot")]),
    )
    with tempfile.TemporaryDirectory() as aside:
        data = Path(aside) / "model"
        data.mkdir()
        shutil.copyfile(checkpoint, data / CHECKPOINT)
        try:
            for name in GRAPHS:
                shutil.copyfile(graphs / name, data / name)
        except OSError as error:
            raise DataError(
                f"'{graphs}', which has the scaling of the training data, can't be read: {error}",
                hint="`kdgat data prepare` with the run's data.* makes it again",
            ) from error
        save_model(
            str(folder),
            loader_module="kdgat.runs.scoring",
            data_path=str(data),
            signature=signature,
            pip_requirements=["kdgat"],
            metadata={**metadata, "checkpoint_sha256": content_hash(checkpoint)},
        )


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
