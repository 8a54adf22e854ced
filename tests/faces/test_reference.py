"""`kdgat reference` and `kdgat docs build`: pages from the code, a site that dirties nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from kdgat.cli.main import app
from kdgat.cli.tree import command_tree
from kdgat.ops.analytics import leaderboard
from kdgat.ops.site import build_site
from kdgat.reference.commands import Command, Parameter, commands_page
from kdgat.reference.leaderboard import leaderboard_page
from kdgat.reference.llms import Entry, llms_text, summary_of
from kdgat.reference.markdown import first_sentence, prose, table
from kdgat.reference.pages import check_reference, reference_pages
from kdgat.reference.sources import operations_of, sections
from kdgat.workspace import Workspace
from tests.faces.conftest import Command as Face
from tests.faces.conftest import Tiny
from tests.unit.runs.judged import judged

CHECKOUT = Path(__file__).parents[2]


def tree() -> Command:
    return command_tree(typer.main.get_command(app))


def copy_of_the_site(root: Path) -> Path:
    """The checkout's pages and settings in a workspace of their own."""
    shutil.copytree(CHECKOUT / "knowledge", root / "knowledge")
    settings = (CHECKOUT / "mkdocs.yml").read_text()
    hook = CHECKOUT / "kdgat" / "reference" / "site_hook.py"
    (root / "mkdocs.yml").write_text(
        settings.replace("- kdgat/reference/site_hook.py", f"- {hook}")
    )
    return root


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class TestPages:
    def test_the_pages_in_the_checkout_are_what_the_code_gives(self) -> None:
        ws = Workspace(root=CHECKOUT, home=CHECKOUT / ".kdgat")
        report = check_reference(ws, reference_pages(tree()))
        assert report.is_current, f"run `uv run kdgat reference write`: {report}"

    def test_every_command_that_is_shown_has_its_section(self) -> None:
        page = commands_page(tree())
        for command in tree().commands:
            for each in command.commands or (command,):
                assert f"`{each.name}` {{#{each.name.replace(' ', '-')}}}" in page
        assert "kdgat work" not in page

    def test_every_operation_that_a_face_calls_is_there(self) -> None:
        found = {f"{each.module}.{each.name}" for module in operations_of()
                 for each in module.operations}  # fmt: skip
        assert {"analytics.leaderboard", "runs.list_runs", "training.train"} <= found
        assert "wanted.wanted_jobs" not in found

    def test_two_processes_give_the_same_text(self) -> None:
        code = (
            "import typer; from kdgat.cli.main import app; from kdgat.cli.tree import command_tree;"
            "from kdgat.reference.pages import reference_pages;"
            "print(reference_pages(command_tree(typer.main.get_command(app))))"
        )
        texts = [
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True,
                env={"PATH": "/usr/bin", "PYTHONHASHSEED": seed, "COLUMNS": columns,
                     "PYTHONPATH": str(CHECKOUT)},
            ).stdout
            for seed, columns in (("1", "40"), ("2", "200"))
        ]  # fmt: skip
        assert texts[0] == texts[1]

    def test_no_torch_is_imported_for_them(self) -> None:
        code = (
            "import sys, typer; from kdgat.cli.main import app;"
            "from kdgat.cli.tree import command_tree;"
            "from kdgat.reference.pages import reference_pages;"
            "reference_pages(command_tree(typer.main.get_command(app)));"
            "print({'torch', 'mlflow', 'lightning', 'duckdb'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT
        )
        assert done.stdout == "set()\n"


class TestCheckAndWrite:
    def test_check_names_what_is_stale_and_write_mends_it(self, empty: Tiny, kdgat: Face) -> None:
        assert kdgat("reference", "check").code == 1
        assert kdgat("reference", "write").code == 0
        assert "are what the code gives" in kdgat("reference", "check").out
        folder = empty.root / "knowledge" / "reference"
        (folder / "cli.md").write_text("edited\n")
        (folder / "gpus.md").unlink()
        (folder / "old.md").write_text((folder / "errors.md").read_text())
        (folder / "mine.md").write_text("# By hand\n")
        said = kdgat("reference", "check")
        assert said.code == 1
        assert said.out.splitlines() == [
            "stale: knowledge/reference/cli.md",
            "missing: knowledge/reference/gpus.md",
            "nothing makes it now: knowledge/reference/old.md",
            "next: kdgat reference write",
        ]
        assert kdgat("reference", "write", "--json").json["stale"] == ["cli.md"]
        assert kdgat("reference", "check").code == 0
        assert (folder / "mine.md").is_file()
        assert not (folder / "old.md").exists()

    def test_a_page_that_is_no_text_is_a_mistake(self, empty: Tiny, kdgat: Face) -> None:
        kdgat("reference", "write")
        (empty.root / "knowledge" / "reference" / "cli.md").write_bytes(b"\xff\xfe")
        kdgat("reference", "check").mistake("can't read", "kdgat reference write")


class TestSite:
    def test_is_built_without_a_warning_and_dirties_nothing(self, empty: Tiny, kdgat: Face) -> None:
        copy_of_the_site(empty.root)
        before = files(empty.root / "knowledge")
        built = kdgat("docs", "build", "--strict", "--json").json
        assert built["warnings"] == []
        assert built["pages"] > 40
        assert files(empty.root / "knowledge") == before
        site = empty.home / "site"
        assert "No run has been evaluated here yet" in (site / "leaderboard/index.html").read_text()
        index = (site / "llms.txt").read_text()
        assert index.startswith("# kdgat\n\n> ")
        for line in index.splitlines():
            if line.startswith("- ["):
                assert (site / line.split("](")[1].split(")")[0]).is_file()

    def test_has_the_runs_of_the_workspace_on_its_leaderboard(
        self, empty: Tiny, kdgat: Face
    ) -> None:
        ws = Workspace(root=copy_of_the_site(empty.root), home=empty.home)
        judged(ws, {"test_01_a": 0.9}, parameters=1000, latency_ms=1.0)
        judged(ws, {"test_01_a": 0.8}, dataset="made", provenance="simulated")
        assert kdgat("docs", "build", "--strict").code == 0
        page = (empty.home / "site" / "leaderboard" / "index.html").read_text()
        real, simulated = page.split('<h2 id="simulated-traffic"')
        assert "0.9000" in real.split('<h2 id="real-cars"')[1]
        assert "0.8000" in simulated
        assert "0.8000" not in real

    def test_a_dead_link_is_a_mistake_when_strict_and_leaves_the_old_site(
        self, empty: Tiny, kdgat: Face
    ) -> None:
        copy_of_the_site(empty.root)
        out = empty.root / "pages"
        assert kdgat("docs", "build", "--out", out).code == 0
        page = empty.root / "knowledge" / "changelog.md"
        page.write_text(page.read_text() + "\n[gone](gone.md)\n")
        kdgat("docs", "build", "--strict", "--out", out).mistake("1 warnings", "gone.md")
        assert "gone" not in (out / "changelog" / "index.html").read_text()
        said = kdgat("docs", "build", "--out", out)
        assert said.code == 0
        assert "gone.md" in said.err
        assert empty.leftovers() == []

    def test_a_folder_with_something_else_is_never_replaced(self, empty: Tiny, kdgat: Face) -> None:
        copy_of_the_site(empty.root)
        kdgat("docs", "build", "--out", empty.root / "knowledge").mistake("is no built site")
        assert (empty.root / "knowledge" / "index.md").is_file()

    def test_without_mkdocs_says_how_to_get_it(
        self, empty: Tiny, kdgat: Face, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy_of_the_site(empty.root)
        monkeypatch.setattr("kdgat.ops.site.find_spec", lambda _: None)
        kdgat("docs", "build").mistake("is not installed", "uv sync --group docs")

    def test_without_settings_is_a_mistake(self, empty: Tiny, kdgat: Face) -> None:
        kdgat("docs", "build").mistake("mkdocs.yml")
        (empty.root / "mkdocs.yml").write_text("site_name: [\n")
        kdgat("docs", "build").mistake("mkdocs refused")

    def test_a_port_that_is_taken_is_a_mistake(self, empty: Tiny, kdgat: Face) -> None:
        import socket

        copy_of_the_site(empty.root)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            said = kdgat("docs", "serve", "--port", taken.getsockname()[1])
        assert said.code == 2
        assert "can't listen at" in said.err


def test_the_leaderboard_page_keeps_real_and_simulated_apart(tmp_path: Path) -> None:
    ws = Workspace(root=tmp_path, home=tmp_path / ".kdgat")
    judged(ws, {"test_01_a": 0.9, "test_02_b": 0.5}, parameters=145_410, latency_ms=1.0)
    judged(ws, {"test_01_a": 0.7, "test_02_b": 0.5}, dataset="made", provenance="simulated")
    page = leaderboard_page(leaderboard(ws, include_simulated=True))
    real, simulated = page.split("## Simulated traffic")
    assert "0.7000" in real
    assert "145,410" in real
    assert "made" not in real
    assert "say nothing of a real car" in simulated
    assert "No run has been evaluated" in leaderboard_page(None)


def test_llms_text_is_grouped_by_section_in_the_order_of_the_site() -> None:
    entries = [
        Entry("Start", "Home", "index.md", "What it is."),
        Entry("Guide", "Install", "guide/install.md", ""),
        Entry("Start", "News", "news.md", "New."),
    ]
    assert llms_text("kdgat", "Graphs.", entries) == (
        "# kdgat\n\n> Graphs.\n\n## Start\n\n- [Home](index.md): What it is.\n"
        "- [News](news.md): New.\n\n## Guide\n\n- [Install](guide/install.md)\n"
    )


def test_a_summary_is_the_first_sentence_that_says_something() -> None:
    page = (
        "# Title\n\nDate: 2026-11-21.\n\n```bash\nkdgat x\n```\n\n| a |\n|---|\n\n"
        "**Question.** Is [it](x.md) **so**? More."
    )
    assert summary_of(page) == "Is it so?"
    assert summary_of("# Title\n\nIt goes so:\n\n1. one") == "It goes so."
    assert summary_of("# Title\n") == ""


def test_pieces_of_markdown_can_not_break_a_table() -> None:
    assert table(("a", "b"), [("x | y", "two\nlines")]).splitlines()[2] == "| x \\| y | two lines |"
    assert table(("a",), []) == ""
    assert prose("`<home>/x` is <not> a tag") == "`<home>/x` is &lt;not> a tag"
    assert first_sentence("Version 3.11 is e.g. fine. Next.") == "Version 3.11 is e.g. fine."


def test_a_docstring_is_taken_apart() -> None:
    text = (
        "Sum.\n\nMore.\n\nArgs:\n    a: one\n        goes on.\n    b: two.\n\nRaises:\n    X: bad."
    )
    assert sections(text) == ("Sum.", "More.", {
        "Args": {"a": "one goes on.", "b": "two."}, "Raises": {"X": "bad."},
    })  # fmt: skip


def test_a_command_shows_usage_example_and_what_is_needed() -> None:
    command = Command("kdgat go", "Go.\n\nExample: kdgat go x", (
        Parameter(("NAME",), "text", "", required=True, repeated=True, meaning="Which."),
        Parameter(("--far", "-f"), "", "", required=False, repeated=False, meaning="Far."),
    ))  # fmt: skip
    page = commands_page(Command("kdgat", "", (), (command,)))
    assert "kdgat go [OPTIONS] NAME...\nkdgat go x" in page
    assert "| `NAME` | several: text | needed | Which. |" in page
    assert "| `--far`, `-f` |  |  | Far. |" in page


def test_build_site_gives_its_figures(tmp_path: Path, empty: Tiny) -> None:
    built = build_site(Workspace(root=copy_of_the_site(empty.root), home=tmp_path / "home"))
    assert (built.pages > 40, built.size_bytes > 1e6, built.warnings) == (True, True, ())
