"""Operations on clusters: list, show, import from a cluster's Slurm, check against it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from kdgat.errors import ConfigError, KdgatError
from kdgat.ledger.files import write_text
from kdgat.slurm.cluster import Cluster, cluster_from, cluster_names, load_cluster
from kdgat.slurm.spelling import slurm_name
from kdgat.slurm.survey import Client, Difference, differences, merged, survey, to_toml
from kdgat.workspace import Workspace

_NAMED = 3
"""Differences that an error names; the others are counted."""


@dataclass(frozen=True)
class ClusterLine:
    """One cluster of the list."""

    name: str
    title: str
    scheduler: str
    accounts: tuple[str, ...]
    partitions: int
    gpus: tuple[str, ...]
    """Catalogue names of its GPUs."""
    assumed: int
    """Facts that nobody verified."""


@dataclass(frozen=True)
class ClusterList:
    """Every described cluster; `broken` says what is wrong with the others."""

    items: tuple[ClusterLine, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class ShownCluster:
    """One cluster as its file describes it, defaults included."""

    name: str
    cluster: dict[str, Any]


@dataclass(frozen=True)
class ImportedCluster:
    """What an import wrote, or would write."""

    name: str
    file: str
    text: str
    """The whole file."""
    diff: str
    """What changes in an existing file, as a unified diff."""
    differences: tuple[Difference, ...]
    assumed: tuple[str, ...]
    written: bool


@dataclass(frozen=True)
class CheckedCluster:
    """A cluster's file against its Slurm."""

    name: str
    live_name: str
    """What the Slurm here calls its cluster."""
    differences: tuple[Difference, ...]


def list_clusters(ws: Workspace) -> ClusterList:
    """Every cluster that is described; a broken file hides no other."""
    items, broken = [], []
    for name in cluster_names(ws):
        try:
            cluster = load_cluster(ws, name)
        except KdgatError as error:
            broken.append(error.problem)
            continue
        gpus = dict.fromkeys(one.gpu for one in cluster.partitions.values() if one.gpu)
        items.append(
            ClusterLine(
                name=name,
                title=cluster.title,
                scheduler=cluster.scheduler,
                accounts=cluster.accounts,
                partitions=len(cluster.partitions),
                gpus=tuple(gpus),
                assumed=len(cluster.assumed),
            )
        )
    return ClusterList(tuple(items), tuple(broken))


def show_cluster(ws: Workspace, *, name: str) -> ShownCluster:
    """One cluster.

    Raises:
        ConfigError: it is not described, or its file is wrong.
    """
    return ShownCluster(name, load_cluster(ws, name).model_dump(mode="json"))


def import_cluster(
    ws: Workspace,
    *,
    name: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    client: Client | None = None,
) -> ImportedCluster:
    """Describe the cluster that this machine belongs to in `slurm/clusters/<name>.toml`.

    Of a file that is there already, what Slurm can't say is kept: modules, preamble, accounts,
    defaults, sizes of GPUs, comments.

    Args:
        ws: the workspace.
        name: the file's name; None takes the cluster's own.
        force: change a file that is there.
        dry_run: write nothing.
        client: Slurm; None is this machine's.

    Raises:
        SlurmError: Slurm is not here, or does not answer.
        ConfigError: the file is there and differs (without `force`), or is wrong.
    """
    live = survey(client or _here())
    name = slurm_name("cluster", name or live.name)
    path = ws.clusters / f"{name}.toml"
    shown = ws.show(path)
    before, found, result = "", (), live.model_copy(update={"name": name})
    if path.exists():
        file = cluster_from(path, shown=shown)
        if file.scheduler != live.scheduler:
            raise ConfigError(
                f"'{shown}' describes a machine without a scheduler, and here is Slurm",
                hint="choose another name: `kdgat clusters import NAME`",
            )
        before, found, result = (
            path.read_text(encoding="utf-8"),
            differences(file, live),
            merged(file, live),
        )
    text = to_toml(result, over=before)
    if before and text != before and not (force or dry_run):
        raise ConfigError(
            f"'{shown}' is there already and differs: {_some(found)}",
            hint="look at the changes with --dry-run, and make them with --force",
        )
    written = text != before and not dry_run
    if written:
        write_text(path, text)
    diff = "".join(
        unified_diff(before.splitlines(True), text.splitlines(True), shown, "Slurm", n=1)
        if before
        else ()
    )
    return ImportedCluster(name, shown, text, diff, found, result.assumed, written)


def check_cluster(
    ws: Workspace, *, name: str | None = None, client: Client | None = None
) -> CheckedCluster:
    """Compare a cluster's file with the Slurm of this machine.

    Raises:
        SlurmError: Slurm is not here, or does not answer.
        ConfigError: the cluster is not described, has no scheduler, or its file is wrong.
    """
    file = None if name is None else _with_scheduler(load_cluster(ws, name))
    live = survey(client or _here())
    file = file or load_cluster(ws, live.name)
    return CheckedCluster(file.name, live.name, differences(file, live))


def _with_scheduler(cluster: Cluster) -> Cluster:
    if cluster.scheduler == "none":
        raise ConfigError(
            f"{cluster.name} has no scheduler to check it against",
            hint="name a cluster with Slurm: `kdgat clusters list`",
        )
    return cluster


def _some(found: tuple[Difference, ...]) -> str:
    if not found:
        return "only in defaults, sources or what is assumed"
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return "; ".join(map(str, found[:_NAMED])) + more


def _here() -> Client:
    from kdgat.slurm.client import Slurm

    return Slurm()
