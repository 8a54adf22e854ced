"""Where the links of a page lead within its site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote

_OUTSIDE = re.compile(r"^([a-z][a-z0-9+.-]*:|//|/|\{|\$|<)", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """A link's end within the site."""

    path: str
    """From the folder of pages."""
    anchor: str


def target_of(page: str, link: str) -> Target | None:
    """Where a link of a page leads; None where that is outside of the site or unknown."""
    if _OUTSIDE.match(link):
        return None
    path, _, anchor = link.partition("#")
    path = unquote(path.partition("?")[0])
    if not path:
        return Target(page, unquote(anchor))
    return Target(
        posixpath.normpath(posixpath.join(posixpath.dirname(page), path)), unquote(anchor)
    )


def page_of(path: str, pages: Collection[str]) -> str | None:
    """The page of a path, which may be written as its address (`guide/`)."""
    stem = path.removesuffix(".html").rstrip("/")
    for name in (path, f"{stem}.md", f"{stem}/index.md", posixpath.join(stem, "README.md")):
        if name in pages:
            return name
    return "index.md" if stem in (".", "") and "index.md" in pages else None
