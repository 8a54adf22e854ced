"""The GPU catalogue: what the memory planner knows of a card that it can't ask.

A plan is made on a login node, which has no GPU, for a job on a node that has one. Of each card:

- `total_bytes` was measured by others. Boards of one type differ a little by form factor, driver
  and ECC, so the smallest total found in public is taken, and a figure that was printed with two
  decimals counts at its lower edge. It is CUDA's total; `nvidia-smi` shows more, because it counts
  what the driver keeps.
- `workspace_bytes` was read, not measured: PyTorch's cuBLAS default, 2 x 4096 + 8 x 16 KiB before
  Hopper and 32 MiB on Hopper. It is allocated for each pair of handle and stream and never given
  back; handles belong to threads, so a training process has two, one for the forward pass and one
  for autograd's. cuBLASLt borrows the same one in the builds since early 2026; older ones add
  1 MiB for each pair. `CUBLAS_WORKSPACE_CONFIG` overrides it (`:4096:8` is 32 MiB on any card).
  https://github.com/pytorch/pytorch/blob/26a39059ec580351411f180816c47e2ef5134ae1/aten/src/ATen/cuda/CublasHandlePool.cpp
  https://github.com/pytorch/pytorch/pull/168175
- `context_bytes` is assumed, on the safe side, until `kdgat memory calibrate` measures it. With
  lazy loading of kernels 0.3 to 0.4 GiB are usual; out-of-memory messages leave 0.40 and 0.49 GiB
  beside PyTorch's own on A100s, and, in stored logs without an address, 0.37 on a V100 and 0.65 to
  0.75 on Hoppers. NCCL's buffers come on top.
  https://github.com/pytorch/pytorch/issues/109888
  https://github.com/TianheWu/CoSeR/issues/10
  https://github.com/HiDream-ai/VAREdit/issues/6

At OSC, Pitzer has V100s of 16 and 32 GB, Ascend A100s of 40 and 80 GB, Cardinal H100s of 94 GB:
https://osu-car-msl.github.io/lab-setup-guide/osc-basics/osc-clusters-overview/
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdgat.errors import ConfigError, did_you_mean

MIB = 2**20
GIB = 2**30
WORKSPACE_BYTES = (2 * 4096 + 8 * 16) * 1024
"""cuBLAS workspace before Hopper."""
WORKSPACE_HOPPER_BYTES = 32 * MIB
"""cuBLAS workspace at compute capability 9.0."""
SPREAD = 0.02
"""Share by which a board may differ from its entry: a V100 of 16.00 GiB, 1.6 % above, was seen."""


@dataclass(frozen=True)
class Gpu:
    """One type of card, or the host."""

    name: str
    """As written in a config or on the command line: family, then nominal memory."""
    title: str
    """As printed."""
    compute_capability: tuple[int, int] | None
    """Major and minor; None for a host."""
    total_bytes: int
    """Smallest `torch.cuda.get_device_properties().total_memory` found; 0 for a host, whose memory
    is the job's or the machine's."""
    context_bytes: int
    """What a process takes outside PyTorch's allocator: CUDA context, kernels, libraries."""
    workspace_bytes: int
    """One cuBLAS workspace, inside PyTorch's allocator."""
    precisions: tuple[str, ...]
    """Values of `training.precision` that the card computes natively."""
    source: tuple[str, ...] = ()
    """Where `total_bytes` was read."""
    assumed: tuple[str, ...] = ("context_bytes",)
    """Fields that nobody measured; `kdgat memory calibrate` does."""
    note: str = ""
    """What the sources leave open."""

    @property
    def family(self) -> str:
        """The chip, as `v100`."""
        return self.name.partition("-")[0]


def _lower_edge(printed_gib: float) -> int:
    """The smallest number of bytes that is printed so with two decimals."""
    return int((printed_gib - 0.005) * GIB)


_NO_ADDRESS = (
    "Another figure than the source's: a smaller board in the GPU pages of a university cluster "
    "(DEAC, deviceQuery with driver 12.4), read in a stored copy whose address is unknown."
)

_VOLTA = (
    "PyTorch emulates bf16 on Volta, at the speed of 32 bits, and not every build has Volta's "
    "kernels: those of 2.15.0+cu132 begin at compute capability 7.5."
)

_ALL = (
    Gpu(
        name="v100-16gb",
        title="NVIDIA V100 16 GB",
        compute_capability=(7, 0),
        total_bytes=16_911_433_728,
        context_bytes=640 * MIB,
        workspace_bytes=WORKSPACE_BYTES,
        precisions=("32", "fp16"),
        source=(
            "https://github.com/kosl/ihipp-examples/blob/c13f77f77a3ee272664ddc69fdbb6bb37c34c6ee/docs/week5.md",
            "https://gist.github.com/pstjohn/025df83800ea920e5fa114753092138d",
        ),
        note=_VOLTA,
    ),
    Gpu(
        name="v100-32gb",
        title="NVIDIA V100 32 GB",
        compute_capability=(7, 0),
        total_bytes=34_058_272_768,
        context_bytes=640 * MIB,
        workspace_bytes=WORKSPACE_BYTES,
        precisions=("32", "fp16"),
        source=(
            "https://pastebin.com/AaFUPNi5",
            "https://github.com/liucongg/ChatGLM-Finetuning/issues/73",
        ),
        note=_VOLTA,
    ),
    Gpu(
        name="a100-40gb",
        title="NVIDIA A100 40 GB",
        compute_capability=(8, 0),
        total_bytes=42_285_268_992,
        context_bytes=768 * MIB,
        workspace_bytes=WORKSPACE_BYTES,
        precisions=("32", "bf16", "fp16"),
        source=("https://github.com/bottlerocket-os/bottlerocket/pull/3873",),
        note=f"{_NO_ADDRESS} The source has 42,298,834,944.",
    ),
    Gpu(
        name="a100-80gb",
        title="NVIDIA A100 80 GB",
        compute_capability=(8, 0),
        total_bytes=84_974_239_744,
        context_bytes=768 * MIB,
        workspace_bytes=WORKSPACE_BYTES,
        precisions=("32", "bf16", "fp16"),
        source=(
            "https://gist.github.com/gengwg/3520df2ebf8872e5ee4818367e3a4122",
            "https://github.com/HiDream-ai/VAREdit/issues/6",
        ),
        note=f"{_NO_ADDRESS} The sources have 85,198,045,184 and 79.25 GiB.",
    ),
    Gpu(
        name="h100-80gb",
        title="NVIDIA H100 80 GB",
        compute_capability=(9, 0),
        total_bytes=_lower_edge(79.10),
        context_bytes=1024 * MIB,
        workspace_bytes=WORKSPACE_HOPPER_BYTES,
        precisions=("32", "bf16", "fp16"),
        source=(
            "https://github.com/huggingface/trl/issues/2688",
            "https://github.com/vllm-project/vllm/issues/27508",
        ),
    ),
    Gpu(
        name="h100-94gb",
        title="NVIDIA H100 94 GB",
        compute_capability=(9, 0),
        total_bytes=99_861_594_112,
        context_bytes=1024 * MIB,
        workspace_bytes=WORKSPACE_HOPPER_BYTES,
        precisions=("32", "bf16", "fp16"),
        source=(
            "https://github.com/thamada/nvidia-smi/blob/b09ef139265ffc7e3c78006346981de8e4d70499/gls/H100NVLx2_deviceQuery.py",
            "https://github.com/vllm-project/vllm/issues/16712",
        ),
        note="Measured on the NVL card; Cardinal's SXM boards of 94 GB are assumed no smaller.",
    ),
    Gpu(
        name="h200-141gb",
        title="NVIDIA H200 141 GB",
        compute_capability=(9, 0),
        total_bytes=_lower_edge(139.72),
        context_bytes=1024 * MIB,
        workspace_bytes=WORKSPACE_HOPPER_BYTES,
        precisions=("32", "bf16", "fp16"),
        source=("https://huggingface.co/blog/LinkedIn/gpt-oss-agentic-rl",),
    ),
    Gpu(
        name="cpu",
        title="host",
        compute_capability=None,
        total_bytes=0,
        context_bytes=0,
        workspace_bytes=0,
        precisions=("32", "bf16"),
        assumed=(),
        note="Its memory is what the job asked for, or else what the machine has.",
    ),
)
GPUS: dict[str, Gpu] = {gpu.name: gpu for gpu in _ALL}
"""Every entry by its name."""


def gpu(name: str) -> Gpu:
    """The entry of that name, however it is spelt: `V100-16GB`, `a100_80gb`, `NVIDIA H100 94 GB`.

    A family alone is enough where it has one size (`h200`).

    Raises:
        ConfigError: the catalogue has no such entry, or the family comes in several sizes.
    """
    wanted = _letters_and_digits(name)
    for known in GPUS.values():
        if wanted in (key := _letters_and_digits(known.name), key.removesuffix("gb")):
            return known
    sizes = [known.name for known in GPUS.values() if known.family == wanted]
    if len(sizes) == 1:
        return GPUS[sizes[0]]
    hint = f"choose one of: {', '.join(sizes)}" if sizes else did_you_mean(name.lower(), GPUS)
    raise ConfigError(f"GPU '{name}' is not in the catalogue", hint=hint)


def gpu_named(torch_name: str, total_bytes: int) -> Gpu | None:
    """The entry of the card that torch sees, or None for one that the catalogue doesn't know.

    Args:
        torch_name: `torch.cuda.get_device_name()`. It doesn't always say the size: boards of 80 and
            of 94 GB both call themselves H100.
        total_bytes: `torch.cuda.get_device_properties().total_memory`; it decides between sizes,
            and tells a MIG slice from a whole card.
    """
    chip = re.search(r"(?<![a-z0-9])([avh]\d00)s?(?![a-z0-9])", torch_name.lower())
    if chip is None:
        return None
    for known in GPUS.values():
        if known.family == chip[1] and abs(total_bytes / known.total_bytes - 1) <= SPREAD:
            return known
    return None


def _letters_and_digits(spelling: str) -> str:
    """A name without what people spell differently: case, spaces, dashes, the maker."""
    plain = re.sub(r"[^a-z0-9]", "", spelling.lower())
    return plain.removeprefix("nvidia").removeprefix("tesla")
