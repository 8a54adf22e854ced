"""`kdgat doctor`: planted faults are named with what mends them, and only safe ones are mended."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faces.client import ROOT
from tests.faces.conftest import Command, Said, Tiny
from tests.unit.ops.checkup.made import DAY_S, program, put


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home folder, with uv on PATH and nothing else: no Slurm, no conda."""
    home = tmp_path / "home"
    program(home / "bin", "uv")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(home / "bin"))
    for name in ("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "SCRATCH", "PFSDIR"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def healthy(empty: Tiny, home: Path, kdgat: Command) -> Tiny:
    """A workspace that is set up for an agent, with its reference pages."""
    (empty.root / "knowledge" / "reference").mkdir(parents=True)
    assert kdgat("reference", "write").code == 0
    assert kdgat("agent", "install").code == 0
    return empty


def told(said: Said) -> dict[str, dict]:
    """Findings of `--json` by what they say."""
    return {each["what"]: each for each in json.loads(said.out)["findings"]}


def tree(*folders: Path) -> dict[str, str]:
    """A hash of every file below folders."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def plant(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Twelve faults: kind, where, and a word of what is said of each."""
    monkeypatch.setenv("CONDA_PREFIX", str(home / "miniconda3"))
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "base")
    put(root / "pyproject.toml", '[project]\nname = "lab"\ndependencies = ["pydantic>=2"]\n'
        "[tool.kdgat]\n")  # fmt: skip
    put(root / "uv.lock", '[[package]]\nname = "pydantic"\nversion = "0.0.1"\n')
    put(root / "modes" / "paper.md", "---\ndescription: Texts.\ntools: [papre]\nsections: []\n"
        "budget_tokens: 2000\nquestions: hidden\n---\nWrite.\n")  # fmt: skip
    put(root / "modes" / "questions" / "0001-why.md",
        "---\ntitle: Why?\nstatus: opne\nopened: 2026-11-21\n---\n")  # fmt: skip
    put(root / "slurm" / "clusters" / "lab.toml", 'scheduler = "slurm"\npartition_cpu = "cpu"\n\n'
        "[partitions.cpu]\ncores_per_nodes = 4\n")  # fmt: skip
    put(root / "knowledge" / "sources.toml", '[[source]]\nname = "a"\npath = "."\n\n'
        '[[source]]\nname = "b"\npath = "../gone"\n')  # fmt: skip
    put(root / "agent" / "skills" / "ablation" / "SKILL.md",
        "---\nname: ablate\ndescription: Run an ablation.\n---\nDo it.\n")  # fmt: skip
    rule = "Compare models on the same windows of the same captures, never on others."
    agents = root / "AGENTS.md"
    put(agents, f"{agents.read_text()}\n## Ours\n\n{rule}\n")
    put(home / ".claude" / "CLAUDE.md", f"- {rule}\n")
    servers = json.loads((root / ".mcp.json").read_text())
    servers["mcpServers"]["old"] = {"command": "gone-server"}
    put(root / ".mcp.json", json.dumps(servers))
    put(root / ".kdgat" / "agent" / "hook-errors.jsonl",
        '{"time": "2026-11-21T08:00:00Z", "event": "Stop", "error": "disk full"}\n')  # fmt: skip
    left = put(root / ".kdgat" / "runs" / "simulated" / ".partial-1234-large_gat", "half")
    os.utime(left, (time.time() - 9 * DAY_S,) * 2)
    page = root / "knowledge" / "reference" / "cli.md"
    page.write_text(page.read_text() + "\nBy hand.\n")
    return [
        ("conda", str(home / "miniconda3"), "'base' is active"),
        ("environment", sys.prefix, "locked 0.0.1"),
        ("mode", "modes/paper.md:3", "papre"),
        ("question", "modes/questions/0001-why.md:3", "opne"),
        ("cluster", "slurm/clusters/lab.toml:5", "cores_per_nodes"),
        ("source", "knowledge/sources.toml:7", "'b' is not there"),
        ("skill", "agent/skills/ablation/SKILL.md:2", "'ablate'"),
        ("second context", "~/.claude/CLAUDE.md", "that 'AGENTS.md' has too"),
        ("mcp", ".mcp.json", "gone-server"),
        ("hook", ".kdgat/agent/hook-errors.jsonl", "disk full"),
        ("runs", ".kdgat/runs/simulated/.partial-1234-large_gat", "9 days ago"),
        ("reference", "knowledge/reference/cli.md", "is stale"),
    ]


@pytest.mark.usefixtures("healthy")
def test_a_healthy_workspace_has_no_finding(kdgat: Command) -> None:
    report = kdgat("doctor", "--json").json
    assert report["findings"] == []
    assert {each["outcome"] for each in report["checks"]} == {"done"}
    assert len(report["checks"]) > 20
    assert "0 problems and 0 notes" in kdgat("doctor").out


def test_twelve_faults_are_named_and_no_other(
    healthy: Tiny, home: Path, kdgat: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = plant(healthy.root, home, monkeypatch)
    before = tree(healthy.root, home)
    done = kdgat("doctor", "--json")
    assert done.code == 1
    found = list(told(done).values())
    missed = [
        fault
        for fault in planted
        if not any((each["kind"], each["where"]) == fault[:2] and fault[2] in each["what"]
                   for each in found)
    ]  # fmt: skip
    assert not missed, done.out
    assert len(found) == 12, [each["what"] for each in found]
    assert all(each["fix"] and each["severity"] == "problem" for each in found)
    assert tree(healthy.root, home) == before


def test_fix_mends_the_safe_ones_and_touches_nothing_else(
    healthy: Tiny, home: Path, kdgat: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(healthy.root, home, monkeypatch)
    before = tree(healthy.root, home)
    foreseen = json.loads(kdgat("doctor", "--fix", "--dry-run", "--json").out)
    assert len(foreseen["mended"]) == 3
    assert tree(healthy.root, home) == before
    done = kdgat("doctor", "--fix")
    assert done.code == 1
    assert done.out.count("mended: ") == 3
    after = tree(healthy.root, home)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {
        str(healthy.root / "knowledge" / "reference" / "cli.md"),
        str(healthy.home / "agent" / "hook-errors.jsonl"),
        str(healthy.home / "agent" / "hook-errors.1.jsonl"),
        str(healthy.home / "runs" / "simulated" / ".partial-1234-large_gat"),
    }
    left = [each for each in told(kdgat("doctor", "--json")).values() if each["fixable"]]
    assert left == []


def test_a_stale_section_of_the_context_is_named_and_rendered_again(
    healthy: Tiny, kdgat: Command
) -> None:
    path = healthy.root / "AGENTS.md"
    text = path.read_text()
    lines = text.split("\n")
    number = next(n for n, line in enumerate(lines) if line.startswith("<!-- kdgat:begin")) + 2
    path.write_text("\n".join([*lines[:number], "Something else.", *lines[number:]]))
    done = kdgat("doctor")
    assert done.code == 1
    assert "problem: context: AGENTS.md, section" in done.out
    assert "  fix: kdgat agent render" in done.out
    assert "next: kdgat doctor --fix" in done.out
    assert kdgat("doctor", "--fix").code == 0
    assert path.read_text() == text


@pytest.mark.usefixtures("home")
def test_a_workspace_without_an_agent_gets_a_note_and_code_0(empty: Tiny, kdgat: Command) -> None:
    report = kdgat("doctor", "--json").json
    assert [each["fix"] for each in report["findings"]] == ["kdgat agent install"]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("[tool.kdgat]\nhomes = 'x'\n", 2, "homes"),
        ("# it\n[tool.kdgat]\nhome = 3\n", 3, "home = 3"),
        ("[tool.kdgat]\n\nhome =\n", 3, "not valid TOML"),
    ],
)
def test_wrong_settings_of_the_workspace_are_a_finding_with_its_line(
    empty: Tiny, kdgat: Command, text: str, line: int, word: str
) -> None:
    (empty.root / "pyproject.toml").write_text(text)
    done = kdgat("doctor", "--json")
    assert done.code == 1
    (found,) = [each for each in told(done).values() if each["severity"] == "problem"]
    assert found["where"] == f"pyproject.toml:{line}"
    assert word in found["what"]


def test_mistakes_are_two_lines(
    empty: Tiny, kdgat: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kdgat("doctor", "--dry-run").mistake("--fix")
    monkeypatch.chdir(tmp_path)
    kdgat("doctor").mistake("no pyproject.toml", "kdgat checkout")


def test_it_loads_no_torch_and_no_database(
    healthy: Tiny, process: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    code = (
        "import sys; from kdgat.cli.main import main\n"
        "sys.argv = ['kdgat', 'doctor']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'duckdb', 'mlflow', 'polars', 'lightning'} & set(sys.modules)))"
    )
    assert process("-c", code).stdout.splitlines()[-1] == "[]"


def test_a_dead_runs_folder_is_marked_lost_by_fix(
    trained: Tiny, home: Path, kdgat: Command
) -> None:
    assert kdgat("agent", "install").code == 0
    path = trained.run(trained.teacher) / "run.json"
    record = json.loads(path.read_text())
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    path.write_text(json.dumps({**record, "state": "running", "ended_at": None, "pid": gone.pid}))
    done = kdgat("doctor", "--fix", "--json")
    report = json.loads(done.out)
    assert [each.startswith("marked lost: ") for each in report["mended"]] == [True], done.out
    assert json.loads(path.read_text())["state"] == "lost"


def test_other_clients_files_cost_tokens_unless_they_only_point(
    healthy: Tiny, home: Path, kdgat: Command
) -> None:
    put(healthy.root / "nested" / "CLAUDE.md", "@AGENTS.md\n")
    (healthy.root / "AGENT.md").symlink_to("AGENTS.md")
    assert kdgat("doctor", "--json").json["findings"] == []
    put(healthy.root / ".cursorrules", "Answer in one sentence. " * 10)
    put(healthy.root / "nested" / "GEMINI.md", "Answer in one sentence. " * 10)
    put(home / ".claude" / "skills" / "x" / "SKILL.md", "Read only when it is called for.\n")
    said = told(kdgat("doctor", "--json"))
    assert {(each["severity"], each["where"]) for each in said.values()} == {
        ("note", ".cursorrules"), ("problem", "nested/GEMINI.md"),
    }  # fmt: skip
    assert any("60 tokens in every session" in what for what in said)


def test_a_hook_or_server_without_a_program_is_told(healthy: Tiny, kdgat: Command) -> None:
    settings = {"hooks": {"Stop": [{"hooks": [
        {"type": "command", "command": 'gone "$CLAUDE_PROJECT_DIR"/x.py'},
        {"type": "command", "command": "uv $CLAUDE_PROJECT_DIR/tools/gone.py"},
        {"type": "command", "command": "X=$PATH uv ${CLAUDE_PROJECT_DIR}/gone.py --all || echo no"},
        {"type": "command", "command": "gone | gone"},
        {"type": "command", "command": "gone $(date)"},
        {"type": "command", "command": "cd tools && gone"},
        {"type": "command", "command": "command -v gone || :"},
        {"type": "command", "command": "uv -c 'import tools/gone.py'"},
    ]}]}}  # fmt: skip
    path = healthy.root / ".claude" / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    said = [what for what in told(kdgat("doctor", "--json")) if " at Stop" in what]
    assert len(said) == 3
    assert "'gone' at Stop" in said[0]
    assert "tools/gone.py' at Stop" in said[1]
    assert "/gone.py' at Stop" in said[2]


def test_kdgats_own_hooks_are_held_against_what_is_there(
    healthy: Tiny, home: Path, kdgat: Command
) -> None:
    (healthy.root / "agent").mkdir()
    shutil.copy2(ROOT / "agent" / "hooks.toml", healthy.root / "agent")
    assert kdgat("agent", "render").code == 0
    assert {each["kind"] for each in told(kdgat("doctor", "--json")).values()} == {"hook"}
    program(healthy.root / ".venv" / "bin", "python3")
    found = told(kdgat("doctor", "--json")).values()
    assert [each["what"].partition("kdgat/agent/")[2] for each in found] == [
        f"hook.py' at {event}, which is not there"
        for event in ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop")
    ]
    put(healthy.root / "kdgat" / "agent" / "hook.py", "")
    assert kdgat("agent", "render").code == 0
    assert json.loads(kdgat("doctor", "--json").out)["findings"] == []
