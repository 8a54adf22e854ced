"""Arguments that need a look before an operation gets them: they come from an agent, not a user."""

from __future__ import annotations

import re
from pathlib import Path

from kdgat.errors import KnowledgeError, ModeError
from kdgat.modes.packs import lacks_tool
from kdgat.modes.state import current_mode, questions_shown
from kdgat.workspace import Workspace

_QUESTIONS = re.compile(r"\bquestions\b", re.IGNORECASE)


def without_questions(ws: Workspace, *sql: str) -> None:
    """Refuse SQL that speaks of the view of open questions, in a mode that hides them.

    A view can't be named but by its name, so its name is looked for, in whatever part of the text.

    Raises:
        ModeError: it does; says which mode has them.
    """
    if any(map(_QUESTIONS.search, sql)):
        need_questions(ws, "the view 'questions'")


def need_questions(ws: Workspace, what: str) -> None:
    """Refuse what tells of open questions, in a mode that hides them.

    Raises:
        ModeError: it does; says which mode has them.
    """
    if questions_shown(ws):
        return
    mode = current_mode(ws)
    hint = lacks_tool(ws, mode, "questions").hint
    raise ModeError(f"{what} is not served in mode '{mode}'", hint=hint)


def inside(ws: Workspace, path: str) -> Path:
    """A path from the workspace's root, links followed.

    Raises:
        KnowledgeError: it leads out of the workspace.
    """
    root = ws.root.resolve()
    try:
        found = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise KnowledgeError(f"'{path}' is no path", hint="give one from the root") from error
    if not found.is_relative_to(root):
        raise KnowledgeError(
            f"'{path}' is outside the workspace",
            hint="give a path from the workspace's root; what lies elsewhere is the user's to look "
            "at, by the command line",
        )
    return found
