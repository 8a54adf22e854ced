"""All reference pages; writing them, and telling which are stale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdgat.errors import KnowledgeError
from kdgat.ledger.files import write_text
from kdgat.reference.commands import Command, commands_page
from kdgat.reference.markdown import GENERATED, first_sentence, page, table
from kdgat.reference.sources import operations_of
from kdgat.reference.tables import (
    config_page,
    errors_page,
    gpus_page,
    history_page,
    operations_page,
    science_page,
)
from kdgat.reference.tools import tools_page
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class ReferenceReport:
    """The reference pages, and how those in the checkout compare with the code."""

    folder: str
    pages: tuple[str, ...]
    stale: tuple[str, ...]
    """Pages whose text is not what the code gives now."""
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    """Pages that were made once and that nothing makes now."""

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.stale or self.missing or self.unexpected)


def reference_pages(commands: Command) -> dict[str, str]:
    """Text of every page by its file's name; the same code gives the same text."""
    modules = operations_of()
    made = {
        "cli.md": commands_page(commands),
        "config.md": config_page(),
        "ops.md": operations_page(modules),
        "errors.md": errors_page(modules),
        "datasets-models-stages.md": science_page(),
        "gpus.md": gpus_page(),
        "history.md": history_page(),
        "tools.md": tools_page(),
    }
    return {"index.md": _index(made), **made}


def check_reference(ws: Workspace, pages: dict[str, str]) -> ReferenceReport:
    """Compare the pages in the checkout with those that the code gives."""
    folder = _folder(ws)
    there = {path.name: _read(path) for path in sorted(folder.glob("*.md"))}
    return ReferenceReport(
        folder=ws.show(folder),
        pages=tuple(pages),
        stale=tuple(name for name in pages if name in there and there[name] != pages[name]),
        missing=tuple(name for name in pages if name not in there),
        unexpected=tuple(
            name for name, text in there.items() if name not in pages and _is_made(text)
        ),
    )


def write_reference(ws: Workspace, pages: dict[str, str]) -> ReferenceReport:
    """Write what differs, and delete pages that nothing makes now; tells what there was to do."""
    report = check_reference(ws, pages)
    folder = _folder(ws)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*report.stale, *report.missing):
        write_text(folder / name, pages[name])
    for name in report.unexpected:
        (folder / name).unlink()
    return report


def _index(made: dict[str, str]) -> str:
    rows = []
    for name, text in made.items():
        _, title, intro = text.split("\n\n", 3)[:3]
        rows.append((f"[{title.removeprefix('# ')}]({name})", first_sentence(intro)))
    return page(
        "Reference",
        "Made from the code by `kdgat reference write`; `kdgat reference check` tells which page "
        "is stale, and so does a test.",
        table(("page", "what it holds"), rows),
    )


def _folder(ws: Workspace) -> Path:
    return ws.root / "knowledge" / "reference"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KnowledgeError(
            f"can't read '{path}': {error}", hint="delete it, then `kdgat reference write`"
        ) from error


def _is_made(text: str) -> bool:
    return text.startswith(GENERATED)
