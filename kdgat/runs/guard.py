"""What SQL of users and agents may be: one statement that reads the views and nothing else.

DuckDB parses the statement itself (`json_serialize_sql`), and every node of the tree must be one
that is known here: tables are views or the statement's own WITH names, functions are those of
`functions.py`. The database behind is closed too (`database.py`), so this is the first of two walls
and the one that can say in words what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from kdgat.errors import HistoryError, did_you_mean
from kdgat.runs.database import any_database
from kdgat.runs.functions import TABLE_FUNCTIONS, may_be_called
from kdgat.runs.views import VIEWS

if TYPE_CHECKING:
    import duckdb

MAX_STATEMENT_CHARACTERS = 20_000
"""A longer statement is no question."""
_MEMORY_MB = 256
_QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_SOURCES = frozenset({
    "BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY", "EXPRESSION_LIST", "PIVOT",
    "SHOW_REF",
})  # fmt: skip
_MODIFIERS = frozenset({
    "ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER",
    "ASCENDING", "DESCENDING", "ORDER_DEFAULT",
})  # fmt: skip
_EXPRESSIONS = frozenset({
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT",
    "FUNCTION", "LAMBDA", "LAMBDA_REF", "OPERATOR", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY",
    "TYPE", "WINDOW",
})  # fmt: skip
_RESERVED = ("_", "duckdb_", "pg_", "sqlite_", "pragma_", "information_schema")
"""Beginnings of names that the database keeps for itself; a WITH name may have none of them."""
_VIEW_NAMES = ", ".join(VIEWS)
_HINT = f"ask one SELECT of the views {_VIEW_NAMES}; `kdgat history tables` tells their columns"
_LIST_OF_VIEWS = (
    "select * from (values "
    + ", ".join(f"('{view.name}')" for view in VIEWS.values())
    + ") as views(name)"
)
_EXPLAIN = re.compile(r"\s*explain\s+(?!analyze)(?=[a-z])", re.IGNORECASE)
_FIRST_WORD = re.compile(r"\s*([A-Za-z]+)")
_LISTING = frozenset({"show tables", "show views", "show all tables", ".tables"})


def guarded(sql: str) -> str:
    """The statement to run for what a user or an agent wrote.

    Raises:
        HistoryError: it is no single statement that reads the views and nothing else.
    """
    return _parsed(sql)[0]


def _parsed(sql: str) -> tuple[str, list[_Node]]:
    """The statement to run, and what it consists of."""
    if len(sql) > MAX_STATEMENT_CHARACTERS:
        raise _refused(
            f"the statement has {len(sql):,} characters and may have {MAX_STATEMENT_CHARACTERS:,}"
        )
    if not sql.isprintable() and any(0xD800 <= ord(letter) <= 0xDFFF for letter in sql):
        raise _refused("the statement is no valid Unicode")
    plain = " ".join(sql.split()).rstrip("; ").lower()
    if plain in _LISTING:
        return _LIST_OF_VIEWS, []
    if not plain or "\x00" in sql:
        raise _refused("there is no statement")
    explained = _EXPLAIN.match(sql)
    asked = sql[explained.end() :] if explained else sql
    with any_database(_MEMORY_MB).connection() as parser:
        _check_kind(parser, asked)
        nodes = list(_nodes(_tree(parser, asked)))
    for node in nodes:
        _check(node)
    return sql, nodes


def column_names(sql: str) -> tuple[tuple[str, ...], ...]:
    """The columns that a statement speaks of, in order, each name split at its dots.

    Raises:
        HistoryError: it is no single statement that reads the views and nothing else.
    """
    found = [node.values for node in _parsed(sql)[1] if "column_names" in node.values]
    in_order = sorted(found, key=lambda values: values.get("query_location", 0))
    return tuple(dict.fromkeys(tuple(values["column_names"]) for values in in_order))


def _check_kind(parser: duckdb.DuckDBPyConnection, sql: str) -> None:
    """One statement, of a kind that only reads."""
    import duckdb

    try:
        statements = parser.extract_statements(sql)
    except duckdb.Error as error:
        raise _refused(f"that is no SQL: {_first_line(error)}") from error
    if len(statements) != 1:
        raise _refused(f"there are {len(statements)} statements, and one may be asked")
    if statements[0].type != duckdb.StatementType.SELECT:
        word = _FIRST_WORD.match(sql)
        what = word[1].upper() if word else statements[0].type.name
        raise _refused(f"{what} is refused: the history can be read, and nothing else")


def _tree(parser: duckdb.DuckDBPyConnection, sql: str) -> Any:
    import duckdb

    try:
        row = parser.execute("select json_serialize_sql(?)", [sql]).fetchone()
        tree = json.loads(row[0]) if row else {"error": True}
    except (duckdb.Error, RecursionError, ValueError) as error:
        raise _refused(f"that is no SQL: {_first_line(error)}") from error
    if tree.get("error"):
        raise _refused(f"that can't be asked: {tree.get('error_message', 'unknown')}")
    return tree["statements"]


class _Node(NamedTuple):
    """A mapping of the tree, and what surrounds it."""

    values: dict[str, Any]
    names: frozenset[str]
    """The WITH names that can be meant here."""
    of_table: bool
    """Whether it is the call of a table function."""


def _nodes(tree: Any) -> Iterator[_Node]:
    """Every mapping of the tree."""
    waiting: list[tuple[Any, frozenset[str], bool]] = [(tree, frozenset(), False)]
    while waiting:
        value, names, of_table = waiting.pop()
        if isinstance(value, list):
            waiting += [(item, names, False) for item in value]
        elif isinstance(value, dict):
            if isinstance(value.get("cte_name"), str):
                names |= {value["cte_name"].lower()}
            names, inner = _with(value, names)
            yield _Node(value, names, of_table)
            calls = value.get("type") == "TABLE_FUNCTION"
            waiting += inner
            waiting += [
                (item, names, calls and key == "function")
                for key, item in value.items()
                if key != "cte_map" and isinstance(item, dict | list)
            ]


def _with(
    node: dict[str, Any], names: frozenset[str]
) -> tuple[frozenset[str], list[tuple[Any, frozenset[str], bool]]]:
    """The names after a node's WITH, and its queries, each with the names before it."""
    entries = (node.get("cte_map") or {}).get("map", [])
    inner: list[tuple[Any, frozenset[str], bool]] = []
    for entry in entries:
        name = str(entry["key"]).lower()
        if name.startswith(_RESERVED):
            raise _refused(f"WITH can't define '{name:.80}'")
        inner.append((entry["value"], names, False))
        names |= {name}
    return names, inner


def _check(node: _Node) -> None:
    values, kind = node.values, node.values.get("type")
    if "class" in values:
        if values["class"] not in _EXPRESSIONS:
            raise _refused(f"{_words(values['class'])} is refused")
    elif isinstance(kind, str) and kind not in _QUERIES | _SOURCES | _MODIFIERS:
        raise _refused(f"{_words(kind)} is refused")
    if kind == "BASE_TABLE" or (kind == "SHOW_REF" and values.get("query") is None):
        _check_table(values, node.names)
    if "function_name" in values:
        _check_function(values, of_table=node.of_table)


def _check_table(values: dict[str, Any], names: frozenset[str]) -> None:
    table = str(values.get("table_name", "")).strip('"')
    path = (values.get("qualified_name") or {}).get("path", [table])
    elsewhere = values.get("schema_name") or values.get("catalog_name") or len(path) != 1
    known = table.lower() in VIEWS or (values["type"] == "BASE_TABLE" and table.lower() in names)
    if values.get("at_clause"):
        raise _refused(f"AT is refused: '{table}' has one version")
    if elsewhere or not known:
        full = ".".join(str(part).strip('"') for part in path)
        otherwise = f"the views are {_VIEW_NAMES}"
        hint = otherwise if elsewhere else did_you_mean(table, VIEWS, otherwise=otherwise)
        raise HistoryError(f"there is no view '{full:.80}'", hint=hint)


def _check_function(values: dict[str, Any], *, of_table: bool) -> None:
    name = str(values["function_name"])
    elsewhere = values.get("schema") or values.get("catalog")
    known = name.lower() in TABLE_FUNCTIONS if of_table else may_be_called(name)
    if elsewhere or not known:
        raise _refused(f"{name:.80}() is refused: the views can be read, and nothing else")


def _words(kind: object) -> str:
    return str(kind).removesuffix("_NODE").lower().replace("_", " ")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n")[0].split()).removesuffix(".")


def _refused(problem: str) -> HistoryError:
    return HistoryError(problem, hint=_HINT)
