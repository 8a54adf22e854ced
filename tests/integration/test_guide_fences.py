"""Every Python and shell fence of the guide is run, as it stands, in the order of its page.

A fence that can't run here says why, in a comment above it that no reader sees:

    <!-- not run: needs a cluster -->

Its commands are parsed all the same. A command that may rightly end with another code says so by
`<!-- may exit 1: ... -->`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from kdgat.cli.main import app
from tests.faces.conftest import SIMULATION, TINY, WINDOWS, call, enter, new_root

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted((CHECKOUT / "knowledge" / "guide").glob("*.md"))
REASONS = frozenset({
    "needs a cluster",
    "needs a network",
    "changes this machine",
    "stands for yours",
    "runs the tests",
    "serves until interrupted",
})  # fmt: skip
"""Why a fence may not run; anything else is no reason."""
SHELLS = frozenset({"bash", "sh", "shell", "console"})
LIMIT_S = 600
_MARK = re.compile(r"<!-- (not run|may exit (\d+)): (.+?) -->")


@dataclass(frozen=True)
class Fence:
    """One block of code of a page."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str
    """The reason, where it can't run here."""
    may_exit: int

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def script(self) -> str:
        """The commands; of a console's transcript those that were typed."""
        if self.language != "console":
            return self.text
        return "\n".join(line[2:] for line in self.text.splitlines() if line.startswith("$ "))


def fences(page: Path) -> Iterator[Fence]:
    """The Python and shell fences of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    begin, language, mark = -1, "", ""
    for number, line in enumerate(lines):
        if begin >= 0:
            if line.strip() == "```":
                if language in SHELLS | {"python"}:
                    yield _fence(page, begin, language, lines[begin:number], mark)
                begin, mark = -1, ""
        elif match := re.match(r"\s*```(\w*)", line):
            begin, language = number + 1, match[1]
        elif line.startswith("<!--"):
            mark = line
        elif line.strip():
            mark = ""


def _fence(page: Path, line: int, language: str, text: list[str], mark: str) -> Fence:
    match = _MARK.fullmatch(mark.strip())
    not_run = match[3] if match and match[1] == "not run" else ""
    return Fence(page, line, language, "\n".join(text), not_run, int(match[2] or 0) if match else 0)


ALL = [fence for page in PAGES for fence in fences(page)]


def test_the_guide_has_fences_and_no_indented_commands() -> None:
    assert len(ALL) > 60
    for page in PAGES:
        hidden = re.findall(r"^    (?:uv run |kdgat ).*", page.read_text(), re.MULTILINE)
        assert not hidden, f"{page.name}: put commands between fences, so that they are run"


@pytest.mark.parametrize("fence", ALL, ids=str)
def test_a_fence_that_is_not_run_has_a_known_reason(fence: Fence) -> None:
    assert not fence.not_run or fence.not_run in REASONS


@pytest.mark.parametrize("fence", [each for each in ALL if each.language in SHELLS], ids=str)
def test_shell_fences_are_shell_and_their_commands_exist(fence: Fence) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=fence.script, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for words in commands(fence.script):
        if words[:2] == ["uv", "run"]:
            words = words[2:]
        if words[:1] == ["kdgat"]:
            parse(words[1:])


@pytest.mark.parametrize("fence", [each for each in ALL if each.language == "python"], ids=str)
def test_python_fences_are_python(fence: Fence) -> None:
    compile(fence.text, str(fence), "exec")


def test_a_command_that_does_not_exist_is_found_out() -> None:
    for wrong in ("trian", "train --frehs", "runs lst", "leaderboard --metric"):
        with pytest.raises((AssertionError, Exception), match=r"No such|no such|requires"):
            parse(wrong.split())


def commands(script: str) -> list[list[str]]:
    """The words of each simple command, without comments and redirections."""
    lexer = shlex.shlex(script.replace("\\\n", " "), posix=True, punctuation_chars=";&|\n")
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
    found: list[list[str]] = [[]]
    comment = False
    for token in lexer:
        if set(token) <= set(";&|\n"):
            comment = comment and "\n" not in token
            found.append([])
        elif comment or token.startswith("#"):
            comment = True
        else:
            found[-1].append(token)
    return [words for words in found if words]


def parse(words: list[str]) -> None:
    """Have the command line's own parser read the words; nothing is called."""
    command: Any = typer.main.get_command(app)
    context = None
    path = "kdgat"
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        context = command.context_class(command, parent=context, info_name=path)
        path = words[0]
        assert path in command.commands, f"no such command: {path}"
        command, words = command.commands[path], words[1:]
    if hasattr(command, "commands"):
        # Options of the root act while they are read.
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        assert set(words) <= known, f"no such option: {words}"
        return
    command.make_context(path, words, parent=context)


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as a reader of the guide has it after a while, with tiny captures and models.

    `DIR` holds raw captures, which the real dataset's name is given to: simulated ones, since the
    commands are what is tested. Windows are the default ones, so that what a page trains fits. Of
    the small model there are three versions, and two widths of each, so that they can be compared.
    """
    root = new_root(tmp_path_factory.mktemp("guide") / "workspace")
    for folder in ("slurm", "knowledge"):
        shutil.copytree(CHECKOUT / folder, root / folder)
    shutil.copy(CHECKOUT / "mkdocs.yml", root)
    tiny = [each for each in TINY if each not in WINDOWS]
    hcrl = (*tiny, "dataset=hcrl_sa")
    with pytest.MonkeyPatch.context() as patch:
        enter(root, patch)
        # Longer than the prefix of a capture, which is never scored.
        longer = [re.sub(r"^(capture_s|attack_free_s)=.*", r"\1=14", word) for word in SIMULATION]
        done = [call("data", "simulate", *longer), call("data", "ingest", "simulated")]
        raw = root / ".kdgat" / "data" / "simulated" / "raw"
        shutil.copytree(raw, root / "DIR", ignore=shutil.ignore_patterns("*.json"))
        done += [
            call("data", "ingest", "hcrl_sa", "--raw", "DIR"),
            call("train", *hcrl, "size=large"), call("evaluate", "latest"),
            call("models", "register", "latest"), call("models", "promote", "hcrl_sa-gat-large"),
        ]  # fmt: skip
        for number, hidden in enumerate((4, 16, 16)):
            done += [
                call("train", *hcrl, "size=small", f"seed={number}", f"model.hidden={hidden}"),
                call("evaluate", "latest"), call("models", "register", "latest"),
            ]  # fmt: skip
            if number == 0:
                done.append(call("models", "promote", "hcrl_sa-gat-small"))
        for hidden in (4, 16):
            done += [call("train", *tiny, f"model.hidden={hidden}"), call("evaluate", "latest")]
    assert not [each for each in done if each.code], [each.err for each in done if each.code]
    for words in (
        "init -q", "add pyproject.toml slurm knowledge mkdocs.yml",
        "-c user.name=guide -c user.email=guide@localhost commit -qm workspace",
    ):  # fmt: skip
        subprocess.run(["git", *words.split()], cwd=root, check=True)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_fences_of_a_page_run_in_their_order(
    page: Path, furnished: Path, tmp_path: Path
) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(furnished, root)
    env = surroundings(tmp_path)
    failed = []
    for fence in fences(page):
        if fence.not_run:
            continue
        done = run(fence, root, env)
        if done.returncode not in (0, fence.may_exit):
            failed.append(
                f"{fence} ended with {done.returncode}\n{fence.text}\n{done.stdout[-3000:]}"
            )
        elif fence.language == "console":
            shown = [line for line in fence.text.splitlines() if not line.startswith("$ ")]
            missing = [line for line in shown if line not in done.stdout.splitlines()]
            if missing:
                failed.append(f"{fence} shows what is not printed: {missing}\n{done.stdout}")
    assert not failed, "\n\n".join(failed)


def surroundings(folder: Path) -> dict[str, str]:
    """The environment: this project's Python and `uv run`, and nobody's home."""
    home = folder / "home"
    home.mkdir()
    dropped = {"KDGAT_HOME", "KDGAT_ROOT", "VIRTUAL_ENV", "FORCE_COLOR", "PYTEST_CURRENT_TEST"}
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    cache = os.environ.get("UV_CACHE_DIR") or str(Path("~/.cache/uv").expanduser())
    return env | {
        "HOME": str(home), "USER": "guide", "UV_CACHE_DIR": cache,
        "PATH": f"{Path(sys.executable).parent}:{env['PATH']}",
        # `uv run` takes this checkout's environment as it is, while the folder stays the reader's.
        "UV_PROJECT": str(CHECKOUT), "UV_PROJECT_ENVIRONMENT": sys.prefix, "UV_NO_SYNC": "1",
        "UV_OFFLINE": "1", "OMP_NUM_THREADS": "1", "KDGAT_NO_SYNC": "1", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip


def run(fence: Fence, root: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a fence in a workspace; what it prints is one text."""
    if fence.language == "python":
        command = [sys.executable, "-c", fence.text]
    elif fence.language == "console":
        # A transcript may show a refusal; what counts is what was printed.
        command = ["bash", "-c", f"{fence.script}\ntrue"]
    else:
        stop = f"code=$?; [ $code -eq {fence.may_exit} ] || exit $code"
        command = ["bash", "-c", f"trap '{stop}' ERR\nset -u -o pipefail\n{fence.script}"]
    return subprocess.run(
        command, cwd=root, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False,
    )  # fmt: skip
