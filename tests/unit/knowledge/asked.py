"""What the corpora's judge calls (`eval.py --callable`): the search in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdgat.ops.docs import search_docs, sync_docs
from kdgat.workspace import Workspace


def factory(corpus: str) -> Callable[[str, int], dict[str, Any]]:
    """Index the corpus; a function of a query and a limit."""
    ws = Workspace.find()
    sync_docs(ws, path=Path(corpus))
    name = Path(corpus).name
    return lambda query, limit: asdict(search_docs(ws, query, limit=limit, source=name))
