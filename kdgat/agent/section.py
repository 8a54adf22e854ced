"""A section of the context: its text, and the facts that it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from kdgat.agent.given import Given
from kdgat.agent.modules import Module
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class Material:
    """What sections are made from."""

    ws: Workspace
    given: Given
    packages: tuple[tuple[Module, ...], ...]
    """The modules of each package of the checkout, its own `__init__` first."""
    scripts: tuple[Module, ...] = ()
    """Modules at the root, which no package has."""


@dataclass(frozen=True)
class Section:
    """One section."""

    source: str
    """Where its facts are read, without a space."""
    inputs: Mapping[str, str]
    """Each fact by the name of what it is of; only facts that show."""
    text: str
    """Markdown; empty where there is nothing to say."""
    otherwise: str
    """What tells the same where the section is left out."""

    @property
    def digest(self) -> str:
        """8 hex digits of the inputs."""
        text = json.dumps(dict(self.inputs), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:8]
