"""The agent's context: render it, check it, show what would change, set it up."""

from __future__ import annotations

import difflib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kdgat.agent.causes import Stale, findings
from kdgat.agent.clients import AGENTS
from kdgat.agent.document import SectionState
from kdgat.agent.given import Given
from kdgat.agent.render import Rendered, blocks_there, render
from kdgat.agent.stamp import look, read_facts, write_facts, write_stamp
from kdgat.errors import StorageError, WorkspaceError
from kdgat.ledger.files import storage_error, write_text
from kdgat.workspace import Workspace

SKILLS = ".claude/skills"


@dataclass(frozen=True)
class ContextFile:
    """One of the agent's files, and what a render did to it."""

    path: str
    """From the root of the checkout."""
    state: Literal["made", "merged", "changed", "unchanged"]
    """`merged` kept what the user had in a file that kdgat had not written before."""


@dataclass(frozen=True)
class ContextReport:
    """What a render did, and how large AGENTS.md is."""

    files: tuple[ContextFile, ...]
    sections: tuple[SectionState, ...]
    tokens: int
    """Of all sections together, with their marks; four characters each."""
    tokens_by_hand: int
    """Of what the user wrote outside the marks, which no budget touches."""
    budget_tokens: int
    written: bool
    """False for a dry run, and where there was nothing to write."""


@dataclass(frozen=True)
class ContextCheck:
    """Whether the agent's files are what the checkout gives."""

    stale: tuple[Stale, ...]
    sections: tuple[SectionState, ...]
    tokens: int
    budget_tokens: int

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to write."""
        return not self.stale


@dataclass(frozen=True)
class ContextDiff:
    """What a render would change."""

    files: tuple[str, ...]
    text: str
    """A unified diff; empty where nothing is stale."""


def render_context(ws: Workspace, given: Given, *, dry_run: bool = False) -> ContextReport:
    """Write what is stale of the agent's files, and nothing else.

    Args:
        ws: the workspace.
        given: what higher layers show: commands and tools.
        dry_run: only tell.

    Raises:
        WorkspaceError: kdgat is not set up for an agent here, or one of the files is wrong.
        StorageError: a file can't be read or written.
    """
    seen = look(ws)
    rendered = render(ws, given)
    if not blocks_there(rendered):
        raise WorkspaceError(
            f"{AGENTS} has no section of kdgat's, so there is nothing to render",
            hint="set it up once: `kdgat agent install`",
        )
    return _write(ws, rendered, seen, dry_run=dry_run)


def install_agent(ws: Workspace, given: Given, *, dry_run: bool = False) -> ContextReport:
    """Set the agent's files up, or bring them up to date; what the user wrote in them is kept.

    Args:
        ws: the workspace.
        given: what higher layers show: commands and tools.
        dry_run: only tell.

    Raises:
        WorkspaceError: one of the files is wrong: file, line and next step.
        StorageError: a file can't be read or written.
    """
    seen = look(ws)
    done = _write(ws, render(ws, given), seen, dry_run=dry_run)
    return replace(done, files=(*done.files, *_link_skills(ws, dry_run=dry_run)))


def check_context(ws: Workspace, given: Given) -> ContextCheck:
    """Name every section and file that is stale, with the cause; writes nothing.

    Args:
        ws: the workspace.
        given: what higher layers show: commands and tools.

    Raises:
        WorkspaceError: one of the files is wrong: file, line and next step.
        StorageError: a file can't be read.
    """
    rendered = render(ws, given)
    return ContextCheck(
        stale=findings(rendered, read_facts(ws)),
        sections=rendered.sections,
        tokens=rendered.tokens,
        budget_tokens=rendered.budget_tokens,
    )


def diff_context(ws: Workspace, given: Given) -> ContextDiff:
    """What a render would change, as a unified diff; writes nothing.

    Args:
        ws: the workspace.
        given: what higher layers show: commands and tools.

    Raises:
        WorkspaceError: one of the files is wrong: file, line and next step.
        StorageError: a file can't be read.
    """
    rendered = render(ws, given)
    texts = [_diff(name, rendered.before[name] or "", rendered.files[name])
             for name in rendered.changed]  # fmt: skip
    return ContextDiff(rendered.changed, "".join(texts))


def _write(ws: Workspace, rendered: Rendered, seen: dict, *, dry_run: bool) -> ContextReport:
    kdgats = bool(blocks_there(rendered))
    files = tuple(_file(rendered, name, kdgats=kdgats) for name in rendered.files)
    if not dry_run:
        for name in rendered.changed:
            # Where the file is a link, what it leads to is written, and the link stays.
            write_text((ws.root / name).resolve(), rendered.files[name])
        # Notes for the next time: a home that can't be written costs time, not the context.
        with suppress(StorageError):
            rendered.reader.save()
            write_facts(ws, rendered.facts)
            write_stamp(ws, seen, rendered.changed)
    return ContextReport(
        files=files,
        sections=rendered.sections,
        tokens=rendered.tokens,
        tokens_by_hand=rendered.tokens_by_hand,
        budget_tokens=rendered.budget_tokens,
        written=bool(rendered.changed) and not dry_run,
    )


def _link_skills(ws: Workspace, *, dry_run: bool) -> tuple[ContextFile, ...]:
    """Let a client that looks for skills in its own folder find those of `agent/skills`.

    A link can't go stale. A folder of the user's own under that name stays as it is.
    """
    link = ws.root / SKILLS
    if not (ws.root / "agent" / "skills").is_dir():
        return ()
    if link.is_symlink() or link.exists():
        return (ContextFile(SKILLS, "unchanged"),)
    if not dry_run:
        try:
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(Path("..") / "agent" / "skills", target_is_directory=True)
        except OSError as error:
            raise storage_error(link, error) from error
    return (ContextFile(SKILLS, "made"),)


def _file(rendered: Rendered, name: str, *, kdgats: bool) -> ContextFile:
    if name not in rendered.changed:
        return ContextFile(name, "unchanged")
    if not (rendered.before[name] or "").strip():
        return ContextFile(name, "made")
    return ContextFile(name, "changed" if kdgats else "merged")


def _diff(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True),
        f"a/{name}" if before else "/dev/null", f"b/{name}",
    )  # fmt: skip
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
