"""The rules of the house that no type checker sees: who imports what, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kdgat

PACKAGE = Path(kdgat.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
SCIENCE = ("configs", "ledger", "data", "models", "training", "memory", "stages")
START_PROCESSES = {
    "agent/hook_processes.py",
    "knowledge/checkout.py",
    "ledger/environment.py",
    "slurm/client.py",
    "slurm/local.py",
    "slurm/snapshot.py",
}
BECOME_ANOTHER = {"cli/tracking.py": ["execv"]}
"""`kdgat mlflow ui` turns into MLflow's own process; it starts none."""
KNOW_HYDRA = {"configs/compose.py"}
PROCESS_CALLS = {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "startfile"}


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it: at the top or in a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} imports relatively"
            yield node.module or ""


def importers(*libraries: str) -> set[str]:
    return {
        name(path)
        for path in MODULES
        if {module.partition(".")[0] for module in imports(path)} & set(libraries)
    }


def newly_loaded(statement: str) -> set[str]:
    """Libraries beyond Python's own that a statement loads in a fresh process."""
    code = (
        "import sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split()) - set(sys.stdlib_module_names)


def test_importing_the_package_loads_nothing_but_itself() -> None:
    assert newly_loaded("import kdgat") == {"kdgat"}


@pytest.mark.parametrize(
    "module", ["errors", "workspace", "progress", "ledger.folder", "ledger.scan", "stages"]
)
def test_what_every_command_needs_loads_no_library(module: str) -> None:
    assert newly_loaded(f"import kdgat.{module}") == {"kdgat"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "ledger").glob("*.py")), ids=name)
def test_the_ledger_imports_only_the_standard_library_and_the_errors(path: Path) -> None:
    own = {module for module in imports(path) if module.partition(".")[0] == "kdgat"}
    others = {module.partition(".")[0] for module in imports(path)} - {"kdgat"}
    assert others <= set(sys.stdlib_module_names)
    assert {module for module in own if not module.startswith("kdgat.ledger.")} <= {"kdgat.errors"}


def test_one_module_alone_knows_hydra() -> None:
    assert importers("hydra", "hydra_zen", "omegaconf") == KNOW_HYDRA


def test_science_knows_no_tracker_database_command_line_or_agent() -> None:
    faces = importers("mlflow", "duckdb", "typer", "mcp")
    assert {path for path in faces if path.startswith(SCIENCE)} == set()


def test_only_the_named_adapters_start_processes() -> None:
    assert importers("subprocess", "pty") == START_PROCESSES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_starts_a_process_by_way_of_os(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and (node.attr in PROCESS_CALLS or node.attr.startswith(("exec", "spawn")))
    ]
    assert calls == BECOME_ANOTHER.get(name(path), [])


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=name)
def test_the_init_of_a_folder_holds_a_docstring_and_at_most_tables(path: Path) -> None:
    first, *rest = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(first, ast.Expr)
    assert isinstance(first.value, ast.Constant)
    for node in rest:
        assert isinstance(node, ast.Assign | ast.AnnAssign | ast.ImportFrom | ast.Expr)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
            assert calls == [], f"line {node.lineno} computes"
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), f"line {node.lineno} is no docstring"


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in MODULES}
    assert {name(folder) for folder in folders if not (folder / "__init__.py").is_file()} == set()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
