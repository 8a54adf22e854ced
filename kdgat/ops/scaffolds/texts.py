"""Modes, clusters, decisions and papers: text files, and the pages' places in the site."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial

from kdgat.errors import WorkspaceError
from kdgat.knowledge.papers_overrides import OVERRIDES_FILE, PAPERS
from kdgat.modes.packs import RESERVED, mode_names
from kdgat.modes.schema import NAME, NAME_HINT
from kdgat.ops.scaffolds.draft import Draft, template
from kdgat.ops.scaffolds.names import sentence, slug, taken
from kdgat.ops.scaffolds.navigation import with_page, with_table_row
from kdgat.slurm.cluster import cluster_names
from kdgat.workspace import Workspace

_SITE = "mkdocs.yml"
_DECISIONS = "knowledge/decisions"
_NUMBERED = re.compile(r"(\d{4})-")
_LONGEST_CLUSTER = 40


def add_mode(draft: Draft, ws: Workspace, name: str) -> None:
    """A mode with front matter and a steering text.

    Raises:
        WorkspaceError: the name can't be, or is taken.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise WorkspaceError(f"a mode can't be named '{name:.60}'", hint=NAME_HINT)
    if name in mode_names(ws):
        raise taken("mode", name, "modes")
    words = re.split("[-_]+", name.strip("-_"))
    text = template("mode.md", name=name, title=sentence(words), words=" ".join(words))
    draft.add(f"modes/{name}.md", text)


def add_cluster(draft: Draft, ws: Workspace, name: str) -> None:
    """A cluster's description with one partition, to be filled by `kdgat clusters import`.

    Raises:
        WorkspaceError: the name can't be, or is taken.
    """
    slug("cluster", name)
    if len(name) > _LONGEST_CLUSTER:
        raise WorkspaceError(
            f"the cluster's name has {len(name)} letters", hint=f"use at most {_LONGEST_CLUSTER}"
        )
    if name in cluster_names(ws):
        raise taken("cluster", name, "slurm/clusters")
    draft.add(f"slurm/clusters/{name}.toml", template("cluster.toml", name=name))


def add_decision(draft: Draft, ws: Workspace, name: str) -> None:
    """A decision under the next number, in the list of decisions and in the site.

    Raises:
        WorkspaceError: the name can't be or is taken, or the list has no place for a row.
    """
    slug("decision", name)
    known = sorted(path.name for path in (ws.root / _DECISIONS).glob("*.md"))
    numbers = [int(match[1]) for each in known if (match := _NUMBERED.match(each))]
    for each in known:
        if each[5:] == f"{name}.md" and _NUMBERED.match(each):
            raise taken("decision", name, f"{_DECISIONS}/{each}")
    number = f"{max(numbers, default=0) + 1:04d}"
    page, title = f"{number}-{name}.md", sentence(name.split("-"))
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    draft.add(f"{_DECISIONS}/{page}", template("decision.md", title=title, date=today))
    _into_site(draft, "Decisions", f"decisions/{page}")
    if draft.has(f"{_DECISIONS}/index.md"):
        row = f"| [{number}]({page}) | {title} |"
        draft.edit(f"{_DECISIONS}/index.md", partial(with_table_row, row=row))


def add_paper(draft: Draft, name: str) -> None:
    """A paper's folder: overrides, notes, values, and an analysis on the shared package.

    Raises:
        WorkspaceError: the name can't be or is taken, or the site has no place for its page.
    """
    slug("paper", name)
    folder = f"{PAPERS.as_posix()}/{name}"
    for existing in (folder, f"{folder}.md"):
        if draft.has(existing):
            raise taken("paper", name, existing)
    title = sentence(name.split("-"))
    draft.add(f"{folder}/index.md", template("paper_notes.md", name=name, title=title))
    draft.add(f"{folder}/{OVERRIDES_FILE}", template("paper_overrides.txt", name=name))
    draft.add(f"{folder}/paper.toml", template("paper.toml", name=name))
    draft.add(f"{folder}/analysis.py", template("paper_analysis.py", name=name))
    _into_site(draft, "Papers", f"papers/{name}/index.md")


def _into_site(draft: Draft, section: str, page: str) -> None:
    # A workspace may have no site of its own.
    if draft.has(_SITE):
        draft.edit(_SITE, partial(with_page, section=section, page=page))
