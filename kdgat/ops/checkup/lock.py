"""Whether pyproject.toml, uv.lock and what is installed agree; uv itself is not asked.

The lock is read by its lines, since a TOML parser takes a third of a second for it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdgat.ops.checkup.finding import Found, Surroundings, problem
from kdgat.ops.checkup.interpreter import pyproject

_PACKAGE = re.compile(r'^\[\[package\]\]\nname = "([^"]+)"\nversion = "([^"]+)"', re.MULTILINE)
_MOST_NAMED = 4
_LOCK = "uv.lock"


def look_at_lock(here: Surroundings) -> Iterator[Found]:
    """The lock against pyproject.toml, and the environment against the lock."""
    root = here.ws.root
    project = pyproject(root).get("project")
    if not isinstance(project, dict) or not (root / _LOCK).is_file():
        return
    text = (root / _LOCK).read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    locked: dict[str, set[str]] = {}
    for name, version in _PACKAGE.findall(text):
        locked.setdefault(name, set()).add(version)
    if stale := list(_not_in_lock(project, text, locked)):
        what = f"uv.lock is not what pyproject.toml asks for: {_few(stale)}"
        yield problem("lock", what, "uv lock, then uv sync", where=_LOCK)
    there = installed_versions()
    if wrong := [*_other_versions(there, locked), *_missing(there, project)]:
        what = f"the environment is not what uv.lock says: {_few(wrong)}"
        yield problem("environment", what, "uv sync", where=sys.prefix)


def installed_versions() -> dict[str, str]:
    """Versions of installed packages by normalized name, by the names of their folders."""
    found: dict[str, str] = {}
    for entry in sys.path:
        for path in Path(entry or ".").glob("*.dist-info"):
            name, _, version = path.name.removesuffix(".dist-info").partition("-")
            found.setdefault(_plain(name), version)
    return found


def _not_in_lock(
    project: Mapping[str, Any], text: str, locked: Mapping[str, set[str]]
) -> Iterator[str]:
    from packaging.specifiers import SpecifierSet

    noted = _noted(str(project.get("name", "")), text)
    for each in _requirements(project):
        name = _plain(each.name)
        if name not in locked:
            yield f"'{each}' is not in it"
        elif noted and name not in noted:
            yield f"it was made without '{each}'"
        elif noted and SpecifierSet(noted[name]) != each.specifier:
            yield f"'{each}' was '{each.name}{noted[name]}' when it was made"


def _noted(project: str, text: str) -> dict[str, str]:
    """What the lock says it was made from: ranges of versions by name."""
    start = text.find(f'[[package]]\nname = "{_plain(project)}"\n')
    if start < 0:
        return {}
    block = text[start : text.find("\n[[package]]", start + 1) % (len(text) + 1)]
    try:
        (package,) = tomllib.loads(block)["package"]
        rows = package["metadata"]["requires-dist"]
        return {_plain(row["name"]): row.get("specifier", "") for row in rows}
    except (ValueError, KeyError, TypeError):
        return {}


def _other_versions(there: Mapping[str, str], locked: Mapping[str, set[str]]) -> Iterator[str]:
    for name, version in sorted(there.items()):
        # A build's own mark (+cu126) is not always in the lock.
        public = version.partition("+")[0]
        if name in locked and not locked[name] & {version, public}:
            yield f"{name} {version} (locked {' or '.join(sorted(locked[name]))})"


def _missing(there: Mapping[str, str], project: Mapping[str, Any]) -> Iterator[str]:
    for each in _requirements(project):
        if _plain(each.name) not in there and (each.marker is None or each.marker.evaluate()):
            yield f"{each.name} is not installed"


def _requirements(project: Mapping[str, Any]) -> Iterator[Any]:
    from packaging.requirements import InvalidRequirement, Requirement

    for text in project.get("dependencies", ()):
        try:
            yield Requirement(text)
        except (InvalidRequirement, TypeError):
            # uv refuses it with a better message than a guess of ours.
            continue


def _few(items: list[str]) -> str:
    more = f" and {len(items) - _MOST_NAMED} more" * (len(items) > _MOST_NAMED)
    return ", ".join(items[:_MOST_NAMED]) + more


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
