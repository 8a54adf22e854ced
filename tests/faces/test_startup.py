"""What `kdgat` says before it works: help, version, completion, and what it imports for them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from kdgat.cli.main import app
from kdgat.cli.options import complete_dataset, complete_override, complete_run

Process = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = (
    "torch", "torch_geometric", "lightning", "mlflow", "duckdb", "numpy", "polars", "hydra",
    "pydantic", "matplotlib", "mcp",
)  # fmt: skip
NAMES = "import sys\ntry:\n main()\nexcept SystemExit as e:\n code = e.code\n"
REPORT = f"print('LOADED', sorted(set(sys.modules) & {set(HEAVY)!r}), code, file=sys.stderr)"


def commands(group: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command's words."""
    inner = getattr(group, "commands", None)
    if inner is None:
        return [path]
    return [words for name, each in inner.items() for words in commands(each, (*path, name))]


COMMANDS = commands(get_command(app))


def loaded(process: Process, *arguments: str) -> tuple[str, str]:
    """The heavy modules that a call imported, with its exit code, and what it printed."""
    code = f"from kdgat.cli.main import main\n{NAMES}{REPORT}"
    done = process("-c", code, *arguments)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("LOADED ")
    return last.removeprefix("LOADED "), done.stdout + done.stderr


def test_there_are_commands_for_the_whole_job() -> None:
    names = {" ".join(words) for words in COMMANDS}
    assert {"quickstart", "train", "evaluate", "replay", "experiments", "runs list"} <= names
    assert {"data simulate", "data ingest", "data prepare", "config explain"} <= names


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_shows_an_example_of_itself(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert re.search(rf"Examples?:\s+kdgat {' '.join(words)}", result.output), result.output


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_can_print_json(words: tuple[str, ...]) -> None:
    assert "--json" in CliRunner().invoke(app, [*words, "--help"]).output


def test_the_version_is_the_installed_one() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert re.fullmatch(r"kdgat \d+\.\d+\.\d+\n", result.output)


def test_without_arguments_the_commands_are_listed() -> None:
    result = CliRunner().invoke(app, [])
    assert all(name in result.output for name in ("quickstart", "data", "train", "runs"))


@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("--version",)], ids=" ".join)
def test_help_and_version_load_nothing_heavy(process: Process, words: tuple[str, ...]) -> None:
    modules, printed = loaded(process, *words)
    # Typer itself takes pydantic where a command has a list of arguments.
    assert modules in ("[] 0", "['pydantic'] 0"), printed


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("override", ["training.max_epoch=5", "model=fusion", "dataset=hcrl_sa"])
def test_a_mistake_in_a_config_is_told_without_waiting_for_torch(
    process: Process, override: str
) -> None:
    modules, printed = loaded(process, "train", override)
    assert modules.endswith("] 2"), printed
    assert "torch" not in modules
    assert "matplotlib" not in modules


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("words", [("data", "list"), ("runs", "list"), ("experiments",)])
def test_what_only_looks_does_not_wait_for_torch(process: Process, words: tuple[str, ...]) -> None:
    modules, printed = loaded(process, *words)
    assert modules.endswith("] 0"), printed
    assert "torch" not in modules


class TestCompletion:
    def test_of_an_override_offers_fields_and_choices(self) -> None:
        assert "training.max_epochs=" in complete_override("training.m")
        assert complete_override("model=g") == ["model=gat", "model=gradient_boosting"]
        assert complete_override("nothing") == []

    def test_of_a_dataset_offers_the_known_ones(self) -> None:
        assert complete_dataset("hcrl_") == ["hcrl_ch", "hcrl_sa"]

    @pytest.mark.usefixtures("empty")
    def test_of_a_run_offers_latest_where_there_are_none(self) -> None:
        assert complete_run("") == ["latest"]

    def test_of_a_run_is_silent_outside_a_workspace(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("KDGAT_ROOT", raising=False)
        monkeypatch.chdir(tmp_path)
        assert complete_run("") == []

    def test_has_a_script_for_bash(self, process: Process) -> None:
        environ = {"_KDGAT_COMPLETE": "source_bash"}
        done = process("-c", COMPLETING, environ=environ)
        assert done.returncode == 0
        assert "complete " in done.stdout
        assert done.stderr == ""

    def test_answers_the_shell(self, process: Process) -> None:
        line = {"COMP_WORDS": "kdgat train data.win", "COMP_CWORD": "2"}
        done = process("-c", COMPLETING, environ={"_KDGAT_COMPLETE": "complete_bash", **line})
        assert done.stdout.split() == ["data.window_messages="]
        assert done.stderr == ""


COMPLETING = "import sys; sys.argv[0] = 'kdgat'; from kdgat.cli.main import main; main()"
