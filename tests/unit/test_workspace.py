"""The workspace: where its root and its home are, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.errors import WorkspaceError
from kdgat.workspace import Workspace

TABLE = "[tool.kdgat]\n"


def checkout(folder: Path, text: str = TABLE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder.resolve()


def refusal(start: Path, environ: dict[str, str] | None = None) -> WorkspaceError:
    with pytest.raises(WorkspaceError) as caught:
        Workspace.find(start, environ or {})
    return caught.value


def test_the_root_is_found_by_walking_up(tmp_path: Path) -> None:
    root = checkout(tmp_path / "lab")
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    assert Workspace.find(deep, {}).root == root
    assert Workspace.find(root, {}).root == root


def test_the_current_folder_is_where_the_search_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "lab")
    monkeypatch.chdir(root)
    monkeypatch.delenv("KDGAT_ROOT", raising=False)
    monkeypatch.setenv("KDGAT_HOME", "elsewhere")
    assert Workspace.find() == Workspace(root=root, home=root / "elsewhere")


def test_a_nested_project_that_is_no_workspace_is_passed_by(tmp_path: Path) -> None:
    root = checkout(tmp_path / "lab")
    nested = checkout(root / "paper", '[project]\nname = "paper"\n')
    assert Workspace.find(nested, {}).root == root


def test_the_nearest_of_two_nested_workspaces_is_taken(tmp_path: Path) -> None:
    inner = checkout(checkout(tmp_path / "outer") / "inner")
    assert Workspace.find(inner, {}).root == inner


def test_kdgat_root_wins_over_the_current_folder(tmp_path: Path) -> None:
    here, there = checkout(tmp_path / "here"), checkout(tmp_path / "there")
    assert Workspace.find(here, {"KDGAT_ROOT": str(there)}).root == there


def test_an_empty_kdgat_root_counts_as_unset(tmp_path: Path) -> None:
    root = checkout(tmp_path / "lab")
    assert Workspace.find(root, {"KDGAT_ROOT": "", "KDGAT_HOME": ""}).home == root / ".kdgat"


def test_kdgat_root_may_start_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    root = checkout(tmp_path / "lab")
    assert Workspace.find(tmp_path, {"KDGAT_ROOT": "~/lab"}).root == root


def test_a_kdgat_root_that_is_no_checkout_is_named(tmp_path: Path) -> None:
    error = refusal(checkout(tmp_path / "lab"), {"KDGAT_ROOT": str(tmp_path / "nowhere")})
    assert error.problem == (
        f"KDGAT_ROOT is '{tmp_path.resolve()}/nowhere', "
        "where no pyproject.toml has a [tool.kdgat] table"
    )
    assert error.hint == "unset KDGAT_ROOT, or set it to the folder of a kdgat checkout"


def test_no_workspace_above_is_said_with_the_folder(tmp_path: Path) -> None:
    error = refusal(tmp_path)
    assert error.problem == (
        f"no pyproject.toml with a [tool.kdgat] table in '{tmp_path.resolve()}' or above"
    )
    assert error.hint == "change into a kdgat checkout, or set KDGAT_ROOT to one"


def test_invalid_toml_is_said_with_file_and_line(tmp_path: Path) -> None:
    error = refusal(checkout(tmp_path / "lab", "[tool.kdgat\n"))
    assert f"'{tmp_path.resolve()}/lab/pyproject.toml' is not valid TOML" in error.problem
    assert "line 1" in error.problem
    assert error.hint == "mend that line"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[tool.kdgat]\nhoem = "x"\n', "[tool.kdgat]: unknown setting 'hoem'"),
        ("[tool.kdgat]\nhome = 3\n", "[tool.kdgat]: home = 3"),
        ("[tool]\nkdgat = 3\n", "tool.kdgat is 3, not a table"),
    ],
)
def test_a_wrong_setting_is_said_with_its_value(tmp_path: Path, text: str, fault: str) -> None:
    error = refusal(checkout(tmp_path / "lab", text))
    assert "lab/pyproject.toml" in error.problem
    assert error.problem.endswith(fault)
    assert error.hint


def test_a_pyproject_without_tool_tables_is_passed_by(tmp_path: Path) -> None:
    root = checkout(tmp_path / "lab")
    assert Workspace.find(checkout(root / "odd", "tool = 3\n"), {}).root == root


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    root = checkout(tmp_path / "lab")
    (root / "pyproject.toml").write_bytes(b"\xff\xfe")
    assert refusal(root).problem.startswith(f"can't read '{root}/pyproject.toml': ")


def test_a_file_that_can_not_be_opened_is_named(tmp_path: Path) -> None:
    # A folder of that name is refused to everybody, a file without permission not to root.
    (tmp_path / "pyproject.toml").mkdir()
    problem = refusal(tmp_path).problem
    assert problem.startswith(f"can't read '{tmp_path.resolve()}/pyproject.toml': ")


def test_the_home_is_dot_kdgat_when_nothing_says_otherwise(tmp_path: Path) -> None:
    root = checkout(tmp_path / "lab")
    assert Workspace.find(root, {}).home == root / ".kdgat"


def test_an_empty_home_setting_never_makes_the_checkout_itself_the_home(tmp_path: Path) -> None:
    root = checkout(tmp_path / "lab", '[tool.kdgat]\nhome = ""\n')
    assert Workspace.find(root, {}).home == root / ".kdgat"


def test_the_home_setting_is_relative_to_the_root(tmp_path: Path) -> None:
    root = checkout(tmp_path / "lab", '[tool.kdgat]\nhome = "work"\n')
    deep = root / "a"
    deep.mkdir()
    assert Workspace.find(deep, {}).home == root / "work"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("/scratch/me", "/scratch/me"), ("work/kdgat", "{root}/work/kdgat"), ("~/k", "{home}/k")],
)
def test_kdgat_home_wins_over_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    root = checkout(tmp_path / "lab", '[tool.kdgat]\nhome = "work"\n')
    home = Workspace.find(root, {"KDGAT_HOME": given}).home
    assert str(home) == expected.format(root=root, home=tmp_path / "me")


@pytest.mark.parametrize("name", ["KDGAT_HOME", "KDGAT_ROOT"])
def test_the_home_folder_of_nobody_is_an_error(tmp_path: Path, name: str) -> None:
    error = refusal(checkout(tmp_path / "lab"), {name: "~nobody-of-this-name/x"})
    assert error.problem == (
        "'~nobody-of-this-name/x' starts with the home folder of somebody unknown here"
    )


def test_everything_written_lies_under_the_home(tmp_path: Path) -> None:
    ws = Workspace(root=tmp_path, home=tmp_path / "h")
    found = (ws.data, ws.runs, ws.memory, ws.journal, ws.history, ws.mlflow, ws.dataset("set_01"))
    parts = ("data", "runs", "memory", "journal", "history", "mlflow", "data/set_01")
    assert found == tuple(tmp_path / "h" / part for part in parts)


def test_paths_inside_are_shown_relative_and_others_whole(tmp_path: Path) -> None:
    ws = Workspace(root=tmp_path / "lab", home=Path("/scratch/me"))
    assert ws.show(ws.root / "a" / "b") == "a/b"
    assert ws.show(ws.runs) == "/scratch/me/runs"
    assert ws.show(tmp_path / "labs") == str(tmp_path / "labs")
