"""Files that agents' clients read beside AGENTS.md: what they cost, and what they say twice.

Clients read such files from the checkout, from every folder above it and from the user's home, so
a forgotten one costs tokens in every session and contradicts the current one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdgat.modes.packs import token_count
from kdgat.ops.checkup.finding import Found, Surroundings, note, problem
from kdgat.ops.checkup.passages import Said

OWN = ("AGENTS.md", "CLAUDE.md")
_NAMES = (
    *OWN, "CLAUDE.local.md", "AGENT.md", "GEMINI.md", ".cursorrules", ".windsurfrules",
    ".clinerules", ".github/copilot-instructions.md", ".claude/CLAUDE.md", ".junie/guidelines.md",
)  # fmt: skip
_OF_HOME = (".codex/AGENTS.md", ".gemini/GEMINI.md", ".config/AGENTS.md")
_PATTERNS = (".cursor/rules/*.md*", ".claude/rules/*.md", ".github/instructions/*.md")
_WHEN_CALLED = (".claude/skills/*/SKILL.md", ".claude/commands/*.md", ".claude/agents/*.md")
"""Read when they are needed: they cost nothing, unless they repeat."""
_INCLUDES = frozenset({"@AGENTS.md", "@./AGENTS.md"})
_LARGEST_BYTES = 1_000_000
_DEEPEST = 4
_SKIPPED = frozenset({"node_modules", "site", "dist", "build", "outputs", "__pycache__"})


@dataclass(frozen=True)
class _File:
    path: Path
    shown: str
    always: bool
    """Whether clients read it in every session."""


def look_at_copies(here: Surroundings) -> Iterator[Found]:
    """A second set of instructions, wherever a client would find one."""
    said = Said()
    root = here.ws.root
    seen = set()
    for name in OWN:
        if (text := _text(root / name)) is not None:
            seen.add((root / name).resolve())
            if repeated := said.repeated(text):
                what = f"'{name}' repeats {repeated.tokens} tokens of '{repeated.elsewhere}' "
                what += f"(first: '{repeated.first}')"
                yield problem("second context", what, f"delete them from {name}", where=name)
            said.add(name, text)
    for file in _files(here):
        place = file.path.resolve()
        if place in seen or (text := _text(file.path)) is None or _points(text):
            continue
        seen.add(place)
        yield from _judged(file, text, said)
        said.add(file.shown, text)


def _judged(file: _File, text: str, said: Said) -> Iterator[Found]:
    repeated = said.repeated(text)
    cost = token_count(text)
    if repeated is None:
        if file.always:
            what = f"'{file.shown}' is read beside AGENTS.md: {cost} tokens in every session"
            fix = "move what holds for this project into AGENTS.md, and delete the rest"
            yield note("second context", what, fix, where=file.shown)
        return
    several = f"{repeated.passages} passage{'s' * (repeated.passages > 1)}"
    what = (
        f"'{file.shown}' is a second set of instructions: {cost} tokens, {repeated.tokens} of them "
        f"in {several} that '{repeated.elsewhere}' has too (first: '{repeated.first}')"
    )
    fix = f"delete them from '{file.shown}', or the file; a client that wants it can link AGENTS.md"
    yield problem("second context", what, fix, where=file.shown)


def _files(here: Surroundings) -> Iterator[_File]:
    """Every such file that is there: of the checkout, inside it, above it, in the home folder."""
    root, home = here.ws.root, here.user_home
    yield from _set(root, here)
    for folder in _inside(here):
        yield from _set(folder, here)
    for folder in root.parents:
        yield from _set(folder, here)
    if home not in root.parents and home != root:
        yield from _set(home, here)
    yield from (_File(home / name, f"~/{name}", True) for name in _OF_HOME)


def _set(folder: Path, here: Surroundings) -> Iterator[_File]:
    for name in _NAMES:
        yield _File(folder / name, _shown(folder / name, here), True)
    for patterns, always in ((_PATTERNS, True), (_WHEN_CALLED, False)):
        for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
            yield _File(path, _shown(path, here), always)


def _inside(here: Surroundings) -> Iterator[Path]:
    """Folders of the checkout, nested checkouts too; neither hidden ones nor the home folder."""
    root = here.ws.root
    for name, folders, _ in os.walk(root):
        folder = Path(name)
        depth = len(folder.relative_to(root).parts)
        folders[:] = [
            each
            for each in sorted(folders)
            if not each.startswith(".")
            and each not in _SKIPPED
            and folder / each != here.ws.home
            and depth < _DEEPEST
        ]
        # agent/AGENTS.md is the template that AGENTS.md is made from.
        if folder not in (root, root / "agent"):
            yield folder


def _text(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        # Another user's, above the checkout.
        return None


def _points(text: str) -> bool:
    """Whether a file says nothing but where AGENTS.md is."""
    lines = {line.strip() for line in text.splitlines() if line.strip()}
    return not lines or lines <= _INCLUDES


def _shown(path: Path, here: Surroundings) -> str:
    if path.is_relative_to(here.ws.root):
        return here.ws.show(path)
    home = here.user_home
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
