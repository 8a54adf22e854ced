"""What the sources say of themselves, read without importing them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
"""The folder of kdgat's own code."""


@dataclass(frozen=True)
class Field:
    """A field of a dataclass, with the text below it."""

    name: str
    kind: str
    meaning: str


@dataclass(frozen=True)
class Result:
    """A dataclass that an operation gives."""

    name: str
    meaning: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Operation:
    """A public function whose first argument is the workspace."""

    module: str
    name: str
    signature: str
    summary: str
    text: str
    """What stands between the summary and the sections."""
    arguments: dict[str, str]
    raises: dict[str, str]
    returns: str


@dataclass(frozen=True)
class Source:
    """One module."""

    name: str
    text: str
    operations: tuple[Operation, ...]
    results: dict[str, Result]


def operations_of(package: Path = PACKAGE) -> list[Source]:
    """The modules of kdgat.ops that have an operation, by name.

    An operation is what a face calls; other functions of these modules are their own affair.
    """
    faced = _imported_by_faces(package / "cli")
    found = [_source(path, faced) for path in sorted((package / "ops").glob("*.py"))]
    return [each for each in found if each.operations]


def table_of(module: str, name: str) -> dict[str, str]:
    """Keys and names of a table in a module such as `MODELS: ... = {"gat": GatClassifier}`."""
    tree = _tree(PACKAGE / module)
    for node in tree.body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == name
            and isinstance(node.value, ast.Dict)
        ):
            keys = (ast.literal_eval(key) for key in node.value.keys if key is not None)
            return dict(zip(keys, map(ast.unparse, node.value.values), strict=True))
    raise AssertionError(f"{module} has no table {name}")


def docstring_of(folder: str, name: str) -> str:
    """The docstring of a class that is defined somewhere in a folder of kdgat."""
    for path in sorted((PACKAGE / folder).glob("*.py")):
        for node in _tree(path).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return ast.get_docstring(node) or ""
    raise AssertionError(f"no class {name} in kdgat/{folder}")


def sections(docstring: str) -> tuple[str, str, dict[str, dict[str, str]]]:
    """Summary, text, and the entries of each section of a docstring in Google's style."""
    summary, _, rest = docstring.strip().partition("\n\n")
    found: dict[str, dict[str, str]] = {}
    text: list[str] = []
    section = entry = ""
    for line in rest.splitlines():
        if match := re.fullmatch(r"(Args|Raises|Returns|Yields):", line):
            section, entry = match[1], ""
            found[section] = {}
        elif section and line.startswith("    "):
            if match := re.match(r" {4}(\*{0,2}\w+): (.*)", line):
                entry = match[1]
                found[section][entry] = match[2]
            else:
                told = found[section].get(entry, "")
                found[section][entry] = f"{told} {line.strip()}".strip()
        elif line.strip() or not section:
            section = ""
            text.append(line)
    return " ".join(summary.split()), "\n".join(text).strip(), found


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imported_by_faces(folder: Path) -> set[tuple[str, str]]:
    """Module and name of everything that a face imports."""
    return {
        (node.module, alias.name)
        for path in sorted(folder.glob("*.py"))
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _source(path: Path, faced: set[tuple[str, str]]) -> Source:
    module = f"kdgat.ops.{path.stem}"
    tree = _tree(path)
    operations = tuple(
        _operation(path.stem, node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and _is_operation(node)
        and (module, node.name) in faced
    )
    results = {
        node.name: _result(node)
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    return Source(module, ast.get_docstring(tree) or "", operations, results)


def _is_operation(node: ast.FunctionDef) -> bool:
    arguments = (*node.args.posonlyargs, *node.args.args)
    return (
        not node.name.startswith("_")
        and bool(arguments)
        and arguments[0].annotation is not None
        and ast.unparse(arguments[0].annotation) == "Workspace"
    )


def _operation(module: str, node: ast.FunctionDef) -> Operation:
    summary, text, found = sections(ast.get_docstring(node) or "")
    returns = ast.unparse(node.returns) if node.returns else "None"
    return Operation(
        module=module,
        name=node.name,
        signature=_signature(node, returns),
        summary=summary,
        text=text,
        arguments=found.get("Args", {}),
        raises=found.get("Raises", {}),
        returns=returns,
    )


def _signature(node: ast.FunctionDef, returns: str) -> str:
    """One argument a line where it does not fit in one."""
    line = f"{node.name}({ast.unparse(node.args)}) -> {returns}"
    if len(line) <= 88:
        return line
    return "\n".join(
        (f"{node.name}(", *(f"    {each}," for each in _arguments(node)), f") -> {returns}")
    )


def _arguments(node: ast.FunctionDef) -> Iterator[str]:
    args = node.args
    plain = (*args.posonlyargs, *args.args)
    first = len(plain) - len(args.defaults)
    for number, each in enumerate(plain):
        default = args.defaults[number - first] if number >= first else None
        yield _argument(each, default)
    if args.kwonlyargs:
        yield "*"
    for each, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _argument(each, default)


def _argument(each: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(each.annotation)}" if each.annotation else ""
    return f"{each.arg}{kind}" + (f" = {ast.unparse(default)}" if default is not None else "")


def _result(node: ast.ClassDef) -> Result:
    fields: list[Field] = []
    for number, item in enumerate(node.body):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            after = node.body[number + 1] if number + 1 < len(node.body) else None
            told = after.value if isinstance(after, ast.Expr) else None
            meaning = told.value if isinstance(told, ast.Constant) else ""
            fields.append(Field(item.target.id, ast.unparse(item.annotation), str(meaning)))
    return Result(node.name, ast.get_docstring(node) or "", tuple(fields))
