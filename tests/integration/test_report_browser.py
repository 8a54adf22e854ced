"""The report in a real headless Chromium: what a reader sees, and that nothing else is asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from kdgat.ops.report import write_report
from kdgat.workspace import Workspace
from tests.unit.runs.judged import judged

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 1280, 3200
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
DARK = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0")


@dataclass(frozen=True)
class Seen:
    """What the browser made of a page."""

    dom: str
    pixels: np.ndarray
    console: list[str]
    requests: set[str]


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found is not None, "no chromium here: apt-get install chromium"
    return found


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A report with real and simulated models, several seeds, and names that look like markup."""
    ws = Workspace(root=tmp_path, home=tmp_path / ".kdgat")
    names = [f"test_0{number}_vehicle_attack" for number in range(1, 5)]
    for seed in range(3):
        scores = dict(zip(names, (0.98, 0.6 + seed / 50, 0.7, 0.56), strict=True))
        teacher = judged(ws, scores, seed=seed, parameters=145_410, latency_ms=1.0)
        judged(
            ws, scores, seed=seed, size="small", teacher=teacher.run_id, parameters=18_066,
            latency_ms=0.7,
        )  # fmt: skip
    judged(ws, dict.fromkeys(names, 0.7), dataset="made", provenance="simulated")
    judged(ws, dict.fromkeys(names, 0.5), model="<script>document.title='taken'</script>")
    write_report(ws, out=str(tmp_path / "report.html"))
    return tmp_path / "report.html"


def look(chromium: str, page: Path, *flags: str) -> Seen:
    """Open the page; a fresh profile each time, and a log of every request."""
    folder = page.parent / f"look{len(list(page.parent.glob('look*')))}"
    shot, log = folder / "page.png", folder / "net.json"
    folder.mkdir()
    common = [chromium, *FLAGS, *flags, f"--window-size={WIDTH},{HEIGHT}"]

    def ask(profile: str, *what: str) -> subprocess.CompletedProcess[str]:
        command = [*common, f"--user-data-dir={folder / profile}", *what, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    drawn = ask("drawing", f"--screenshot={shot}")
    dumped = ask("dumping", "--dump-dom", f"--log-net-log={log}")
    console = [line for line in (drawn.stderr + dumped.stderr).splitlines() if "CONSOLE" in line]
    return Seen(dumped.stdout, imread(shot)[..., :3], console, _requests(log))


def _requests(log: Path) -> set[str]:
    """Every address that a page asked the network for; the browser's own have no origin."""
    text = log.read_text(encoding="utf-8", errors="replace")
    try:
        events = json.loads(text)["events"]
    except ValueError:
        # The browser ended before it closed the list.
        events = json.loads(text.rstrip().rstrip(",") + "]}")["events"]
    asked = [event.get("params", {}) for event in events]
    return {
        each["url"] for each in asked if each.get("initiator", "not an origin") != "not an origin"
    }


def brightness(pixels: np.ndarray) -> float:
    """Of the page's background, 0 to 1."""
    return float(np.median(pixels.mean(axis=2)))


def test_the_report_opens_whole_and_asks_for_nothing(chromium: str, page: Path) -> None:
    seen = look(chromium, page)
    for part in ("Leaderboard", "Scenarios", "Learning curves", "Pareto fronts"):
        assert len(re.findall(f">{part}</h3>", seen.dom)) == 2, part
    assert ">Provenance</h2>" in seen.dom
    assert seen.dom.count('<svg role="img"') == 2 * (1 + 1 + 2)
    assert "say nothing of a real car" in seen.dom
    assert seen.console == []
    assert seen.requests == set()


def test_a_page_that_does_ask_is_found_out(chromium: str, tmp_path: Path) -> None:
    page = tmp_path / "asks.html"
    page.write_text('<img src="http://nowhere.invalid/x.png"><script>console.log("hi")</script>')
    seen = look(chromium, page)
    assert seen.requests == {"http://nowhere.invalid/x.png"}
    assert any("hi" in line for line in seen.console)


def test_markup_in_a_name_is_text_to_the_browser(chromium: str, page: Path) -> None:
    seen = look(chromium, page)
    assert "<script" not in seen.dom
    assert "&lt;script&gt;" in seen.dom
    assert "<title>Intrusion detection" in seen.dom


def test_the_picture_is_not_blank_and_has_the_plots_colours(chromium: str, page: Path) -> None:
    pixels = look(chromium, page).pixels
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert brightness(pixels) > 0.97
    inked = (pixels.mean(axis=2) < 0.9).any(axis=1)
    assert inked.mean() > 0.4, "most lines of the page hold something"
    for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):
        near = np.abs(pixels - np.array(colour) / 255).max(axis=2) < 0.02
        assert near.sum() > 2000, colour


def test_a_dark_desktop_gets_a_dark_page(chromium: str, page: Path) -> None:
    assert brightness(look(chromium, page, *DARK).pixels) < 0.15
