"""The sequences of a store's windows: beside its graphs, written when a model first asks for them.

They are a folder of their own within the store's, so that who reads graphs alone neither writes nor
reads them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from jaxtyping import Float16, Int16, Int64
from torch import Tensor

from kdgat.data.sequences import (
    MESSAGE_FEATURE_NAMES,
    MessageScaler,
    chunks,
)
from kdgat.data.versions import MESSAGES_VERSION
from kdgat.data.windows import Messages
from kdgat.errors import DataError
from kdgat.ledger.files import atomic_path, write_json

FOLDER = "messages"
_SUMMARY = "messages.json"
_SHAPES = {"values": (torch.float16, 3), "node": (torch.int16, 2)}


@dataclass(frozen=True)
class Sequences:
    """The messages of each graph's window, in their order."""

    values: Float16[Tensor, "graphs messages features"]
    """Scaled message features."""
    node: Int16[Tensor, "graphs messages"]
    """Which node of its graph each message's id is."""

    def at(self, index: Int64[Tensor, "picked"]) -> Sequences:
        """Those of some graphs."""
        return Sequences(self.values.index_select(0, index), self.node.index_select(0, index))

    def to(self, device: torch.device) -> Sequences:
        """The same on a device."""
        return Sequences(self.values.to(device), self.node.to(device))


@dataclass(frozen=True)
class Source:
    """Windows of one capture, or of a part of one."""

    messages: Messages
    starts: Int64[np.ndarray, "windows"]


def made_sequences(sources: Sequence[Source], scaler: MessageScaler, window: int) -> Sequences:
    """The sequences of some windows, in memory."""
    parts = [part for each in sources for part in chunks(each.messages, each.starts, window)]
    if not parts:
        values = np.zeros((0, window, len(MESSAGE_FEATURE_NAMES)), np.float16)
        node = np.zeros((0, window), np.int16)
    else:
        values = np.concatenate([scaler.scaled(part) for part in parts])
        node = np.concatenate([part.node for part in parts])
    return Sequences(torch.from_numpy(values), torch.from_numpy(node))


def has_sequences(store: Path) -> bool:
    """Whether a store on disk has sequences of this version."""
    try:
        summary = json.loads((store / FOLDER / _SUMMARY).read_bytes())
        return summary["version"] == MESSAGES_VERSION
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_sequences(
    store: Path, sources: Sequence[Source], scaler: MessageScaler, window: int
) -> None:
    """Write the sequences of a store's windows beside its graphs, whole or not at all.

    Args:
        store: where `save_store` wrote the graphs.
        sources: the windows that the graphs were made of, in their order.
        scaler: of benign training windows.
        window: messages in one window.

    Raises:
        DataError: the graphs are of other windows.
        StorageError: they can't be written.
    """
    _need_same_windows(store, sources)
    count = sum(len(each.starts) for each in sources)
    shapes = {
        "values": ("<f2", (count, window, len(MESSAGE_FEATURE_NAMES))),
        "node": ("<i2", (count, window)),
    }
    with atomic_path(store / FOLDER) as aside:
        aside.mkdir()
        files = {name: (aside / f"{name}.npy").open("wb") for name in shapes}
        try:
            for name, (kind, shape) in shapes.items():
                header = {"descr": kind, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_2_0(files[name], header)
            for each in sources:
                for part in chunks(each.messages, each.starts, window):
                    # Written as it comes: a mapped file on a full disk would end the process.
                    files["values"].write(np.ascontiguousarray(scaler.scaled(part)).data)
                    files["node"].write(np.ascontiguousarray(part.node).data)
        finally:
            for file in files.values():
                file.close()
        write_json(aside / _SUMMARY, {"version": MESSAGES_VERSION, "windows": count})


def open_sequences(store: Path, graphs: int, window: int) -> Sequences:
    """Open what `write_sequences` wrote, memory-mapped.

    Args:
        store: folder of the graphs.
        graphs: how many there are.
        window: messages in one window.

    Raises:
        OSError, ValueError: the files are missing, damaged or of other graphs.
    """
    found = {}
    for name, (dtype, dimensions) in _SHAPES.items():
        try:
            # Copy-on-write: torch wants a writable array, and nothing here writes to it.
            array = np.lib.format.open_memmap(store / FOLDER / f"{name}.npy", mode="c")
        except TokenError as error:
            raise ValueError(f"{name}.npy has no readable header") from error
        tensor = torch.from_numpy(array)
        expected = (graphs, window, len(MESSAGE_FEATURE_NAMES))[:dimensions]
        if tuple(tensor.shape) != expected or tensor.dtype != dtype:
            raise ValueError(f"{name} is {tuple(tensor.shape)} where {expected} is expected")
        found[name] = tensor
    return Sequences(**found)


def _need_same_windows(store: Path, sources: Sequence[Source]) -> None:
    try:
        found = np.load(store / "start_s.npy")
    except (OSError, ValueError, EOFError) as error:
        raise _other_windows(store, error) from error
    wanted = [each.messages.time_s[each.starts] for each in sources]
    if not np.array_equal(found, np.concatenate([*wanted, np.zeros(0)])):
        raise _other_windows(store, "they begin at other times")


def _other_windows(store: Path, fault: object) -> DataError:
    return DataError(
        f"graphs in '{store}' are not of the windows that the captures have now: {fault}",
        hint=f"delete '{store.parent}'; the same command makes it again",
    )
