"""`kdgat mode` as a user meets it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgat.cli.mode import complete_mode, complete_word
from tests.faces.conftest import Command, Tiny

WRITING = """---
description: Turn results into text.
tools: [paper]
sections: [best_runs, last_runs]
budget_tokens: 1500
questions: shown
---
Write what the runs say.
"""


def add(root: Path, name: str = "writing", text: str = WRITING) -> Path:
    (root / "modes").mkdir(exist_ok=True)
    path = root / "modes" / f"{name}.md"
    path.write_text(text)
    return path


@pytest.mark.usefixtures("empty")
def test_the_mode_is_shown_switched_and_shown_again(kdgat: Command) -> None:
    assert kdgat("mode").out.startswith("mlops: Pipelines, failures, cost and memory")
    assert kdgat("mode", "research").out.startswith("research is the mode now (it was mlops): ")
    first, second = kdgat("mode").out.splitlines()
    assert first.startswith("research (since 20")
    assert ", by cli): Hypotheses" in first
    assert second == "tools of its own: questions, suggest, paper; open questions: shown"
    assert kdgat("mode", "research").out.startswith("research is the mode already: ")


@pytest.mark.usefixtures("empty")
def test_show_prints_what_the_agent_is_told(kdgat: Command) -> None:
    told = kdgat("mode", "show", "research").out
    assert "at most 3,000 tokens" in told
    assert "One seed proves nothing" in told
    assert "One seed" not in kdgat("mode", "show").out
    assert kdgat("mode").out.splitlines() == kdgat("mode", "show").out.splitlines()[:2]


@pytest.mark.usefixtures("empty")
def test_json_has_the_operations_fields(kdgat: Command) -> None:
    shown = kdgat("mode", "--json").json
    assert (shown["name"], shown["is_current"], shown["since"]) == ("mlops", True, None)
    done = kdgat("mode", "research", "--json").json
    assert (done["name"], done["before"], done["is_changed"]) == ("research", "mlops", True)
    shown = kdgat("mode", "show", "mlops", "--json").json
    assert (shown["is_current"], shown["since"], shown["budget_tokens"]) == (False, None, 2500)
    assert kdgat("mode", "--json").json["by"] == "cli"
    items = kdgat("mode", "list", "--json").json["items"]
    assert [(each["name"], each["is_current"]) for each in items] == [
        ("mlops", False),
        ("research", True),
    ]


def test_one_file_is_a_new_mode(empty: Tiny, kdgat: Command) -> None:
    path = add(empty.root)
    assert "writing" in kdgat("mode", "list").out
    assert kdgat("mode", "writing").code == 0
    assert kdgat("mode", "show").out.endswith("\n\nWrite what the runs say.\n")
    path.unlink()
    kdgat("mode").mistake("the current mode is 'writing'", "kdgat mode mlops")
    listed = kdgat("mode", "list")
    assert "broken: the current mode is 'writing'" in listed.out
    assert kdgat("mode", "mlops").out.startswith("mlops is the mode now")


def test_a_broken_file_hides_no_other_mode(empty: Tiny, kdgat: Command) -> None:
    add(empty.root, "broken", "# No settings\n")
    add(empty.root, "list")
    said = kdgat("mode", "list").out
    assert "research" in said
    assert "broken: 'modes/broken.md:1': there is no front matter" in said
    assert "broken: 'modes/list.md:1': no mode can be named 'list'" in said
    kdgat("mode", "broken").mistake("modes/broken.md:1")


@pytest.mark.usefixtures("empty")
def test_mistakes_are_two_lines(kdgat: Command) -> None:
    kdgat("mode", "reserch").mistake("'reserch'", "did you mean 'research'?")
    kdgat("mode", "show", "reserch").mistake("did you mean 'research'?")
    kdgat("mode", "research", "please").mistake("one word too many", "kdgat mode show NAME")
    kdgat("mode", "list", "research").mistake("one word too many")
    kdgat("mode", "").mistake("there is no mode ''")


def test_a_damaged_state_is_mended_by_a_switch(empty: Tiny, kdgat: Command) -> None:
    kdgat("mode", "research")
    (empty.home / "agent" / "mode.json").write_bytes(b"\x00\xff")
    kdgat("mode").mistake(".kdgat/agent/mode.json", "damaged", "kdgat mode mlops")
    assert kdgat("mode", "show", "mlops").code == 0
    assert "(it was -)" in kdgat("mode", "research").out


def test_a_home_that_can_not_be_written_is_told(
    empty: Tiny, kdgat: Command, small_disk: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDGAT_HOME", str(small_disk("size=64k,ro")))
    kdgat("mode", "research").mistake("can't write", "Read-only", "KDGAT_HOME")
    assert kdgat("mode").out.startswith("mlops: ")


def test_names_and_words_are_completed(empty: Tiny) -> None:
    add(empty.root)
    add(empty.root, "questions")
    assert complete_word("") == ["mlops", "research", "writing", "list", "show"]
    assert complete_word("s") == ["show"]
    assert complete_mode("") == ["mlops", "research", "writing"]


def test_completion_is_silent_outside_a_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KDGAT_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert complete_mode("") == []


@pytest.mark.usefixtures("empty")
def test_a_look_waits_for_nothing_heavy(
    process: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = (
        "import sys; from kdgat.cli.main import main; sys.argv = ['kdgat', 'mode']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'duckdb', 'mcp', 'numpy', 'polars'} & set(sys.modules)))"
    )
    assert process("-c", code).stdout.splitlines()[-1] == "[]"
