"""What a checkout's modules say of themselves: docstrings and imports, read without importing.

Parsing kdgat itself takes longer than a hook may, so what was read of a file is kept beside the
hash of its content, and only a file that changed is parsed again.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FORM = 1
"""Goes up when the same file gives other facts."""
_NO_PACKAGE = frozenset({"tests", "test", "docs", "build", "dist", "site", "__pycache__"})
_LONGEST_SUMMARY = 72
_SHORTEST_CLAUSE = 24


@dataclass(frozen=True)
class Module:
    """One module, or the `__init__` of a package."""

    name: str
    """Dotted."""
    path: str
    """Relative to the root."""
    summary: str
    """First sentence of its docstring."""
    imports: tuple[str, ...]
    """Dotted names of what it imports, wherever in the file."""
    parses: bool = True

    @property
    def is_package(self) -> bool:
        """Whether it stands for a folder."""
        return self.path.endswith("__init__.py")


def package_folders(root: Path) -> tuple[Path, ...]:
    """The packages of a checkout: folders with an `__init__.py`, at its root or in `src`."""
    return tuple(
        folder
        for place in (root, root / "src")
        for folder in _folders(place)
        if (folder / "__init__.py").is_file()
    )


def source_files(folder: Path) -> Iterator[Path]:
    """Every Python file of a package, by name."""
    for path in sorted(folder.glob("*.py")):
        if path.is_file() and not path.name.startswith("."):
            yield path
    for inner in _folders(folder):
        yield from source_files(inner)


class ModuleReader:
    """Reads modules, and knows what it read before."""

    def __init__(self, root: Path, memory: Path) -> None:
        self._root = root
        self._memory = memory
        self._known = _load(memory)
        self._read: dict[str, list[Any]] = {}

    def modules(self, folder: Path) -> tuple[Module, ...]:
        """The modules of a package, by path."""
        return tuple(self._module(path, folder.parent) for path in source_files(folder))

    def scripts(self) -> tuple[Module, ...]:
        """The modules at the root, which no package has."""
        paths = sorted(path for path in self._root.glob("*.py") if path.name[0] != ".")
        return tuple(self._module(path, self._root) for path in paths)

    def save(self) -> None:
        """Keep what was read for the next time."""
        from kdgat.ledger.files import write_text

        if self._read != self._known:
            value = {"form": _FORM, "modules": self._read}
            write_text(self._memory, json.dumps(value, separators=(",", ":")) + "\n")

    def _module(self, path: Path, above: Path) -> Module:
        key = path.relative_to(self._root).as_posix()
        dotted = path.relative_to(above).with_suffix("").as_posix().replace("/", ".")
        name = dotted.removesuffix(".__init__")
        try:
            data = path.read_bytes()
        except OSError:
            # It went away, or nobody may read it: then nobody can import it either.
            return Module(name, key, "", (), parses=False)
        digest = hashlib.sha256(data).hexdigest()[:24]
        fact = self._known.get(key)
        if fact is None or fact[0] != digest:
            fact = [digest, *_facts(data, name, path.name == "__init__.py")]
        self._read[key] = fact
        return Module(name, key, fact[1], tuple(fact[2]), fact[3])


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, without its full stop; a long one is cut at a clause."""
    plain = " ".join(text.strip().split("\n\n")[0].split())
    match = re.match(r"(.+?)[.!?:](?=\s+[A-Z`(]|$)", plain)
    sentence = match[1] if match else plain
    if len(sentence) <= _LONGEST_SUMMARY:
        return sentence
    clauses = [each.start() for each in re.finditer(r"[,;:](?= )", sentence[:_LONGEST_SUMMARY])]
    if clauses and clauses[-1] >= _SHORTEST_CLAUSE:
        return sentence[: clauses[-1]]
    return sentence[:_LONGEST_SUMMARY].rsplit(" ", 1)[0].rstrip(",;:") + " ..."


def _folders(place: Path) -> list[Path]:
    """Folders that may hold modules, by name; hidden ones and links to elsewhere don't."""
    try:
        with os.scandir(place) as entries:
            names = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [place / name for name in sorted(names) if name not in _NO_PACKAGE and name[0] != "."]


def _facts(data: bytes, name: str, is_package: bool) -> tuple[str, list[str], bool]:
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Half an edit; the next render sees the rest.
        return "", [], False
    package = name if is_package else name.rpartition(".")[0]
    found = {target for node in ast.walk(tree) for target in _targets(node, package)}
    return first_sentence(ast.get_docstring(tree) or ""), sorted(found), True


def _targets(node: ast.AST, package: str) -> Iterator[str]:
    """Names that an import may stand for: of `from a import b` both `a` and `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        near = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
        base = ".".join(filter(None, (near, node.module)))
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _load(memory: Path) -> dict[str, list[Any]]:
    try:
        value = json.loads(memory.read_bytes())
        known = value["modules"] if value["form"] == _FORM else {}
        # What is not as it was written is read anew.
        return {key: fact for key, fact in known.items() if len(fact) == 4}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
