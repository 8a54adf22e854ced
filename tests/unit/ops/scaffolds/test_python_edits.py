"""Rows, imports, classes and cases go where they belong, and no other line moves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kdgat.errors import WorkspaceError
from kdgat.ops.scaffolds.python_edits import (
    natural,
    sorted_imports,
    strings,
    with_case,
    with_class_before,
    with_import,
    with_imported_class,
    with_row,
    with_union_member,
)

CHECKOUT = Path(__file__).parents[4]
MODULE = '''"""Some tables."""

from typing import Annotated, Literal

from kdgat.configs.model import (
    ALL,
    GatConfig,
    MlpConfig,
)
from kdgat.models.gat import Gat
from kdgat.models.mlp import Mlp

Kind = Literal[
    "gat",
    "mlp",
]

TABLE: dict[str, object] = {
    "gat": Gat,  # the first one
    "mlp": Mlp,
}


class Stage:
    """A stage."""

    how: Literal[
        "gradient",
    ] = "gradient"


Config = Annotated[
    GatConfig
    | MlpConfig,
    "kind",
]


def choose(kind: Kind) -> object:
    """A choice."""
    match kind:
        case "gat":
            return Gat
        case _:
            return Mlp


ONE_LINE = {"gat": Gat, "mlp": Mlp}
'''


def added(new: str) -> list[str]:
    """The lines that are new; all others must be there in their order."""
    left = iter(new.split("\n"))
    more: list[str] = []
    for old in MODULE.split("\n"):
        for line in left:
            if line == old:
                break
            more.append(line)
        else:
            pytest.fail(f"the line is gone: {old}")
    ast.parse(new)
    return [*more, *left]


@pytest.mark.parametrize(("table", "row", "line"), [
    ("Kind", '"edge",', '    "edge",'),
    ("TABLE", '"edge": Edge,', '    "edge": Edge,'),
    ("Stage.how", '"counts",', '        "counts",'),
])  # fmt: skip
def test_a_row_is_the_last_of_its_table(table: str, row: str, line: str) -> None:
    new = with_row(MODULE, "a.py", table, row)
    assert added(new) == [line]
    assert "edge" in new or "counts" in strings(new, "a.py", table)


@pytest.mark.parametrize(("module", "after"), [
    ("kdgat.models.edge", "from kdgat.configs.model import ("),
    ("kdgat.models.gat10", "from kdgat.models.gat import Gat"),
    ("kdgat.models.zero", "from kdgat.models.mlp import Mlp"),
])  # fmt: skip
def test_an_import_stands_in_its_order(module: str, after: str) -> None:
    new = with_import(MODULE, "a.py", module, "New")
    assert added(new) == [f"from {module} import New"]
    assert new.index(after) < new.index(f"from {module} import")


@pytest.mark.parametrize("name", ["EdgeConfig", "HeadConfig", "ZeroConfig"])
def test_an_imported_class_stands_in_its_order_behind_constants(name: str) -> None:
    new = with_imported_class(MODULE, "a.py", "kdgat.configs.model", name)
    assert added(new) == [f"    {name},"]
    names = ["GatConfig", "MlpConfig", name]
    assert sorted(names, key=natural) == sorted(names, key=lambda each: new.index(f"    {each},"))
    assert new.index("    ALL,") < new.index(f"    {name},")


def test_a_class_goes_above_the_variable_that_collects_it() -> None:
    new = with_class_before(MODULE, "a.py", "Config", "class EdgeConfig:\n    pass\n")
    assert added(new) == ["class EdgeConfig:", "    pass", "", ""]


def test_a_union_gets_one_more() -> None:
    new = with_union_member(MODULE, "a.py", "Config", "EdgeConfig")
    assert "    | MlpConfig\n    | EdgeConfig,\n" in new


def test_a_case_goes_above_the_one_for_all_others() -> None:
    new = with_case(MODULE, "a.py", "choose", 'case "edge":\n    return None')
    assert added(new) == ['        case "edge":', "            return None"]
    assert new.index('case "edge"') < new.index("case _:")


def test_without_a_case_for_all_others_it_is_the_last() -> None:
    text = MODULE.replace("case _:", 'case "mlp":')
    new = with_case(text, "a.py", "choose", 'case "edge":\n    return None')
    assert new.index('case "mlp"') < new.index('case "edge"')
    ast.parse(new)


def test_a_table_on_one_line_is_refused_with_its_name() -> None:
    with pytest.raises(WorkspaceError, match="last row of ONE_LINE"):
        with_row(MODULE, "a.py", "ONE_LINE", '"edge": Edge,')


def test_what_is_not_there_is_named() -> None:
    for edit in (
        lambda: with_row(MODULE, "a.py", "GONE", "1,"),
        lambda: with_case(MODULE, "a.py", "gone", "case 1:\n    pass"),
        lambda: with_class_before(MODULE, "a.py", "Gone", "class A: ..."),
        lambda: with_union_member(MODULE, "a.py", "Kind", "A"),
        lambda: with_imported_class(MODULE, "a.py", "kdgat.gone", "A"),
        lambda: with_import("x = 1\n", "a.py", "kdgat.models.edge", "A"),
    ):
        with pytest.raises(WorkspaceError, match=r"'a.py' has no place"):
            edit()


def test_what_is_no_python_is_named_with_its_line() -> None:
    with pytest.raises(WorkspaceError, match=r"'a.py', line 2 is no Python"):
        with_row("x = 1\ny = (\n", "a.py", "x", "1,")


def test_imports_of_a_rendered_module_are_put_in_order() -> None:
    text = (
        '"""A."""\n\nfrom kdgat.models.zero import A\nfrom kdgat.models.table import B\n\nx = 1\n'
    )
    assert sorted_imports(text).split("\n")[2:4] == [
        "from kdgat.models.table import B",
        "from kdgat.models.zero import A",
    ]


def test_numbers_in_names_are_sorted_by_their_value() -> None:
    assert sorted(["gat10", "gat_b", "gat2", "Gata"], key=natural) == [
        "gat2", "gat10", "gat_b", "Gata",
    ]  # fmt: skip


@pytest.mark.parametrize(("file", "table"), [
    ("kdgat/configs/model.py", "Kind"),
    ("kdgat/configs/dataset.py", "Format"),
    ("kdgat/models/table.py", "MODELS"),
    ("kdgat/stages/table.py", "STAGES"),
    ("kdgat/stages/table.py", "Stage.how"),
    ("kdgat/data/formats/__init__.py", "FORMATS"),
    ("kdgat/data/formats/__init__.py", "SUFFIXES"),
])  # fmt: skip
def test_every_table_of_the_project_takes_a_row(file: str, table: str) -> None:
    text = (CHECKOUT / file).read_text()
    row = '"new": "new",' if table in ("MODELS", "FORMATS", "SUFFIXES") else '"new",'
    new = with_row(text, file, table, row)
    assert len(new.split("\n")) == len(text.split("\n")) + 1
    assert "new" in strings(new, file, table)
