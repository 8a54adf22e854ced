"""The GPU at hand: which catalogue entry it is, and what a run took on it."""

from __future__ import annotations

import torch

from kdgat.configs.resources import (
    MIB,
    WORKSPACE_BYTES,
    WORKSPACE_HOPPER_BYTES,
    Gpu,
    gpu,
    gpu_named,
)
from kdgat.configs.training import ResourcesConfig

_HOPPER = (9, 0)
_UNKNOWN_CONTEXT_BYTES = 1024 * MIB


def device_at_hand(resources: ResourcesConfig) -> tuple[Gpu, int | None]:
    """The device a run would train on here, and its memory in bytes; None leaves it to the host."""
    if resources.accelerator == "cpu" or not torch.cuda.is_available():
        return gpu("cpu"), None
    properties = torch.cuda.get_device_properties(0)
    known = gpu_named(properties.name, properties.total_memory)
    if known is not None:
        return known, properties.total_memory
    capability = (properties.major, properties.minor)
    half = ("bf16",) if capability >= (8, 0) else ()
    card = Gpu(
        name=properties.name.lower().replace(" ", "-"),
        title=properties.name,
        compute_capability=capability,
        total_bytes=properties.total_memory,
        context_bytes=_UNKNOWN_CONTEXT_BYTES,
        workspace_bytes=WORKSPACE_HOPPER_BYTES if capability >= _HOPPER else WORKSPACE_BYTES,
        precisions=("32", *half, "fp16"),
    )
    return card, properties.total_memory


def measured_on_gpu() -> dict[str, float | None]:
    """Peaks of this process's allocator since the last reset, and what it takes beside, in bytes.

    The latter is right only where no other process uses the GPU.
    """
    free, total = torch.cuda.mem_get_info()
    return {
        "measured_allocated_bytes": torch.cuda.max_memory_allocated(),
        "measured_reserved_bytes": torch.cuda.max_memory_reserved(),
        "measured_context_bytes": total - free - torch.cuda.memory_reserved(),
    }
