"""Modes as files: what is read, and what every mistake in one is told as."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdgat.errors import ModeError
from kdgat.modes.front_matter import LARGEST_BYTES
from kdgat.modes.packs import (
    check_tools,
    lacks_tool,
    list_modes,
    load_mode,
    mode_names,
    token_count,
)
from kdgat.workspace import Workspace
from tests.unit.modes.packs_made import made, mode_text, write_mode

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return made(tmp_path / "workspace")


def fault(ws: Workspace, content: str | bytes) -> ModeError:
    """What is said of a mode's file."""
    write_mode(ws, "writing", content)
    with pytest.raises(ModeError) as caught:
        load_mode(ws, "writing")
    assert caught.value.hint
    return caught.value


class TestShipped:
    @pytest.mark.parametrize(
        ("name", "tools", "questions", "budget"),
        [
            ("mlops", ("log_question",), "hidden", 2500),
            ("research", ("questions", "suggest", "paper"), "shown", 3000),
        ],
    )
    def test_modes_have_their_tools_and_budgets(
        self, ws: Workspace, name: str, tools: tuple[str, ...], questions: str, budget: int
    ) -> None:
        mode = load_mode(ws, name)
        assert (mode.tools, mode.questions, mode.budget_tokens) == (tools, questions, budget)
        assert mode.path == CHECKOUT / "modes" / f"{name}.md"

    @pytest.mark.parametrize("name", ["mlops", "research"])
    def test_steering_texts_are_short_and_leave_room_for_facts(
        self, ws: Workspace, name: str
    ) -> None:
        mode = load_mode(ws, name)
        assert 200 < token_count(mode.text) <= 350
        assert {"best_runs", "last_runs", "queue", "failures", "stale"} <= set(mode.sections)

    def test_mlops_keeps_a_question_and_shows_none(self, ws: Workspace) -> None:
        mode = load_mode(ws, "mlops")
        assert "`log_question`" in mode.text
        assert "questions" not in (*mode.tools, *mode.sections)

    def test_both_say_the_words_they_are_for(self, ws: Workspace) -> None:
        both = ("prior_art", "own idea is not the best", "two or three designs", "smallest change")
        only = {
            "mlops": ("pipelines, failures, cost, memory", "goes to `log_question`"),
            "research": ("change our mind", "One seed proves nothing", "Simulated is never real",
                         "`zero_shot` and `adapted` are never compared"),
        }  # fmt: skip
        for name, words in only.items():
            text = load_mode(ws, name).text
            assert [each for each in (*both, *words) if each not in text] == []


class TestOneFile:
    def test_is_a_whole_new_mode(self, ws: Workspace) -> None:
        write_mode(ws, "writing", mode_text(tools="[paper, suggest]"))
        mode = load_mode(ws, "writing")
        assert mode.tools == ("paper", "suggest")
        assert mode.text == "Write what the runs say."
        assert mode_names(ws) == ("mlops", "research", "writing")
        assert [each.name for each in list_modes(ws)] == ["mlops", "research", "writing"]

    def test_hides_a_mode_of_the_same_name_that_comes_with_kdgat(self, ws: Workspace) -> None:
        path = write_mode(ws, "mlops", mode_text("Ours."))
        assert (load_mode(ws, "mlops").text, load_mode(ws, "mlops").path) == ("Ours.", path)

    def test_is_read_anew_after_an_edit_however_small(self, ws: Workspace) -> None:
        path = write_mode(ws, "writing", mode_text("Old."))
        times = path.stat()
        assert load_mode(ws, "writing").text == "Old."
        write_mode(ws, "writing", mode_text("New."))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert load_mode(ws, "writing").text == "New."

    def test_may_come_from_another_editor(self, ws: Workspace) -> None:
        windows = "\ufeff" + mode_text("Größe.\n\n---\n\nMore.").replace("\n", "\r\n")
        write_mode(ws, "writing", windows)
        assert load_mode(ws, "writing").text == "Größe.\n\n---\n\nMore."

    def test_may_use_all_of_yaml(self, ws: Workspace) -> None:
        content = mode_text(
            tools="\n  - paper  # figures\n  - suggest", description=">\n  Two\n  lines."
        )
        write_mode(ws, "writing", content)
        mode = load_mode(ws, "writing")
        assert (mode.tools, mode.description) == (("paper", "suggest"), "Two lines.")

    def test_is_no_editors_lock_and_no_folder(self, ws: Workspace) -> None:
        write_mode(ws, ".#writing", "lock")
        (ws.modes / "questions").mkdir()
        (ws.modes / "folder.md").mkdir()
        (ws.modes / "gone.md").symlink_to(ws.modes / "nowhere.md")
        assert mode_names(ws) == ("mlops", "research")


LISTS = "[" * 20_000


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", 1, "no UTF-8"),
        (b"---\ndescription: x\xff\n---\n", 2, "no UTF-8"),
        ("", 1, "there is no front matter"),
        ("Just text.\n", 1, "there is no front matter"),
        ("\n" + mode_text(), 1, "there is no front matter"),
        ("---\ndescription: x\n\nText.\n", 1, "the front matter has no end"),
        ("---\n---\nText.\n", 2, "no table of settings"),
        ("---\n- a\n---\nText.\n", 2, "no table of settings"),
        (mode_text(description="a: b"), 2, "no YAML"),
        (mode_text(tools="[paper"), 4, "no YAML"),
        (mode_text(description="!!python/object:os.system x"), 2, "no YAML"),
        (mode_text(sections="*nowhere"), 4, "no YAML"),
        (mode_text(description="2026-99-99"), 2, "can't be read"),
        (mode_text(tools=LISTS), 2, "can't be read"),
        (mode_text(tool="[paper]"), 7, "no setting 'tool'"),
        (mode_text(tools="[paper]\ntools: []"), 4, "'tools' is set twice"),
        (mode_text(questions=None), 1, "'questions' is missing"),
        (mode_text(description="5"), 2, "description is 5"),
        (mode_text(description="''"), 2, "description is ''"),
        (mode_text(description="|\n  a\n  b"), 2, "must be one line"),
        (mode_text(description="x" * 201), 2, "201 characters"),
        (mode_text(tools="paper"), 3, "tools is 'paper', and must be a list"),
        (mode_text(tools=""), 3, "tools is empty"),
        (mode_text(tools="{paper: 1}"), 3, "tools is a dict"),
        (mode_text(tools="\n  - paper\n  - 7"), 5, "tools has 7"),
        (mode_text(tools="[[paper]]"), 3, "tools has a list"),
        (mode_text(tools="&a [*a]"), 3, "no YAML"),
        (mode_text(tools="[paper, paper]"), 3, "'paper' twice"),
        (mode_text(sections="[Best runs]"), 4, "sections has 'Best runs'"),
        (mode_text(budget_tokens="'2000'"), 5, "budget_tokens is '2000'"),
        (mode_text(budget_tokens="yes"), 5, "budget_tokens is True"),
        (mode_text(budget_tokens="2e3"), 5, "must be a whole number"),
        (mode_text(budget_tokens="499"), 5, "must lie between 500 and 20,000"),
        (mode_text(budget_tokens="-1"), 5, "must lie between"),
        (mode_text(budget_tokens="0x" + "f" * 9000), 5, "a huge number"),
        (mode_text(budget_tokens="9" * 9000), 2, "can't be read"),
        (mode_text(questions="on"), 6, "questions is True"),
        (mode_text(questions="[shown]"), 6, "questions is a list"),
        (mode_text(questions="hidden", tools="\n  - paper\n  - questions"), 5, "among the tools"),
        (mode_text(questions="hidden", sections="[questions]"), 4, "among the sections"),
        (mode_text(" \n"), 8, "no steering text"),
        (mode_text("x" * 2401, budget_tokens="600"), 5, "alone has 601 tokens"),
        (mode_text("one\n\x1b]0;title\x07"), 9, "control character U+001B"),
        (mode_text("x" * LARGEST_BYTES), 1, "larger than 65,536 bytes"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_told_with_its_line(
    ws: Workspace, content: str | bytes, line: int, words: str
) -> None:
    problem = fault(ws, content).problem
    assert problem.startswith(f"'modes/writing.md:{line}': ")
    assert words in problem
    assert len(problem) < 250


def test_a_misspelt_setting_is_told_the_right_one(ws: Workspace) -> None:
    assert fault(ws, mode_text(budget_token="9")).hint == "did you mean 'budget_tokens'?"


def test_a_mistake_does_not_stick(ws: Workspace) -> None:
    fault(ws, mode_text(questions="on"))
    write_mode(ws, "writing", mode_text())
    assert load_mode(ws, "writing").questions == "shown"


@pytest.mark.parametrize("name", ["list", "show", "questions", "Writing", "a b", "x" * 41])
def test_a_file_whose_name_no_mode_can_have_is_named(ws: Workspace, name: str) -> None:
    write_mode(ws, name, mode_text())
    with pytest.raises(ModeError) as caught:
        list_modes(ws)
    assert caught.value.hint.startswith("rename the file")
    assert "no mode can be named" in caught.value.problem
    assert f"modes/{name}.md:1" in caught.value.problem


@pytest.mark.parametrize(
    "name",
    [
        "list",
        "",
        "../mlops",
        "mlops.md",
        "/etc/passwd",
        "a\x1b[2J",
        pytest.param("x" * 1_000_000, id="1 MB"),
    ],
)
def test_a_name_that_is_no_modes_is_refused_shortly(ws: Workspace, name: str) -> None:
    with pytest.raises(ModeError, match="there is no mode") as caught:
        load_mode(ws, name)
    assert "mlops, research" in caught.value.hint or "did you mean" in caught.value.hint
    assert len(caught.value.problem) < 120
    assert caught.value.problem.isprintable()


class TestTools:
    def test_that_are_known_pass(self, ws: Workspace) -> None:
        write_mode(ws, "writing", mode_text(tools="[paper]"))
        check_tools(load_mode(ws, "writing"), {"paper", "runs"})

    def test_that_are_unknown_are_named_with_their_line(self, ws: Workspace) -> None:
        path = write_mode(ws, "writing", mode_text(tools="\n  - paper\n  - sugest"))
        with pytest.raises(ModeError) as caught:
            check_tools(load_mode(ws, "writing"), ["paper", "suggest"])
        assert caught.value.problem == f"'{path}:5': there is no tool 'sugest'"
        assert caught.value.hint == "did you mean 'suggest'?"

    def test_that_a_mode_lacks_are_refused_with_the_mode_that_has_them(self, ws: Workspace) -> None:
        error = lacks_tool(ws, "mlops", "questions")
        assert error.problem == "the tool 'questions' is not served in mode 'mlops'"
        assert (
            error.hint == "it is in mode 'research'; the user switches with `kdgat mode research`"
        )

    def test_that_two_modes_have_name_both_and_a_broken_one_hides_none(self, ws: Workspace) -> None:
        write_mode(ws, "writing", mode_text())
        write_mode(ws, "broken", "no front matter")
        hint = lacks_tool(ws, "mlops", "paper").hint
        assert hint.startswith("it is in modes 'research' and 'writing'; ")

    def test_that_no_mode_has_are_refused_too(self, ws: Workspace) -> None:
        assert "no mode has it" in lacks_tool(ws, "mlops", "shell").hint


def test_yaml_waits_for_the_first_file(ws: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from kdgat.modes.packs import load_mode\nfrom kdgat.modes.state import current_mode\n"
        "from kdgat.workspace import Workspace\n"
        f"ws = Workspace(Path({str(ws.root)!r}), Path({str(ws.home)!r}))\n"
        "print(current_mode(ws), 'yaml' in sys.modules)\n"
        "load_mode(ws, 'mlops'); print('yaml' in sys.modules, 'pydantic' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mlops", "False", "True", "False"]
