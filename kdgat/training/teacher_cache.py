"""A teacher's answers to all windows of a split, computed once and kept beside the graphs.

A distilled student asks the same frozen teacher about the same windows in every epoch, of every
seed. What is kept is found again by content alone: the teacher's weights, the windows of the very
store, the precision and the code of the models; so nothing stale is ever read. The node-level
answers of an autoencoder are as large as the graphs; `kdgat.training.terms` says what is kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdgat.configs.run import RunConfig, json_digest
from kdgat.data.batches import BatchLoader
from kdgat.data.store import GraphStore
from kdgat.ledger.files import atomic_path, content_hash
from kdgat.progress import Progress, quiet
from kdgat.training.checkpoint import TrainedModel
from kdgat.training.distillation import Answers, CachedAnswers
from kdgat.training.tasks import task_of
from kdgat.training.terms import Column, by_node, kept_columns

FOLDER = "teachers"
"""Folder beside a dataset's graphs."""
_FORMAT = 1
_KEPT_ANSWERS = 16
"""Answers that stay in one folder, the newest; a student of two splits uses two."""
_MOST_GRAPHS = 512
_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_STORE_PARTS = ("x", "edge_index", "edge_attr", "node_ptr", "edge_ptr")


def cached_answers(
    teacher: TrainedModel,
    config: RunConfig,
    stores: tuple[GraphStore, GraphStore],
    folder: Path,
    *,
    on_gpu: bool = False,
    progress: Progress = quiet,
) -> CachedAnswers | None:
    """The teacher's answers to a student's windows; None where its loss asks for more than answers.

    Args:
        teacher: the trained teacher; it ends up in evaluation mode, on the CPU.
        config: the student's config.
        stores: the very training and validation windows of the run, on the host.
        folder: where answers are kept, such as `prepared.folder / FOLDER`.
        on_gpu: whether the run trains on a GPU; then the teacher is asked there.
        progress: told of every batch.

    Raises:
        StorageError: the answers can't be written.
    """
    columns = kept_columns(config.distillation, teacher.config.model, teacher.features[0])
    if not columns:
        return None
    precision, device = config.training.precision, torch.device("cuda" if on_gpu else "cpu")
    told = (precision, _model_digest(teacher), _code_digest())
    answers = []
    for store in stores:
        place = folder / json_digest([_FORMAT, *told, sorted(columns), _store_digest(store)])
        found = _read(place, columns, store)
        if found is None:
            _write(place, columns, teacher, store, config, device, progress)
            _forget_oldest(folder)
            found = _read(place, columns, store)
            assert found is not None
        answers.append(Answers(found, store.node_ptr if by_node(columns) else None))
    return CachedAnswers(*answers)


def _write(
    place: Path,
    columns: Mapping[str, Column],
    teacher: TrainedModel,
    store: GraphStore,
    config: RunConfig,
    device: torch.device,
    progress: Progress,
) -> None:
    """Ask the teacher about every window, in order, and write its answers batch by batch."""
    model, task = teacher.model.eval().to(device), task_of(teacher.config.model)
    loader = BatchLoader(store, min(config.training.max_graphs, _MOST_GRAPHS))
    half = _HALF.get(config.training.precision)
    with ExitStack() as stack:
        # A file for itself is renamed in one go, so ranks that write the same do no harm.
        asides = {n: stack.enter_context(atomic_path(place / f"{n}.npy")) for n in columns}
        files = {n: stack.enter_context(path.open("wb")) for n, path in asides.items()}
        for name, column in columns.items():
            shape = (_rows(column, store), column.width)
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(files[name], header)
        for number, batch in enumerate(loader):
            progress("asking the teacher", number, len(loader))
            with torch.no_grad(), torch.autocast(device.type, half, enabled=half is not None):
                outputs = task.outputs(task.answer(model, batch.to(device)))
            for name, file in files.items():
                # Written as it comes: a mapped file on a full disk would end the process.
                file.write(getattr(outputs, name).float().cpu().contiguous().numpy().data)
    model.to("cpu")
    if device.type == "cuda":
        # The memory plan begins with an allocator that holds nothing, and is measured from here.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _read(
    place: Path, columns: Mapping[str, Column], store: GraphStore
) -> dict[str, Tensor] | None:
    """Kept answers, mapped from disk; None where there are none, or a file is damaged."""
    found = {}
    try:
        for name, column in columns.items():
            # Copy-on-write: torch wants a writable array, and nothing here writes to it.
            array = np.lib.format.open_memmap(place / f"{name}.npy", mode="c")
            if array.shape != (_rows(column, store), column.width) or array.dtype != np.float32:
                return None
            found[name] = torch.from_numpy(array)
    except (OSError, ValueError, SyntaxError):
        return None
    return found


def _rows(column: Column, store: GraphStore) -> int:
    return len(store) if column.rows == "graphs" else int(store.node_ptr[-1])


def _forget_oldest(folder: Path) -> None:
    """Remove all but the newest answers; who has one of them mapped keeps it."""
    ages = []
    for each in folder.iterdir():
        # Another run may tidy up at the same time.
        with suppress(FileNotFoundError):
            ages.append((each.stat().st_mtime_ns, each))
    for _, each in sorted(ages)[:-_KEPT_ANSWERS]:
        shutil.rmtree(each, ignore_errors=True)


def _model_digest(teacher: TrainedModel) -> str:
    """What a model is: its config and its weights to the last bit."""
    found = hashlib.sha256(teacher.config.model.model_dump_json().encode())
    return _added(found, teacher.model.state_dict())


def _store_digest(store: GraphStore) -> str:
    """The windows a model sees, to the last bit; labels are none of its business."""
    return _added(hashlib.sha256(), {name: getattr(store, name) for name in _STORE_PARTS})


def _added(found: "hashlib._Hash", tensors: Mapping[str, Tensor]) -> str:
    for name, tensor in tensors.items():
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()


@cache
def _code_digest() -> str:
    """The code that turns windows into answers."""
    models = Path(__file__).parent.parent / "models"
    return json_digest([content_hash(path) for path in sorted(models.glob("*.py"))])
