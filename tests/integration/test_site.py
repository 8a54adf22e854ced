"""The built site in a real headless Chromium: opened, searched, looked at on a phone and a desk.

Pictures go to `KDGAT_SITE_SHOTS` where that is set, so that a person can look at them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from kdgat.ops.site import build_site
from kdgat.workspace import Workspace
from tests.integration.test_report_browser import _requests as requests_of
from tests.unit.runs.judged import judged

pytestmark = pytest.mark.browser

CHECKOUT = Path(__file__).parents[2]
PHONE, DESK = (390, 844), (1280, 900)
PAGES = {"home": "", "guide": "guide/memory/", "leaderboard": "leaderboard/"}
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
ASKED_S = 60
# Opens a page in a frame of a given size, and keeps its own load event waiting for `/over`, so that
# the browser draws and prints it when the script in it says that all is there.
FRAME = """<!doctype html><title>frame</title><link rel=icon href="data:,">
<style>body{{margin:0}}iframe{{border:0}}</style>
<iframe id=f src="{url}" width={width} height={height}></iframe><img src="/over">
<pre id=found hidden></pre><script>
const look = setInterval(() => {{
  const page = document.getElementById("f").contentDocument;
  const found = page.querySelectorAll("{wanted}");
  if (page.readyState !== "complete" || !found.length) return;
  clearInterval(look);
  const box = page.documentElement;
  document.getElementById("found").textContent = JSON.stringify({{
    wide: box.scrollWidth, seen: box.clientWidth, title: page.title,
    texts: [...found].map(each => each.innerText), links: [...found].map(each => each.href || ""),
  }});
  fetch("/ready");
}}, 50);</script>"""


@dataclass
class Site:
    """A site that is served on this machine, and what was asked of it."""

    folder: Path
    address: str = ""
    asked: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    frames: dict[str, str] = field(default_factory=dict)
    ready: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Seen:
    """What the browser made of a page."""

    pixels: np.ndarray
    console: list[str]
    elsewhere: set[str]
    """Addresses outside this machine that the page asked for."""
    title: str
    texts: list[str]
    links: list[str]
    overflow: int
    """Pixels by which the page is wider than the window."""


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and the frames that a page is looked at in."""

    def __init__(self, *arguments: object, site: Site) -> None:
        self.site = site
        super().__init__(*arguments, directory=str(site.folder))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/over":
            self.site.ready.wait(ASKED_S)
            return self.say("", "image/png")
        if path == "/ready":
            self.site.ready.set()
            return self.say("")
        if path in self.site.frames:
            return self.say(self.site.frames[path], "text/html")
        self.site.asked.append(path)
        return super().do_GET()

    def say(self, text: str, kind: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def send_error(self, code: int, *arguments: object, **more: object) -> None:
        if code == 404:
            self.site.missing.append(self.path)
        super().send_error(code, *arguments, **more)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found is not None, "no chromium here: apt-get install chromium"
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """This checkout's pages, with a leaderboard of made runs."""
    root = tmp_path_factory.mktemp("site")
    ws = Workspace(root=CHECKOUT, home=root / "home")
    names = [f"test_0{number}_vehicle_attack" for number in range(1, 5)]
    for seed in range(3):
        scores = dict(zip(names, (0.98, 0.6 + seed / 50, 0.7, 0.56), strict=True))
        judged(ws, scores, seed=seed, parameters=145_410, latency_ms=1.0)
        judged(ws, scores, seed=seed, size="small", parameters=18_066, latency_ms=0.7)
    judged(ws, dict.fromkeys(names, 0.7), dataset="made", provenance="simulated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDGAT_HOME", str(ws.home))
        build_site(ws, out=str(root / "pages"), strict=True)
    served = Site(root / "pages")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site=served)) as server:
        served.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield served
        served.ready.set()
        server.shutdown()


def look(
    chromium: str, site: Site, folder: Path, path: str, size: tuple[int, int],
    wanted: str = "h1", *flags: str,
) -> Seen:  # fmt: skip
    """Open a page in a window; a fresh profile each time, and a log of every request."""
    frame = f"/frame{len(site.frames)}"
    site.frames[frame] = FRAME.format(
        url=f"{site.address}/{path}", width=size[0], height=size[1], wanted=wanted
    )
    site.ready.clear()
    shot, log = folder / f"{frame[1:]}.png", folder / f"{frame[1:]}.json"
    common = [chromium, *FLAGS, *flags, f"--window-size={size[0]},{size[1]}"]
    drawn = _run([*common, f"--user-data-dir={folder / 'drawing'}{frame[1:]}",
                  f"--screenshot={shot}", site.address + frame])  # fmt: skip
    site.ready.clear()
    dumped = _run([*common, f"--user-data-dir={folder / 'dumping'}{frame[1:]}", "--dump-dom",
                   f"--log-net-log={log}", site.address + frame])  # fmt: skip
    match = re.search(r'<pre id="found"[^>]*>(.+?)</pre>', dumped.stdout, re.DOTALL)
    assert match is not None, f"'{wanted}' did not show on {path or 'home'}"
    found = json.loads(match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    console = [line for line in (drawn.stderr + dumped.stderr).splitlines() if "CONSOLE" in line]
    return Seen(
        pixels=imread(shot)[..., :3],
        console=console,
        elsewhere={url for url in requests_of(log) if not url.startswith(site.address)},
        title=found["title"],
        texts=found["texts"],
        links=found["links"],
        overflow=found["wide"] - found["seen"],
    )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * ASKED_S, check=True)


def keep(pixels: np.ndarray, name: str) -> None:
    """Put a picture where a person asked for it."""
    if folder := os.environ.get("KDGAT_SITE_SHOTS"):
        from matplotlib.image import imsave

        Path(folder).mkdir(parents=True, exist_ok=True)
        imsave(Path(folder) / f"{name}.png", pixels)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_whole_on_phone_and_desk(
    chromium: str, site: Site, tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    seen = look(chromium, site, tmp_path, PAGES[name], size)
    keep(seen.pixels, f"{name}-{size[0]}")
    assert seen.pixels.shape == (size[1], size[0], 3)
    assert seen.pixels.mean() > 0.6, "a light page"
    assert seen.pixels.std() > 0.05, "with something on it"
    assert seen.overflow <= 0, "nothing is wider than the window"
    assert seen.console == []
    assert seen.elsewhere == set()
    assert site.missing == []


def test_a_dark_desktop_gets_a_dark_page(chromium: str, site: Site, tmp_path: Path) -> None:
    for name, size in (("home", DESK), ("leaderboard", PHONE)):
        seen = look(chromium, site, tmp_path, PAGES[name], size, "h1", DARK)
        keep(seen.pixels, f"{name}-{size[0]}-dark")
        assert np.median(seen.pixels) < 0.25


def test_search_finds_a_field_by_half_of_its_name(
    chromium: str, site: Site, tmp_path: Path
) -> None:
    wanted = ".md-search-result__item > .md-search-result__link"
    seen = look(chromium, site, tmp_path, "?q=max_graphs", DESK, wanted)
    keep(seen.pixels, "search-1280")
    assert any("memory" in link or "config" in link for link in seen.links), seen.links
    assert seen.elsewhere == set()


def test_the_leaderboard_shows_both_kinds_apart(chromium: str, site: Site, tmp_path: Path) -> None:
    seen = look(chromium, site, tmp_path, "leaderboard/", DESK, "h1, h2, td")
    texts = [text.strip("¶ \n") for text in seen.texts]
    assert texts.index("Real cars") < texts.index("Simulated traffic")
    assert {"18,066", "145,410"} <= set(texts)


def test_every_link_within_the_site_leads_somewhere(site: Site) -> None:
    dead = []
    for page in site.folder.rglob("*.html"):
        if page.name == "404.html":
            continue
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text(encoding="utf-8")):
            if re.match(r"(https?:|mailto:|data:|//)", target):
                continue
            there = (page.parent / target).resolve()
            if not (there.is_file() or (there / "index.html").is_file()):
                dead.append(f"{page.relative_to(site.folder)}: {target}")
    assert dead == []


def test_no_page_loads_anything_from_elsewhere(site: Site) -> None:
    for page in site.folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]+src="([^"]+)', text)
        loaded += re.findall(r'<link[^>]+rel="(?:stylesheet|preload|icon)"[^>]+href="([^"]+)', text)
        loaded += re.findall(r'<link[^>]+href="([^"]+)"[^>]+rel="stylesheet"', text)
        assert not [each for each in loaded if re.match(r"(https?:)?//", each)], page
