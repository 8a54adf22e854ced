"""`kdgat agent`: the agent's files in a checkout, of kdgat itself and of somebody else's code."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faces.conftest import Command, Tiny

Process = Callable[..., subprocess.CompletedProcess[str]]
MADE = ("AGENTS.md", "CLAUDE.md", ".mcp.json", ".claude/settings.json")


@pytest.fixture
def lab(empty: Tiny) -> Path:
    """A checkout of somebody's own code, which uses kdgat; set up for an agent by nobody yet."""
    package = empty.root / "thesis"
    package.mkdir()
    (package / "__init__.py").write_text('"""What the thesis computes. Chapter by chapter."""\n')
    (package / "figures.py").write_text('"""Every figure."""\nfrom thesis import tables\n')
    (package / "tables.py").write_text('"""Every table."""\n')
    (empty.root / "run_all.py").write_text('"""All of it, overnight."""\n')
    return empty.root


@pytest.fixture
def agents(lab: Path, kdgat: Command) -> Path:
    """Its AGENTS.md, after the set-up."""
    assert kdgat("agent", "install").code == 0
    return lab / "AGENTS.md"


def times(root: Path) -> dict[str, int]:
    return {name: (root / name).stat().st_mtime_ns for name in MADE}


def test_a_set_up_makes_four_files_and_tells_what_it_made(lab: Path, kdgat: Command) -> None:
    said = kdgat("agent", "install")
    assert said.err == ""
    for name in MADE:
        assert (lab / name).is_file()
        assert f"{name}: made" in said.out
    assert (lab / "CLAUDE.md").read_text() == "@AGENTS.md\n"
    server = json.loads((lab / ".mcp.json").read_text())["mcpServers"]["kdgat"]
    assert server == {"command": "uv", "args": ["run", "kdgat", "mcp"]}
    asked = json.loads((lab / ".claude/settings.json").read_text())["permissions"]["ask"]
    assert "Bash(uv run kdgat mode:*)" in asked


def test_the_map_is_of_the_code_that_is_there(agents: Path) -> None:
    text = agents.read_text()
    assert "## `thesis/`: a line imports only from lines below it" in text
    assert text.index("- `figures` Every figure") < text.index("- `tables` Every table")
    assert "- `run_all.py` All of it, overnight" in text
    assert "- runs: list show" in text
    assert "max_epochs=" in text
    assert str(agents.parent) not in text


def test_without_any_code_there_is_no_map_and_all_else(empty: Tiny, kdgat: Command) -> None:
    assert kdgat("agent", "install").code == 0
    text = (empty.root / "AGENTS.md").read_text()
    assert "kdgat:begin map" not in text
    assert "kdgat:begin commands" in text
    assert kdgat("agent", "check").code == 0


def test_what_the_user_had_in_the_files_is_kept(lab: Path, kdgat: Command) -> None:
    (lab / "AGENTS.md").write_bytes(b"# Our rules\r\nBe kind.\r\n")
    (lab / "CLAUDE.md").write_text("# For Claude\n")
    (lab / ".mcp.json").write_text('{"mcpServers": {"other": {"command": "x"}}}\n')
    (lab / ".claude").mkdir()
    (lab / ".claude/settings.json").write_text('{"model": "mine"}\n')
    said = kdgat("agent", "install")
    assert said.out.count(": merged") == 4
    assert (lab / "AGENTS.md").read_bytes().startswith(b"# Our rules\r\nBe kind.\r\n\n<!-- kdgat")
    assert (lab / "CLAUDE.md").read_text() == "@AGENTS.md\n\n# For Claude\n"
    assert json.loads((lab / ".mcp.json").read_text())["mcpServers"]["other"] == {"command": "x"}
    assert json.loads((lab / ".claude/settings.json").read_text())["model"] == "mine"


def test_a_text_by_hand_outside_the_marks_outlives_a_render(agents: Path, kdgat: Command) -> None:
    before = agents.read_text()
    agents.write_text(f"Top of mine\n{before}Below, mine\n")
    (agents.parent / "thesis" / "new.py").write_text('"""New things."""\n')
    assert kdgat("agent", "render").code == 0
    after = agents.read_text()
    assert after.startswith("Top of mine\n")
    assert after.endswith("Below, mine\n")
    assert "- `new` New things" in after


@pytest.mark.parametrize(("link", "file"), [("CLAUDE.md", "AGENTS.md"), ("AGENTS.md", "CLAUDE.md")])
def test_where_one_file_is_a_link_to_the_other_it_stays_one(
    lab: Path, kdgat: Command, link: str, file: str
) -> None:
    (lab / file).write_text("# Ours\n")
    (lab / link).symlink_to(file)
    assert kdgat("agent", "install").code == 0
    assert (lab / link).is_symlink()
    text = (lab / file).read_text()
    assert text.startswith("# Ours\n\n<!-- kdgat:begin map")
    assert "@AGENTS.md" not in text.replace("`@AGENTS.md`", "")
    assert kdgat("agent", "check").code == 0


def test_a_render_without_a_change_writes_nothing(agents: Path, kdgat: Command) -> None:
    before = times(agents.parent)
    report = kdgat("agent", "render", "--json").json
    assert report["written"] is False
    assert {each["state"] for each in report["files"]} == {"unchanged"}
    assert times(agents.parent) == before


def test_a_render_writes_only_what_changed(agents: Path, kdgat: Command) -> None:
    before = times(agents.parent)
    (agents.parent / "thesis/tables.py").write_text('"""All tables."""\n')
    assert kdgat("agent", "render", "--quiet") == type(kdgat("--version"))(0, "", "")
    after = times(agents.parent)
    assert {name for name in MADE if before[name] != after[name]} == {"AGENTS.md"}
    assert "All tables" in agents.read_text()


def test_an_edit_that_shows_nowhere_makes_nothing_stale(agents: Path, kdgat: Command) -> None:
    with (agents.parent / "thesis/tables.py").open("a") as file:
        file.write("\n\ndef table() -> None:\n    import json\n")
    assert kdgat("agent", "check").code == 0


def test_a_dry_run_tells_and_writes_nothing(agents: Path, kdgat: Command) -> None:
    before = agents.read_bytes()
    (agents.parent / "thesis/tables.py").write_text('"""All tables."""\n')
    assert "AGENTS.md: would be changed" in kdgat("agent", "render", "--dry-run").out
    assert agents.read_bytes() == before


def test_a_dry_set_up_writes_nothing_at_all(lab: Path, kdgat: Command) -> None:
    before = sorted(lab.rglob("*"))
    assert "AGENTS.md: would be made" in kdgat("agent", "install", "--dry-run").out
    assert sorted(lab.rglob("*")) == before


def test_a_check_names_section_and_input_and_ends_with_1(agents: Path, kdgat: Command) -> None:
    (agents.parent / "thesis/tables.py").write_text('"""All tables."""\n')
    (agents.parent / "thesis/new.py").write_text("")
    said = kdgat("agent", "check")
    assert said.code == 1
    assert (
        "stale: AGENTS.md, map: changed: thesis/tables, imports in thesis; new: thesis/new"
        in said.out
    )
    assert "next: kdgat agent render" in said.out


def test_a_check_in_a_fresh_clone_names_the_lines(agents: Path, kdgat: Command) -> None:
    """The notes on facts are in the home folder, which no clone has."""
    (agents.parent / ".kdgat/agent/sections.json").unlink()
    (agents.parent / "thesis/tables.py").write_text('"""All tables."""\n')
    said = kdgat("agent", "check")
    assert said.code == 1
    assert "there is '- `tables` Every table'; it should have '- `tables` All tables'" in said.out


def test_a_check_tells_an_edit_between_the_marks(agents: Path, kdgat: Command) -> None:
    agents.write_text(agents.read_text().replace("Every table", "Each table"))
    said = kdgat("agent", "check")
    assert said.code == 1
    assert "map: its text was changed by hand" in said.out
    assert kdgat("agent", "render").code == 0
    assert "Every table" in agents.read_text()


def test_a_check_names_a_file_that_is_gone(agents: Path, kdgat: Command) -> None:
    (agents.parent / ".mcp.json").unlink()
    said = kdgat("agent", "check", "--json")
    assert said.code == 1
    assert json.loads(said.out)["stale"] == [
        {"file": ".mcp.json", "section": "", "cause": "it is missing"}
    ]


def test_a_check_and_a_diff_write_nothing(agents: Path, kdgat: Command) -> None:
    (agents.parent / "thesis/tables.py").write_text('"""All tables."""\n')

    def all_times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in agents.parent.rglob("*")}

    before = all_times()
    assert kdgat("agent", "check").code == 1
    assert kdgat("agent", "diff").code == 0
    assert all_times() == before


def test_a_diff_is_what_a_render_changes(agents: Path, kdgat: Command) -> None:
    assert kdgat("agent", "diff").out == "nothing: it is what this checkout gives\n"
    (agents.parent / "thesis/tables.py").write_text('"""All [tables]."""\n')
    diff = kdgat("agent", "diff").out
    assert "--- a/AGENTS.md\n+++ b/AGENTS.md\n" in diff
    assert "-- `tables` Every table\n" in diff
    assert "+- `tables` All [tables]\n" in diff
    done = subprocess.run(
        ["git", "apply", "-"], input=diff, text=True, cwd=agents.parent, check=False
    )
    assert done.returncode == 0
    assert kdgat("agent", "check").code == 0


@pytest.mark.usefixtures("lab")
def test_a_render_before_any_set_up_says_how_to_set_up(kdgat: Command) -> None:
    kdgat("agent", "render").mistake("AGENTS.md has no section of kdgat's", "kdgat agent install")


def test_damaged_marks_are_told_by_line_and_nothing_is_written(
    agents: Path, kdgat: Command
) -> None:
    agents.write_text(agents.read_text().replace("<!-- kdgat:end map -->\n", ""))
    before = times(agents.parent)
    for face in ("render", "check", "diff", "install"):
        kdgat("agent", face).mistake("AGENTS.md:5: section 'map' begins and never ends")
    assert times(agents.parent) == before


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        (".claude/settings.json", "{,}", ".claude/settings.json:1: not JSON"),
        (".mcp.json", "[]", ".mcp.json:1: no JSON object"),
        ("agent/hooks.toml", "[hooks\n", "'agent/hooks.toml' is no TOML"),
        ("agent/hooks.toml", "[[hooks.Stop]]\nmatcher = 'x'\n", "hooks.Stop.command is 'None'"),
        ("agent/hooks.toml", "[[hooks.Stop]]\ntimeout = 3\n", "unknown setting 'timeout'"),
        ("agent/AGENTS.md", "# No budget\n", "agent/AGENTS.md:1: the template names no budget"),
        (
            "agent/AGENTS.md",
            "<!-- kdgat:template budget_tokens=99 -->\n<!-- kdgat:section mop rank=1 -->\n",
            "agent/AGENTS.md:2: there is no section 'mop'",
        ),
        (
            "agent/AGENTS.md",
            "<!-- kdgat:template budget_tokens=many -->\n",
            "agent/AGENTS.md:1: budget_tokens is 'many'",
        ),
        ("agent/AGENTS.md", "\n<!-- kdgat:section map -->\n", ":2: rank is not set"),
        ("modes/mine.md", "no front matter\n", "modes/mine.md:1"),
    ],
)
def test_a_mistake_in_a_file_is_told_by_its_name_and_nothing_is_written(
    agents: Path, kdgat: Command, file: str, text: str, problem: str
) -> None:
    path = agents.parent / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    before = times(agents.parent)
    kdgat("agent", "render").mistake(problem)
    assert times(agents.parent) == before


def test_over_the_budget_a_section_is_left_out_and_named(agents: Path, kdgat: Command) -> None:
    shipped = Path(__file__).parents[2] / "agent" / "AGENTS.md"
    own = agents.parent / "agent" / "AGENTS.md"
    own.parent.mkdir()
    own.write_text(shipped.read_text().replace("budget_tokens=1850", "budget_tokens=500"))
    report = kdgat("agent", "render", "--json").json
    assert report["tokens"] <= report["budget_tokens"] == 500
    left = [each["name"] for each in report["sections"] if each["state"] == "left out"]
    assert left
    assert f"Section '{left[0]}' is left out" in agents.read_text()


def test_the_context_is_the_same_in_every_mode(agents: Path, kdgat: Command) -> None:
    assert kdgat("mode", "research").code == 0
    assert kdgat("agent", "check").code == 0


def test_a_stamp_has_time_and_size_of_what_the_context_is_made_from(
    agents: Path, kdgat: Command
) -> None:
    def stamp() -> dict[str, list[int] | None]:
        return json.loads((agents.parent / ".kdgat/agent/context.json").read_text())["inputs"]

    found = agents.parent / "thesis" / "tables.py"
    assert stamp()["thesis/tables.py"] == [found.stat().st_mtime_ns, found.stat().st_size]
    assert stamp()["AGENTS.md"] == [agents.stat().st_mtime_ns, agents.stat().st_size]
    assert stamp()["agent/rules"] is None
    os.utime(found, ns=(1, 1))
    assert kdgat("agent", "render").code == 0
    assert stamp()["thesis/tables.py"] == [1, found.stat().st_size]


@pytest.mark.usefixtures("agents")
def test_neither_a_check_nor_a_render_loads_torch(process: Process) -> None:
    heavy = {"torch", "duckdb", "mlflow", "lightning", "polars", "mcp", "matplotlib", "hydra"}
    code = (
        "import sys; from kdgat.cli.main import main; sys.argv[1:] = ['agent', WORD]\n"
        "try:\n main()\nexcept SystemExit:\n pass\n"
        f"print('LOADED', sorted(set(sys.modules) & {heavy!r}))"
    )
    for word in ("check", "render"):
        done = process("-c", code.replace("WORD", repr(word)))
        assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr
