"""One step traced without its memory: which blocks it asks for, and when it gives them back.

A step runs on fake tensors, which have shapes and no data, so an 80 GB batch is traced in a few
megabytes and no GPU is needed. They are fake CPU tensors even where a GPU is planned for: fake CUDA
tensors have no backward pass on a machine without a GPU.

Autograd writes out of place while a dispatch mode looks on, and in place otherwise. The recorder
puts that right, so that its record is the one of a step that nobody watches.
"""

from __future__ import annotations

import gc
import weakref
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdgat.memory.kernels import output_bytes, temporaries
from kdgat.memory.spec import Device

aten = torch.ops.aten

_IN_PLACE = {
    (aten.index_add.default, "IndexSelectBackward0"): aten.index_add_.default,
    (aten.index_put.default, "IndexBackward0"): aten.index_put_.default,
    (aten.scatter_add.default, "GatherBackward0"): aten.scatter_add_.default,
}
"""What a backward formula writes into zeros it has just made, in place unless it is watched."""

_ALONE = 2
"""Uses of a storage that only the gradient's buffer holds, as seen from the dispatcher."""


@dataclass(frozen=True)
class Allocation:
    """One block that a step asks for."""

    nbytes: int
    operator: str
    module: str
    phase: str


@dataclass(frozen=True)
class Trace:
    """The blocks of one step, and the order in which they come and go.

    An entry of `order` is (block, change): +1 takes the block, -1 gives it back, and -2 gives back
    the block of that number that the step before took (its gradients, most of all).
    """

    allocations: tuple[Allocation, ...]
    order: tuple[tuple[int, int], ...]


class Recorder(TorchDispatchMode):
    """Records every storage that appears and disappears while it is on."""

    def __init__(self, device: Device, modules: Mapping[nn.Module, str]) -> None:
        super().__init__()
        self.device: Device = device
        self.phase = ""
        self._modules = dict(modules)
        self._inside = [""]
        self._nodes: list[tuple[int, str]] = []
        self._step = 0
        self._collects = True
        self._known: dict[int, weakref.ref] = {}
        self._allocations: list[Allocation] = []
        self._order: list[tuple[int, int]] = []

    def __enter__(self) -> Recorder:
        # A collection in the middle of a step would free cycles at a moment of its own.
        self._collects = gc.isenabled()
        gc.disable()
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if self._collects:
            gc.enable()

    def know(self, tensors: Iterable[Tensor]) -> None:
        """Leave out what was there before the first step."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self._known[storage._cdata] = weakref.ref(storage)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Record what follows as a step of its own; `trace` tells it afterwards."""
        self._step += 1
        self._allocations, self._order, self._nodes = [], [], []
        hooks = (
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def trace(self) -> Trace:
        """The step that was recorded last."""
        return Trace(tuple(self._allocations), tuple(self._order))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        node = _backward_node()
        if node is not None:
            in_place = _IN_PLACE.get((func, node.name()))
            if in_place is not None:
                return in_place(*args, **kwargs)
            if func is aten.add.Tensor and _uses(args[0]) <= _ALONE and _alike(*args):
                return aten.add_.Tensor(*args, **kwargs)
        own = [self._take(nbytes, func) for nbytes in temporaries(func, args, self.device)]
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._see(tensor, func, args)
        for block in own:
            self._order.append((block, -1))
        return result

    def _see(self, tensor: Tensor, func: Any, args: tuple[Any, ...]) -> None:
        """Note the storage under a tensor, if it is new."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        nbytes = output_bytes(func, args, storage.nbytes())
        if key in self._known or nbytes == 0:
            return
        block = self._take(nbytes, func)
        gone = partial(self._gone, key, self._step, block)
        self._known[key] = weakref.ref(storage, gone)

    def _take(self, nbytes: int, func: Any) -> int:
        module = self._inside[-1]
        node = _backward_node()
        if node is not None:
            module = self._module_of(node)
        self._allocations.append(Allocation(nbytes, str(func), module, self.phase))
        self._order.append((len(self._allocations) - 1, +1))
        return len(self._allocations) - 1

    def _gone(self, key: int, step: int, block: int, _: object) -> None:
        del self._known[key]
        self._order.append((block, -1 if step == self._step else -2))

    def _enter(self, module: nn.Module, _: object) -> None:
        self._inside.append(self._modules.get(module, self._inside[-1]))
        self._nodes.append((_sequence_number(), self._inside[-1]))

    def _leave(self, *_: object) -> None:
        self._inside.pop()
        self._nodes.append((_sequence_number(), self._inside[-1]))

    def _module_of(self, node: Any) -> str:
        """The module in whose forward pass a node of the graph was made."""
        place = bisect_right(self._nodes, node._sequence_nr(), key=lambda each: each[0])
        last = place == len(self._nodes)
        return "" if place == 0 or last else self._nodes[place - 1][1]


def _backward_node() -> Any | None:
    """The node whose gradient is being computed, or None outside of a backward pass.

    While gradients are recorded it is None too: that is a forward pass done again.
    """
    return None if torch.is_grad_enabled() else torch._C._current_autograd_node()


def _sequence_number() -> int:
    return torch.autograd._get_sequence_nr()  # pyright: ignore[reportPrivateImportUsage]


def _uses(tensor: Tensor) -> int:
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


def _alike(first: Any, second: Any, *_: object) -> bool:
    """Whether two gradients are being summed, and no constant or broadcast is added."""
    tensors = isinstance(first, Tensor) and isinstance(second, Tensor)
    return tensors and first.shape == second.shape and first.dtype == second.dtype
