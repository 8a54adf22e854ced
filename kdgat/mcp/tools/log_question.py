"""The tool `log_question`: keeps a question, and tells nothing of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from kdgat.workspace import Workspace


@dataclass(frozen=True)
class Kept:
    """The number it was kept under."""

    id: str

    def summary(self) -> str:
        """The number."""
        return f"kept as {self.id}; go on with the work"


def log_question(
    ws: Workspace,
    *,
    text: Annotated[
        str, Field(description="the question, in a sentence", min_length=1, max_length=2000)
    ],
    context: Annotated[
        str, Field(description="what was being done; run ids", max_length=2000)
    ] = "",
) -> Kept:
    """Keep a research question that came up in passing, for later.

    Use when work on a pipeline raises a question that is not needed to finish it.
    Not when the question is about this code or cluster (docs_lookup), or can be asked of runs.
    """
    from kdgat.ops.questions import log_question as keep

    return Kept(keep(ws, text, context=context).id)
