"""What kernels allocate beyond the tensors a dispatcher sees, and how CUDA's autocast differs.

Read off torch.profiler's memory events and ATen's source (PyTorch 2.15); the test that compares
traces with the real CPU allocator holds the table to the version that is installed. The workspaces
of matrix products in half precision on a CPU (oneDNN packs the weights) are left out: they stay
below a quarter of a percent of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from kdgat.memory.spec import Device

aten = torch.ops.aten

_BINARY = frozenset((aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor, aten.div.Tensor))
"""Element by element, on operands of one type."""

_FLOAT32_ON_CUDA = frozenset((
    "__pow__", "__rpow__", "__rtruediv__", "acos", "asin", "binary_cross_entropy_with_logits",
    "cdist", "cosh", "cosine_similarity", "cross_entropy", "cumprod", "cumsum", "dist",
    "erfinv", "exp", "expm1", "group_norm", "kl_div", "l1_loss", "layer_norm", "log", "log10",
    "log1p", "log2", "log_softmax", "mse_loss", "nll_loss", "norm", "normalize", "pow", "prod",
    "reciprocal", "renorm", "rsqrt", "sinh", "smooth_l1_loss", "softmax", "softmin", "softplus",
    "sum", "tan",
))  # fmt: skip
"""Operators that autocast runs in float32 on CUDA (PyTorch's documentation of torch.amp)."""


def temporaries(operator: object, args: Sequence[Any], device: Device) -> tuple[int, ...]:
    """Bytes of the blocks that a kernel takes for itself and gives back when it is done."""
    if operator is aten.mse_loss.default and _reduces(args):
        return (args[0].nbytes,)
    if device == "cpu" and operator in _BINARY and isinstance(args[1], Tensor):
        # TensorIterator casts operands of another type up front; on CUDA the kernel casts.
        common = torch.result_type(args[0], args[1])
        return tuple(each.numel() * common.itemsize for each in args[:2] if each.dtype != common)
    return ()


def output_bytes(operator: object, args: Sequence[Any], visible: int) -> int:
    """Bytes of the block under an operator's output, where it is larger than the output."""
    if operator is aten.mse_loss.default and _reduces(args):
        # The mean is written to a block that was made for all squared errors.
        return args[0].nbytes
    return visible


class CudaAutocast(TorchFunctionMode):
    """Casts to float32 what CUDA's autocast would, for fake CPU tensors that stand for CUDA's."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _FLOAT32_ON_CUDA:
            args = tree_map_only(Tensor, _float32, args)
            kwargs = {name: tree_map_only(Tensor, _float32, each) for name, each in kwargs.items()}
        return func(*args, **kwargs)


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _reduces(args: Sequence[Any]) -> bool:
    """Whether a loss of this operator is one number: `reduction` is 0 where it is not."""
    return len(args) < 3 or args[2] != 0
