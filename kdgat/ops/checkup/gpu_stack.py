"""torch's build against the driver and the GPUs, and PyG's against torch's, without importing them.

Sources: NVIDIA's table of the least driver for each CUDA major version (minor versions of one major
version run on the same driver), and CUDA 13's release notes, which end support below 7.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from kdgat.errors import KdgatError
from kdgat.ops.checkup.finding import Found, Surroundings, note, problem
from kdgat.ops.checkup.lock import installed_versions

_LEAST_DRIVER = {11: (450, 80), 12: (525, 60), 13: (580, 0)}
_TURING = (7, 5)
_BEFORE_TURING = re.compile(r"\b(V100|P100|P40|K80|TITAN V|GTX 10\d\d)\b", re.IGNORECASE)
_DRIVER = re.compile(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s")
_OF_PYG = ("pyg-lib", "torch-scatter", "torch-sparse", "torch-cluster", "torch-spline-conv")
_ANOTHER = "install the torch that https://pytorch.org/get-started/locally names for this driver"


def look_at_torch(here: Surroundings) -> Iterator[Found]:
    """Whether torch can use the GPUs of this machine."""
    torch = torch_build()
    if torch is None:
        yield problem("torch", "torch is not installed", "uv sync")
        return
    version, cuda = torch
    driver = _driver(here.nvidia)
    if driver is None:
        # A login node or a laptop: nothing to compare with.
        return
    told = ".".join(map(str, driver))
    if cuda is None:
        what = f"torch {version} is built for the CPU, and this machine has NVIDIA driver {told}"
        yield problem("torch", what, _ANOTHER)
        return
    least = _LEAST_DRIVER.get(cuda[0])
    if least and driver[:2] < least:
        wants = ".".join(map(str, least))
        what = f"torch {version} is built for CUDA {_dotted(cuda)}, which wants driver {wants}, "
        yield problem("torch", f"{what}and this is {told}", _ANOTHER)
    if cuda[0] >= 13:
        from kdgat.ledger.environment import gpu_names

        for name in sorted(set(gpu_names(here.nvidia / "gpus"))):
            if _BEFORE_TURING.search(name):
                what = f"torch {version} has no code for {name}: CUDA 13 begins at capability 7.5"
                yield problem("torch", what, "use a torch that is built for CUDA 12.6")


def look_at_cluster_gpus(here: Surroundings) -> Iterator[Found]:
    """Whether torch has code for the GPUs of the clusters that the workspace describes."""
    from kdgat.configs.resources import gpu
    from kdgat.slurm.cluster import cluster_from

    torch = torch_build()
    if torch is None or torch[1] is None or torch[1][0] < 13:
        return
    for path in sorted(here.ws.clusters.glob("*.toml")):
        try:
            partitions = cluster_from(path, shown=here.ws.show(path)).partitions.values()
            names = sorted({each.gpu for each in partitions if each.gpu})
            old = [name for name in names if (gpu(name).compute_capability or _TURING) < _TURING]
        except KdgatError:
            # The check of content files tells it.
            continue
        if old:
            what = f"torch {torch[0]} has no code for the {' and '.join(old)} of '{path.stem}'"
            fix = "use a torch that is built for CUDA 12.6 there, or another cluster"
            yield note("torch", f"{what}: CUDA 13 begins at 7.5", fix, where=here.ws.show(path))


def look_at_pyg(_here: Surroundings) -> Iterator[Found]:
    """PyG, and its compiled parts, which crash with another torch than theirs."""
    if find_spec("torch_geometric") is None:
        yield problem("pyg", "torch-geometric is not installed", "uv sync")
    torch = torch_build()
    if torch is None:
        return
    version, cuda = torch
    ours = version.split(".")[:2], "cpu" if cuda is None else f"cu{_dotted(cuda, '')}"
    there = installed_versions()
    for name in _OF_PYG:
        mark = re.search(r"\+pt(\d)(\d+)(cu\d+|cpu)?", there.get(name, ""))
        if mark is None:
            continue
        if [mark[1], mark[2]] != ours[0] or (mark[3] or ours[1]) != ours[1]:
            what = f"{name} {there[name]} is built for another torch than {version}, and may crash"
            yield problem("pyg", what, f"uv pip uninstall {name} (kdgat does without)")


def torch_build() -> tuple[str, tuple[int, ...] | None] | None:
    """The version of torch and the CUDA it is built for (None: the CPU), from its own file."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    version = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)
    cuda = re.search(r"^cuda\b.*= '([\d.]+)'", text, re.MULTILINE)
    if version is None:
        return None
    return version[1], tuple(map(int, cuda[1].split("."))) if cuda else None


def _driver(nvidia: Path) -> tuple[int, ...] | None:
    try:
        match = _DRIVER.search((nvidia / "version").read_text(errors="replace"))
    except OSError:
        return None
    return tuple(map(int, match[1].split("."))) if match else None


def _dotted(version: tuple[int, ...], sign: str = ".") -> str:
    return sign.join(map(str, version))
