"""Edits of Python's text at places that its own parser finds; all other lines stay as they are.

Tables have to be written one row a line with a comma after the last one, as the formatter leaves
them, so that a new row is a new line and no other one moves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from textwrap import indent

from kdgat.errors import WorkspaceError


def strings(text: str, shown: str, table: str) -> frozenset[str]:
    """Every text that a table or a `Literal` holds: its keys and values."""
    found = _table(_tree(text, shown), table, shown)
    constants = (each for each in ast.walk(found) if isinstance(each, ast.Constant))
    return frozenset(each.value for each in constants if isinstance(each.value, str))


def defined(text: str, shown: str) -> frozenset[str]:
    """Names of a module's classes and functions."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return frozenset(each.name for each in _tree(text, shown).body if isinstance(each, kinds))


def with_row(text: str, shown: str, table: str, row: str) -> str:
    """A table, a list of rows or a `Literal` with one row more at its end.

    Args:
        text: the module.
        shown: its name, for what is said about it.
        table: name of the variable, or `Class.field` whose annotation it is.
        row: the row's lines, with the comma.

    Raises:
        WorkspaceError: there is no such table, or its rows are written otherwise.
    """
    found = _table(_tree(text, shown), table, shown)
    last = list(_rows(found))[-1:]
    lines = text.split("\n")
    for each in last:
        ends, closes = each.end_lineno or 0, found.end_lineno or 0
        rest = lines[ends - 1].encode()[each.end_col_offset or 0 :]
        if rest.strip() == b"," and closes > ends:
            first = lines[each.lineno - 1]
            blank = first[: len(first) - len(first.lstrip())]
            return _inserted(lines, ends, indent(row, blank))
    raise _no_place(shown, f"the last row of {table} (on lines of its own, a comma after it)")


def with_import(text: str, shown: str, module: str, name: str) -> str:
    """The module with `from module import name` among those of this project, in their order."""
    own = [
        each
        for each in _tree(text, shown).body
        if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("kdgat.")
    ]
    if not own:
        raise _no_place(shown, "an import of this project")
    later = [each for each in own if natural(each.module or "") > natural(module)]
    line = later[0].lineno - 1 if later else own[-1].end_lineno or 0
    return _inserted(text.split("\n"), line, f"from {module} import {name}")


def with_imported_class(text: str, shown: str, module: str, name: str) -> str:
    """The module with one more class in `from module import (...)`, in the order of its names."""
    for each in _tree(text, shown).body:
        if isinstance(each, ast.ImportFrom) and each.module == module:
            first = each.names[0].lineno
            if first == each.lineno or each.end_lineno == each.names[-1].lineno:
                break
            classes = [one for one in each.names if one.name != one.name.upper()]
            later = [one for one in classes if natural(one.name) > natural(name)]
            line = later[0].lineno - 1 if later else each.names[-1].lineno
            return _inserted(text.split("\n"), line, f"    {name},")
    raise _no_place(shown, f"`from {module} import (...)` with a name a line")


def with_class_before(text: str, shown: str, variable: str, code: str) -> str:
    """The module with a class above the variable that collects such classes."""
    for each in _tree(text, shown).body:
        if _assigned(each) == variable:
            return _inserted(text.split("\n"), each.lineno - 1, f"{code.rstrip()}\n\n")
    raise _no_place(shown, f"`{variable} =`")


def with_union_member(text: str, shown: str, alias: str, member: str) -> str:
    """The module with one more class in `alias = Annotated[One | Other, ...]`."""
    found = _table(_tree(text, shown), alias, shown)
    whole = found.slice if isinstance(found, ast.Subscript) else None
    union = whole.elts[0] if isinstance(whole, ast.Tuple) else None
    if not isinstance(union, ast.BinOp):
        raise _no_place(shown, f"`{alias} = Annotated[One | Other, ...]`")
    lines, line = text.split("\n"), (union.right.end_lineno or 0) - 1
    raw, end = lines[line].encode(), union.right.end_col_offset or 0
    lines[line] = f"{raw[:end].decode()}\n    | {member}{raw[end:].decode()}"
    return "\n".join(lines)


def with_case(text: str, shown: str, function: str, case: str) -> str:
    """The module with a case more in a function's `match`, above `case _:` where there is one."""
    for each in _tree(text, shown).body:
        if isinstance(each, ast.FunctionDef) and each.name == function:
            for match in (one for one in ast.walk(each) if isinstance(one, ast.Match)):
                last = match.cases[-1]
                others = isinstance(last.pattern, ast.MatchAs) and last.pattern.name is None
                line = last.pattern.lineno - 1 if others else last.body[-1].end_lineno or 0
                blank = " " * (match.col_offset + 4)
                return _inserted(text.split("\n"), line, indent(case, blank))
    raise _no_place(shown, f"a `match` in {function}()")


def sorted_imports(text: str) -> str:
    """The text with its lines `from kdgat...` and `from tests...` in the order of the modules.

    They follow each other, one import a line; their order may depend on a name that was filled in.
    """
    lines = text.split("\n")
    own = [each for each in lines if each.startswith(("from kdgat.", "from tests."))]
    if own:
        first = lines.index(own[0])
        ordered = sorted(own, key=lambda line: natural(line.split()[1]))
        lines[first : first + len(own)] = ordered
    return "\n".join(lines)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts names as the linter does: without case, and numbers by their value."""
    parts = re.findall(r"\d+|\D", name.lower())
    return [(0, int(each), "") if each.isdigit() else (1, ord(each), each) for each in parts]


def _tree(text: str, shown: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise WorkspaceError(
            f"'{shown}', line {error.lineno or 0} is no Python: {error.msg}",
            hint="mend that line first, then call this again",
        ) from error


def _table(tree: ast.Module, name: str, shown: str) -> ast.expr:
    """The value of a variable, or the annotation of `Class.field`."""
    owner, _, field = name.rpartition(".")
    for each in tree.body:
        if owner and isinstance(each, ast.ClassDef) and each.name == owner:
            for line in each.body:
                if isinstance(line, ast.AnnAssign) and _assigned(line) == field:
                    return line.annotation
        elif not owner and _assigned(each) == name:
            value = each.value if isinstance(each, ast.Assign | ast.AnnAssign) else None
            if value is not None:
                return value
    raise _no_place(shown, f"`{name}`")


def _assigned(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign):
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def _rows(table: ast.expr) -> Iterator[ast.expr]:
    """A dict's values, a tuple's elements, those that a comprehension goes over, a Literal's."""
    match table:
        case ast.Dict():
            yield from table.values
        case ast.Tuple():
            yield from table.elts
        case ast.DictComp():
            yield from _rows(table.generators[0].iter)
        case ast.Subscript():
            yield from _rows(table.slice)
        case _:
            yield table


def _inserted(lines: list[str], line: int, new: str) -> str:
    return "\n".join((*lines[:line], new, *lines[line:]))


def _no_place(shown: str, what: str) -> WorkspaceError:
    return WorkspaceError(
        f"'{shown}' has no place for a new entry: looked for {what}",
        hint=f"compare it with kdgat's own (`git diff {shown}`), or write the entry by hand",
    )
