"""The public names of a package, read from its source and never imported.

A name is public where a public module exposes it; of several ways to it the shortest is kept, so
that what is told is what a person would write: `torch_geometric.nn.GATv2Conv`, not the file it is
defined in. Of a package that only came along with another, what its packages' `__init__` expose.
"""

from __future__ import annotations

import ast
import gc
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_HIDDEN = frozenset({
    "benchmarks", "conftest", "contrib", "examples", "experimental", "externals", "internal",
    "protos", "scripts", "server", "setup", "store", "test", "testing", "tests", "vendor",
    "vendored",
})  # fmt: skip
_MOST_HOPS = 8
_DEEPEST = 3
"""Parts of a module's name: `torch.optim.lr_scheduler` has three."""
_DEEPEST_UNLISTED = 2
"""The same for a file that does not say what of it is public."""
_DEEPEST_BESIDE = 2
"""The same for a package that only came along."""
_MANY_METHODS = 40
"""A class with more methods is a library of its own; their names are told too."""
_LONGEST_DOC = 400
_LARGEST_BYTES = 3 << 20


@dataclass(frozen=True)
class Name:
    """A public name: what it is called, where it is defined, what its docstring begins with."""

    qualified: str
    kind: str
    """`module`, `class`, `function` or `method`."""
    path: Path
    line: int
    doc: str
    """The docstring's first paragraph, without markup."""
    arguments: tuple[str, ...] = ()


@dataclass
class _Module:
    name: str
    path: Path
    is_package: bool
    doc: str
    defined: dict[str, Name] = field(default_factory=dict)
    methods: dict[str, list[Name]] = field(default_factory=dict)
    taken: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Names that are imported: module and name there."""
    stars: list[str] = field(default_factory=list)
    listed: tuple[str, ...] | None = None
    """`__all__`, where it is a plain list."""


class _Sources:
    """The modules of some packages, read when they are asked for."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files
        self._read: dict[str, _Module | None] = {}

    def module(self, name: str) -> _Module | None:
        """A module; None where it is none of these, or can't be parsed."""
        if name not in self._read:
            path = self.files.get(name)
            self._read[name] = _read(name, path) if path else None
        return self._read[name]

    def definition(self, module: str, name: str, hops: int = 0) -> tuple[_Module, Name] | None:
        """Where a name of a module is defined, through imports."""
        here = self.module(module)
        if here is None or hops > _MOST_HOPS:
            return None
        if name in here.defined:
            return here, here.defined[name]
        if name in here.taken:
            return self.definition(*here.taken[name], hops + 1)
        found = (self.definition(star, name, hops + 1) for star in here.stars)
        return next(filter(None, found), None)

    def exposed(self, module: str, hops: int = 0) -> list[str]:
        """The names that a module has for others."""
        here = self.module(module)
        if here is None or hops > _MOST_HOPS:
            return []
        names = list(here.listed or ())
        if here.listed is None:
            names.extend((*here.defined, *(here.taken if here.is_package else ())))
        if here.listed is None or here.is_package:
            # What a package takes in whole is there for others, whatever its list says.
            for star in here.stars:
                names.extend(self.exposed(star, hops + 1))
        return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def public_names(files: Mapping[str, Path], *, deep: bool) -> list[Name]:
    """The documented public names of a package's modules.

    Args:
        files: modules by dotted name; a package's is its `__init__.py`.
        deep: modules that are no packages too, and deeper ones.
    """
    sources = _Sources(files)
    with _no_collection():
        ways: dict[tuple[str, str], tuple[str, Name, _Module]] = {}
        modules = []
        for name in _public(files, deep=deep):
            here = sources.module(name)
            if here is None or not _is_open(here, deep=deep):
                continue
            if here.doc:
                modules.append(Name(name, "module", here.path, 1, here.doc))
            for exposed in sources.exposed(name):
                found = sources.definition(name, exposed)
                if found and found[1].doc:
                    _keep_shortest(ways, f"{name}.{exposed}", *found)
        return [*modules, *(each for way in ways.values() for each in _told(*way))]


def own_names(files: Mapping[str, Path]) -> list[Name]:
    """Everything documented in modules of ours, where it is defined; `_private` names left out."""
    sources = _Sources(files)
    found = []
    for module in map(sources.module, files):
        names = module.defined.values() if module else ()
        found.extend(name for name in names if name.doc and "._" not in name.qualified)
    return found


def first_sentence(doc: str, most: int) -> str:
    """What a docstring begins with, in at most `most` characters."""
    sentence = re.split(r"(?<=[^.\s]{2}[.!?])\s+(?=[A-Z`(])", doc, maxsplit=1)[0]
    return shortened(sentence, most)


def shortened(text: str, most: int) -> str:
    """A text in at most `most` characters, cut at a word."""
    return text if len(text) <= most else text[: most - 1].rsplit(" ", 1)[0] + "…"


def plain_doc(doc: str) -> str:
    """The first paragraph of a docstring, with the markup of Sphinx taken off."""
    paragraphs = re.split(r"\n\s*\n", doc.strip())
    # NumPy's C functions begin with their signature, and scikit-learn's with nothing else.
    while len(paragraphs) > 1 and re.match(r"\.\. |[\w.]+\([^)]*\)\s*(->.*)?$", paragraphs[0]):
        paragraphs.pop(0)
    text = re.sub(r":[\w:+-]+:`~?([^`<]+?)(?:\s*<[^`]*>)?`", r"\1", paragraphs[0])
    text = re.sub(r"`([^`<]+?)\s*<[^`>]*>`__?", r"\1", text).replace("``", "`")
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:_LONGEST_DOC]


def _public(files: Mapping[str, Path], *, deep: bool) -> Iterator[str]:
    deepest = _DEEPEST if deep else _DEEPEST_BESIDE
    for name in files:
        parts = name.split(".")
        hidden = any(part.startswith(("_", "test_")) or part in _HIDDEN for part in parts)
        if not hidden and len(parts) <= deepest:
            yield name


def _is_open(module: _Module, *, deep: bool) -> bool:
    if module.is_package or "." not in module.name:
        return True
    return deep and (module.listed is not None or module.name.count(".") < _DEEPEST_UNLISTED)


def _keep_shortest(
    ways: dict[tuple[str, str], tuple[str, Name, _Module]], way: str, module: _Module, name: Name
) -> None:
    key = (module.name, name.qualified)
    before = ways.get(key)
    if before is None or (way.count("."), len(way)) < (before[0].count("."), len(before[0])):
        ways[key] = (way, name, module)


def _told(way: str, name: Name, module: _Module) -> Iterator[Name]:
    yield Name(way, name.kind, name.path, name.line, name.doc, name.arguments)
    methods = module.methods.get(name.qualified.rpartition(".")[2], [])
    if len(methods) > _MANY_METHODS:
        for each in methods:
            own = f"{way}.{each.qualified.rpartition('.')[2]}"
            yield Name(own, "method", each.path, each.line, each.doc, each.arguments)


def _read(name: str, path: Path) -> _Module | None:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return None
        with warnings.catch_warnings():
            # An old escape in somebody's string is his affair.
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    doc = plain_doc(ast.get_docstring(tree) or "")
    module = _Module(name, path, path.stem == "__init__", doc)
    for node in _statements(tree.body):
        _take(module, node)
    return module


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node.body)
            yield from _statements(node.orelse)
        else:
            yield node


def _take(module: _Module, node: ast.stmt) -> None:
    if isinstance(node, ast.ClassDef):
        module.defined[node.name] = _name(module, node, module.name)
        functions = (each for each in node.body if isinstance(each, ast.FunctionDef))
        methods = [each for each in functions if each.name[0] != "_"]
        if len(methods) > _MANY_METHODS:
            told = (_name(module, each, node.name) for each in methods)
            module.methods[node.name] = [each for each in told if each.doc]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        module.defined.setdefault(node.name, _name(module, node, module.name))
    elif isinstance(node, ast.ImportFrom):
        origin = _origin(module, node)
        for each in node.names:
            if each.name == "*":
                module.stars.append(origin)
            else:
                module.taken[each.asname or each.name] = (origin, each.name)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
            module.listed = _texts(node.value)


def _name(
    module: _Module, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, above: str
) -> Name:
    kind = "class" if isinstance(node, ast.ClassDef) else "function"
    doc = plain_doc(ast.get_docstring(node) or "")
    return Name(f"{above}.{node.name}", kind, module.path, node.lineno, doc, _arguments(node))


def _arguments(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    if isinstance(node, ast.ClassDef):
        makers = (each for each in node.body if isinstance(each, ast.FunctionDef))
        maker = next((each for each in makers if each.name == "__init__"), None)
        return _arguments(maker) if maker else ()
    given = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    return tuple(each.arg for each in given if each.arg not in ("self", "cls"))


def _origin(module: _Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    kept = parts[: len(parts) - node.level + module.is_package]
    return ".".join((*kept, node.module) if node.module else kept)


def _texts(value: ast.expr | None) -> tuple[str, ...] | None:
    if not isinstance(value, ast.List | ast.Tuple):
        return None
    texts = [each.value for each in value.elts if isinstance(each, ast.Constant)]
    return tuple(map(str, texts)) if len(texts) == len(value.elts) else None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Trees are freed by their counts; to look for cycles in them takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
