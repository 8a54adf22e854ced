"""`kdgat doctor`: planted faults are named with what mends them, and only safe ones are mended."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdgat.agent.given import Given
from kdgat.errors import HistoryError
from kdgat.ops.checkup.finding import Check, Found, Surroundings, note, problem
from kdgat.ops.checkup.gpu_stack import look_at_pyg, look_at_torch
from kdgat.ops.checkup.interpreter import look_at_python
from kdgat.ops.checkup.lines import line_at
from kdgat.ops.checkup.lock import look_at_lock
from kdgat.ops.checkup.passages import passages
from kdgat.ops.checkup.records import look_at_history, look_at_indexes, look_at_memory
from kdgat.ops.checkup.running import mended, run_checks
from kdgat.ops.checkup.scheduler import look_at_slurm
from kdgat.ops.checkup.storage import look_at_scratch
from kdgat.progress import quiet
from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Said, Tiny

DAY_S = 86_400


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


@pytest.fixture
def here(empty: Tiny, home: Path) -> Surroundings:
    """What a single check looks at."""
    ws = Workspace(empty.root, empty.home)
    return Surroundings(ws, Given(), dict(os.environ), home, time.time(), empty.root / "nvidia")


def program(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


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


def test_a_check_that_breaks_or_hangs_is_a_finding_and_stops_no_other(here: Surroundings) -> None:
    forever = threading.Event()

    def breaks(_: Surroundings) -> Iterator[Found]:
        yield note("one", "was seen before", "nothing")
        raise ValueError("no\nsuch thing")

    def refuses(_: Surroundings) -> Iterator[Found]:
        raise HistoryError("it is damaged", hint="delete it")

    def hangs(_: Surroundings) -> Iterator[Found]:
        forever.wait()
        return iter(())

    checks = (
        Check("breaks", breaks, "look"), Check("hangs", hangs, "kdgat wait", limit_s=0.05),
        Check("refuses", refuses, "look"),
        Check("last", lambda _: [problem("two", "is found", "mend it")], "look"),
    )  # fmt: skip
    try:
        found, went = run_checks(checks, here, quiet)
    finally:
        forever.set()
    assert [each.outcome for each in went] == ["broke", "cut off", "done", "done"]
    said = [(each.finding.severity, each.finding.what, each.finding.fix) for each in found]
    assert said == [
        ("note", "was seen before", "nothing"),
        ("problem", "the check 'breaks' broke: ValueError: no such thing", "look by hand: look"),
        ("note", "the check 'hangs' had not ended after 0.05 s, and was left", "kdgat wait"),
        ("problem", "it is damaged", "delete it"),
        ("problem", "is found", "mend it"),
    ]


def test_what_can_not_be_mended_stays_a_finding() -> None:
    def refuse() -> str:
        raise PermissionError(13, "Permission denied")

    done, left = mended([problem("runs", "is half", "kdgat runs repair", where="x", mend=refuse)])
    assert done == []
    assert [each.finding.what for each in left] == [
        "is half", "'x' can't be mended: Permission denied",
    ]  # fmt: skip


def test_damaged_caches_are_deleted_and_made_again(here: Surroundings) -> None:
    ws = here.ws
    index = put(ws.knowledge / "indexes" / "guide.db", "no database")
    manifest = put(ws.history / "manifest-00000001.json", "{half")
    part = put(ws.history / "parts" / "a-runs.parquet", "PAR1 cut")
    gpus = put(ws.memory / "calibration.json", "[1")
    found = [*look_at_indexes(here), *look_at_history(here), *look_at_memory(here)]
    assert [each.finding.kind for each in found] == ["docs", "history", "memory"]
    done, left = mended(found)
    assert len(done) == 3
    assert left == []
    assert not any(path.exists() for path in (index, manifest, part, gpus))
    again = [*look_at_indexes(here), *look_at_history(here), *look_at_memory(here)]
    assert again == []


def test_files_on_scratch_near_their_purge_are_counted(
    here: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = put(here.ws.data / "captures.parquet", "x" * 1000)
    new = put(here.ws.data / "new.parquet", "x")
    for path, days in ((old, 57), (new, 3)):
        os.utime(path, (here.now - days * DAY_S,) * 2)
    assert list(look_at_scratch(here)) == []
    there = Surroundings(
        here.ws, here.context, {"SCRATCH": str(here.ws.root.parent)}, here.user_home, here.now
    )
    (found,) = look_at_scratch(there)
    assert found.finding.what.removeprefix("at least ").startswith("1 file (0.0 GB)")
    assert "46 days or more" in found.finding.what
    assert "captures.parquet', for 57" in found.finding.what
    os.utime(old, (here.now - 80 * DAY_S,) * 2)
    (found,) = look_at_scratch(there)
    assert "purges come after 90" in found.finding.what


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  450.51.06  Sun Jul 19\n", "wants driver"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  999.10.01  Release\n", ""),
    ],
)
def test_the_driver_is_held_against_what_torch_is_built_for(
    here: Surroundings, driver: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_torch(tmp_path, monkeypatch, "2.9.1+cu128", "12.8")
    assert list(look_at_torch(here)) == []
    put(here.nvidia / "version", driver)
    said = [each.finding.what for each in look_at_torch(here)]
    assert len(said) == bool(words)
    assert all(words in each for each in said)


def test_a_build_for_the_cpu_and_gpus_without_code_are_told(
    here: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(here.nvidia / "version", "Kernel Module  999.10.01  Release\n")
    put(here.nvidia / "gpus" / "0000:3b:00.0" / "information", "Model: \t Tesla V100-PCIE-16GB\n")
    fake_torch(tmp_path, monkeypatch, "2.15.0+cu132", "13.2")
    (found,) = look_at_torch(here)
    assert "no code for Tesla V100-PCIE-16GB" in found.finding.what
    fake_torch(tmp_path, monkeypatch, "2.15.0+cpu", None)
    (found,) = look_at_torch(here)
    assert "built for the CPU" in found.finding.what


def test_parts_of_pyg_for_another_torch_are_told(
    here: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_torch(tmp_path, monkeypatch, "2.9.1+cu128", "12.8")
    (tmp_path / "site" / "torch_scatter-2.1.2+pt29cu128.dist-info").mkdir()
    (tmp_path / "site" / "torch_sparse-0.6.18+pt26cu124.dist-info").mkdir()
    (found,) = look_at_pyg(here)
    assert found.finding.what.startswith("torch-sparse 0.6.18+pt26cu124 is built for another torch")


def fake_torch(folder: Path, patch: pytest.MonkeyPatch, version: str, cuda: str | None) -> None:
    """A torch that is found before the installed one; `find_spec` imports nothing."""
    put(folder / "site" / "torch" / "__init__.py", "")
    text = f"__version__ = '{version}'\ncuda: Optional[str] = {cuda!r}\n"
    put(folder / "site" / "torch" / "version.py", text)
    patch.delitem(sys.modules, "torch", raising=False)
    if str(folder / "site") not in sys.path:
        patch.syspath_prepend(str(folder / "site"))


def test_a_lock_that_was_made_from_other_wishes_is_told(here: Surroundings) -> None:
    put(here.ws.root / "pyproject.toml", '[project]\nname = "lab"\nrequires-python = ">=3.11"\n'
        'dependencies = ["rich>=13", "nowhere-to-be-found>=1"]\n[tool.kdgat]\n')  # fmt: skip
    put(here.ws.root / "uv.lock", '[[package]]\nname = "lab"\nversion = "0"\n'
        '[package.metadata]\nrequires-dist = [{ name = "rich", specifier = ">=12" }]\n\n'
        '[[package]]\nname = "rich"\nversion = "99.0"\n')  # fmt: skip
    lock, environment = look_at_lock(here)
    assert "'rich>=13' was 'rich>=12' when it was made" in lock.finding.what
    assert "'nowhere-to-be-found>=1' is not in it" in lock.finding.what
    assert "(locked 99.0)" in environment.finding.what
    assert "nowhere-to-be-found is not installed" in environment.finding.what


def test_another_python_or_another_checkouts_code_is_told(here: Surroundings) -> None:
    root = here.ws.root
    put(root / "pyproject.toml", '[project]\nname = "lab"\nrequires-python = ">=99"\n')
    put(root / ".venv" / "pyvenv.cfg", "")
    put(root / "kdgat" / "workspace.py", "")
    said = [each.finding.what for each in look_at_python(here)]
    assert [word for word, text in zip(("wants >=99", "environment in .venv", "not this checkout"),
                                       said, strict=True) if word not in text] == []  # fmt: skip


def test_half_of_slurm_or_a_slurm_that_is_silent_is_told(here: Surroundings, home: Path) -> None:
    assert list(look_at_slurm(here)) == []
    program(home / "bin", "sbatch", "squeue")
    (found,) = look_at_slurm(here)
    assert found.finding.what == "of Slurm there is sbatch, squeue, and no sacct, scancel, scontrol"
    program(home / "bin", "sacct", "scancel")
    (home / "bin" / "scontrol").write_text("#!/bin/sh\necho 'no controller' >&2\nexit 1\n")
    (home / "bin" / "scontrol").chmod(0o755)
    (found,) = look_at_slurm(here)
    assert "no controller" in found.finding.what
    (home / "bin" / "scontrol").write_text("#!/bin/sh\necho 'ClusterName = moon'\n")
    (found,) = look_at_slurm(here)
    assert "'moon', and no file describes it" in found.finding.what


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


def test_lines_of_keys_in_tables_and_lists_of_tables_are_found() -> None:
    text = 'a = 1\n[b.c]\nd = 2\n[[e]]\nf = 3\n[[e]]\n"f" = 4\n'
    paths = [["a"], ["b", "c", "d"], ["b", "c", "gone"], ["e", 0, "f"], ["e", 1, "f"], ["z"]]
    assert [line_at(text, path) for path in paths] == [1, 3, 2, 5, 7, 1]


def test_a_passage_is_the_same_however_it_is_wrapped_or_marked() -> None:
    one = "- Use uv for all Python work, and never\n  conda or pip by hand.\n\nShort.\n"
    other = "## More\n\nUse uv for all Python work, and never conda or pip by hand.\n"
    assert list(passages(one)) == list(passages(other))


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
        {"type": "command", "command": "gone | gone"},
    ]}]}}  # fmt: skip
    path = healthy.root / ".claude" / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    said = [what for what in told(kdgat("doctor", "--json")) if " at Stop" in what]
    assert len(said) == 2
    assert "'gone' at Stop" in said[0]
    assert "tools/gone.py' at Stop" in said[1]
