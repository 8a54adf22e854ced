"""A workspace of its own, and modes written into it."""

from __future__ import annotations

from pathlib import Path

from kdgat.workspace import Workspace

SETTINGS = {
    "description": "Drafts and figures.",
    "tools": "[paper]",
    "sections": "[best_runs]",
    "budget_tokens": "2000",
    "questions": "shown",
}


def made(root: Path) -> Workspace:
    """An empty workspace."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text("[tool.kdgat]\n")
    (root / "modes").mkdir(exist_ok=True)
    return Workspace(root=root, home=root / ".kdgat")


def mode_text(text: str = "Write what the runs say.", **changed: str | None) -> str:
    """The file of a mode; a setting that is None is left out."""
    settings = {**SETTINGS, **changed}
    lines = [f"{name}: {value}" for name, value in settings.items() if value is not None]
    return "\n".join(("---", *lines, "---", text, ""))


def write_mode(ws: Workspace, name: str, content: str | bytes) -> Path:
    """A mode's file in the workspace."""
    path = ws.modes / f"{name}.md"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
