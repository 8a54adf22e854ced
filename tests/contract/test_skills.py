"""What the agent is told in agent/ holds: its commands parse, its words name things, its size.

A rule or skill is text that nobody runs, so a renamed option or tool would stay in it unseen.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdgat.configs.compose import compose, sweep
from kdgat.configs.dataset import DATASETS, DatasetConfig
from kdgat.configs.run import RunConfig
from kdgat.ledger.states import State
from kdgat.mcp.derive import derive
from kdgat.mcp.table import TOOLS
from kdgat.modes.packs import token_count
from kdgat.runs.figures import METRICS
from kdgat.runs.views import VIEWS
from tests.integration.test_guide_fences import CHECKOUT, commands, parse

AGENT = CHECKOUT / "agent"
RULES = sorted((AGENT / "rules").glob("*.md"))
SKILLS = sorted((AGENT / "skills").glob("*/SKILL.md"))
TEXTS = [*RULES, *SKILLS]
RULES_TOKENS = 350
"""All rules together: every session pays for them."""
LONGEST_DESCRIPTION = 1024
"""As the format of skills has it."""
KINDS = {".md", ".toml"}
"""Files of text that a person edits."""
COMPOSING = {("train",), ("submit",), ("plan",), ("config", "explain"), ("memory", "plan"),
             ("memory", "explain"), ("data", "prepare")}  # fmt: skip
"""Commands that take overrides."""


def name(path: Path) -> str:
    return path.relative_to(AGENT).as_posix()


def scripts(path: Path) -> Iterator[str]:
    """The shell in a text: its fences, and every command within a line."""
    text = path.read_text(encoding="utf-8")
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        assert language == "bash", f"{name(path)}: a fence of {language or 'nothing'}"
        yield body
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`(kdgat [^`]+)`", outside)


def typed(path: Path) -> list[list[str]]:
    """Every command of a text, in words."""
    return [words for script in scripts(path) for words in commands(script)]


def words_in(path: Path) -> set[str]:
    """Names within a line that stand alone as code, such as `plan_job`."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([a-z][a-z0-9_]*)`", text))


def known_words() -> set[str]:
    """Everything that a word in code may name: tools, states, figures, columns, protocols."""
    return {
        *(row.name for row in TOOLS),
        *(state.value for state in State),
        *METRICS,
        *(column.name for view in VIEWS.values() for column in view.columns),
        "zero_shot",
        "adapted",
        # A run by its place, and the state of one whose scheduler is silent.
        "latest",
        "unknown",
    }


def front_matter(path: Path) -> dict[str, Any]:
    match = re.match(r"---\n(.*?)\n---\n", path.read_text(encoding="utf-8"), re.DOTALL)
    assert match, f"{name(path)} has no front matter"
    return yaml.safe_load(match[1])


def test_agent_holds_text_and_no_scripts() -> None:
    files = [path for path in AGENT.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= KINDS, files
    assert not [path for path in files if path.stat().st_mode & 0o111]
    assert len(RULES) >= 3
    assert len(SKILLS) >= 4


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_every_command_that_the_agent_is_told_parses(path: Path) -> None:
    for words in typed(path):
        assert words[0] == "kdgat", f"{name(path)} runs {words[0]}: a skill calls kdgat"
        parse(words[1:])


@pytest.mark.parametrize("path", SKILLS, ids=name)
def test_every_override_in_a_skill_is_one_that_composes(path: Path) -> None:
    datasets = DATASETS | {"NAME": DatasetConfig(name="NAME")}
    for words in typed(path):
        depth = next((n for n in (1, 2) if tuple(words[1 : 1 + n]) in COMPOSING), 0)
        given = [word for word in words[1 + depth :] if re.match(r"[a-z_.]+=", word)]
        for overrides in sweep(given) if depth else ():
            assert isinstance(compose(overrides, datasets), RunConfig)


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_every_word_in_code_names_a_tool_or_another_thing_of_kdgat(path: Path) -> None:
    assert words_in(path) <= known_words()


@pytest.mark.parametrize("path", SKILLS, ids=name)
def test_every_action_of_a_tool_is_one_it_has(path: Path) -> None:
    actions = {
        value
        for row in TOOLS
        for value in derive(row).input_schema["properties"].get("action", {}).get("enum", ())
    }
    assert set(re.findall(r"action[ =]([a-z]+)", path.read_text())) <= actions


@pytest.mark.parametrize("path", SKILLS, ids=name)
def test_a_skill_is_found_by_its_description(path: Path) -> None:
    told = front_matter(path)
    assert set(told) == {"name", "description"}
    assert told["name"] == path.parent.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", told["name"])
    assert len(told["name"]) <= 64
    assert " Use when " in told["description"]
    assert len(told["description"]) <= LONGEST_DESCRIPTION
    assert not re.search(r"[<>\n]", told["description"])


@pytest.mark.parametrize("path", SKILLS, ids=name)
def test_a_skill_says_when_to_stop_and_what_a_good_end_is(path: Path) -> None:
    headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
    assert headings[-2:] == ["Stop and ask", "A good end"]
    assert len(typed(path)) >= 5
    assert 40 <= path.read_text().count("\n") <= 80


@pytest.mark.parametrize("path", SKILLS, ids=name)
def test_a_skill_does_nothing_dear_without_the_user(path: Path) -> None:
    for words in typed(path):
        spends = words[1:2] in (["submit"], ["cancel"]) and "--dry-run" not in words
        assert not spends or len(words) == 2 or "--plan" in words, shlex.join(words)
        assert words[1:3] not in (["runs", "rm"], ["models", "promote"]) or "--dry-run" in words
        assert words[1:2] != ["mode"], "only the user switches modes"


def test_rules_are_short_enough_for_every_session() -> None:
    assert token_count("\n\n".join(path.read_text().strip() for path in RULES)) <= RULES_TOKENS
    for path in RULES:
        lines = path.read_text().splitlines()
        assert lines[0].startswith("# ")
        assert all(line.startswith("- ") for line in lines[2:]), name(path)


def test_what_a_rule_forbids_has_its_reason() -> None:
    for line in (AGENT / "rules" / "never.md").read_text().splitlines()[2:]:
        what, _, why = line.removeprefix("- ").partition(": ")
        assert what, line
        assert len(why.split()) >= 5, line


def test_pages_that_skills_send_the_agent_to_are_there() -> None:
    for path in SKILLS:
        for words in typed(path):
            if words[1:3] == ["docs", "read"]:
                page, _, anchor = words[3].partition("#")
                text = (CHECKOUT / "knowledge" / page).read_text(encoding="utf-8")
                slugs = {
                    re.sub(r"[^a-z0-9]+", "-", each.lower()).strip("-")
                    for each in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
                }
                assert not anchor or anchor in slugs, words
