"""The report: what is on the page, that it is one file, and that names stay text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import RunError
from kdgat.ops.report import ReportSummary, write_report
from kdgat.stages.plot_style import COLOURS
from kdgat.workspace import Workspace
from tests.unit.runs.judged import SCENARIOS, judge, judged, trained

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A page's tags with their attributes, its ids and its text; fails where tags don't nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def ids(self) -> list[str]:
        return [each["id"] or "" for _, each in self.tags if "id" in each]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


def report(ws: Workspace, **asked: Any) -> tuple[Page, str, ReportSummary]:
    done = write_report(ws, **asked)
    html = (ws.root / done.path).read_text(encoding="utf-8")
    return Page(html), html, done


def test_every_part_is_on_the_page(ws: Workspace) -> None:
    runs = [judged(ws, 0.8 + seed / 100, seed=seed) for seed in range(2)]
    page, _, done = report(ws)
    for part in ("Leaderboard", "Scenarios", "Learning curves", "Pareto fronts", "Provenance"):
        assert part in page.text
    assert (done.models, done.runs, done.datasets) == (1, 3, ("set_01",))
    assert all(run.run_id in page.text for run in runs)
    assert "0.8050" in page.text
    assert "zero_shot" in page.text
    assert "2,000 in 2 scenarios" in page.text


def test_provenance_tells_commit_data_seed_config_and_command(ws: Workspace) -> None:
    judged(ws, 0.8, seed=7, environment={"argv": ["train", "a b"], "git_commit": "c0ffee" * 6})
    page, html, _ = report(ws)
    for part in ("c0ffeec0ff", "dddddddddddd", "0123456789abcdef", "kdgat train 'a b'", "node1"):
        assert part in page.text
    assert "files changed" not in page.text
    assert f'title="{"c0ffee" * 6}"' in html


def test_changed_files_beside_a_commit_are_marked(ws: Workspace) -> None:
    judged(ws, 0.8)
    assert "files changed" in report(ws)[0].text


def test_the_page_is_one_file_that_loads_nothing(ws: Workspace) -> None:
    judged(ws, 0.8)
    page, html, _ = report(ws)
    tags = {name for name, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "url(" not in re.sub(r"url\(#", "", html)
    assert "@import" not in html
    policy = next(m for m in page.named("meta") if m.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_names_are_shown_as_text(ws: Workspace) -> None:
    scenario = f"test_01_{EVIL}"
    judged(
        ws, {scenario: 0.5}, model=f"gat{EVIL}", host=EVIL, seed=1,
        environment={"argv": [EVIL, '"><b onclick="x">'], "git_commit": EVIL},
    )  # fmt: skip
    page, html, _ = report(ws)
    assert "<script" not in html
    assert page.named("b") == []
    assert f"set_01-gat{EVIL}-large" in page.text


def test_a_dataset_is_shown_as_text(ws: Workspace) -> None:
    name = "<img src=x onerror=alert(1)>"
    judged(ws, 0.5, dataset=name)
    page, html, _ = report(ws)
    assert "<img" not in html
    assert name in page.text
    assert name in html.split("<title>")[1].split("</title>")[0].replace("&lt;", "<").replace(
        "&gt;", ">"
    )


def test_names_that_mean_something_to_a_plot_are_shown_as_text(ws: Workspace) -> None:
    judged(ws, {"_test $x^2$": 0.5, "$": 0.4}, model="_m$a$", seed=1)
    page, _, _ = report(ws)
    assert "_m$a$-large" in page.text.replace("\N{ZERO WIDTH SPACE}", "")


def test_simulated_data_is_marked_and_apart(ws: Workspace) -> None:
    judged(ws, 0.8)
    judged(ws, 0.9, provenance="simulated", dataset="made")
    page, html, done = report(ws)
    assert done.datasets == ("set_01", "made")
    assert "say nothing of a real car" in page.text
    real, simulated = html.split('<section id="section-')[1:3]
    assert "simulated" not in real.split("</section>")[0]
    assert simulated.count('class="badge simulated"') >= 2


def test_real_data_alone_has_no_warning(ws: Workspace) -> None:
    judged(ws, 0.8)
    assert "say nothing of a real car" not in report(ws)[0].text


def test_headings_tables_and_pictures_can_be_read_aloud(ws: Workspace) -> None:
    judged(ws, 0.8)
    judged(ws, 0.9, provenance="simulated", dataset="made")
    page, html, _ = report(ws)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(page.named("caption")) == len(page.named("table"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.named("svg"))
    assert all(th.get("scope") in ("col", "row") for th in page.named("th"))
    assert len(page.named("figcaption")) == len(page.named("figure")) == len(page.named("svg"))
    assert 'lang="en"' in html


def test_ids_are_unique_and_every_link_leads_somewhere(ws: Workspace) -> None:
    judged(ws, 0.8)
    judged(ws, 0.9, provenance="simulated", dataset="made")
    page, html, _ = report(ws)
    assert len(page.ids) == len(set(page.ids))
    targets = re.findall(r'(?:href="#|url\(#)([^")]+)', html)
    assert targets
    assert set(targets) <= set(page.ids)


def test_what_is_said_already_is_not_said_in_each_row(ws: Workspace) -> None:
    judged(ws, 0.9, provenance="simulated", dataset="simulated_car")
    _, html, _ = report(ws)
    # In the warning, the contents and the section's heading.
    assert html.count('class="badge simulated"') == 3


def test_what_is_wider_than_a_narrow_screen_says_that_it_scrolls(ws: Workspace) -> None:
    judged(ws, 0.8)
    page, _, _ = report(ws)
    inside = ("scroll", "plot wide", "plot small")
    scrolling = [each for each in page.named("div") if each.get("class") in inside]
    assert len([each for each in scrolling if each["class"] != "scroll"]) == 4
    assert all(each.get("tabindex") == "0" and each.get("role") == "region" for each in scrolling)
    assert page.text.count("scroll sideways") == 6


def test_captions_of_a_single_config_and_epoch_say_so(ws: Workspace) -> None:
    record = judged(ws, 0.8)
    (folder,) = ws.runs.glob(f"*/*/{record.run_id}")
    metrics = folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text().splitlines()[0] + "\n")
    page, _, _ = report(ws)
    assert "1 of 1 configs" not in page.text
    assert "There is one config, so it is the front." in page.text
    assert "Of a single epoch, filled: validation; hollow: training." in page.text


def test_captions_of_fronts_explain_lines_and_axis(ws: Workspace) -> None:
    for seed in range(2):
        judged(ws, 0.8 + seed / 1000, seed=seed, config={"model.hidden": 16}, parameters=10)
        judged(ws, 0.81 + seed / 1000, seed=seed, config={"model.hidden": 32}, parameters=20)
    page, _, _ = report(ws)
    assert "2 of 2 configs are on the front" in page.text
    assert "The vertical axis shows 0.76 to 0.86 of the whole 0 to 1." in page.text
    assert "Grey lines with caps are 95 % t-intervals over seeds." in page.text
    assert "The blue steps join the front." in page.text
    assert "gat-large (hidden=16)" in page.text


def test_one_seed_is_said_to_have_no_interval(ws: Workspace) -> None:
    judged(ws, 0.8)
    page, _, _ = report(ws)
    assert "Every bar is a single seed, so there are no intervals." in page.text


def test_chosen_runs_are_all_shown_and_no_other(ws: Workspace) -> None:
    one, other = judged(ws, 0.8), judged(ws, 0.9, model="vgae")
    two = trained(ws, config={"model.hidden": 64})
    evaluation = judge(ws, two, 0.7)
    page, _, done = report(ws, runs=[one.run_id, evaluation.run_id])
    assert done.models == 2
    assert one.run_id in page.text
    assert two.run_id in page.text
    assert other.run_id not in page.text


def test_a_chosen_run_is_never_missing_in_silence(ws: Workspace) -> None:
    one, two = judged(ws, 0.8), trained(ws, seed=1)
    with pytest.raises(RunError, match=f"'{two.run_id}' can't be shown") as caught:
        write_report(ws, runs=[one.run_id, two.run_id])
    assert f"kdgat evaluate {two.run_id}" in caught.value.hint
    assert not (ws.home / "reports").exists()


def test_more_models_than_a_plot_holds_are_counted(ws: Workspace) -> None:
    for number in range(len(COLOURS) + 2):
        judged(ws, 0.5 + number / 100, model=f"model{number}")
    page, _, done = report(ws)
    assert done.models == len(COLOURS) + 2
    assert f"Of {len(COLOURS) + 2} models the best {len(COLOURS)} are drawn." in page.text


def test_models_without_epochs_costs_or_figures_leave_gaps(ws: Workspace) -> None:
    record = trained(ws)
    judge(ws, record, {SCENARIOS[0]: 0.8, SCENARIOS[1]: None})
    (folder,) = ws.runs.glob(f"*/*/{record.run_id}")
    (folder / "metrics.jsonl").unlink()
    page, _, _ = report(ws)
    assert "Learning curves" not in page.text
    assert "0.8000" in page.text


def test_the_file_is_written_whole_or_not_at_all(ws: Workspace, tmp_path: Path) -> None:
    judged(ws, 0.8)
    out = tmp_path / "deep" / "report.html"
    done = write_report(ws, out=str(out))
    assert out.stat().st_size == done.size_bytes
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    before = out.read_bytes()
    with pytest.raises(RunError):
        write_report(ws, out=str(out), metric="f2")
    assert out.read_bytes() == before


def test_a_folder_is_no_file(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is a folder") as caught:
        write_report(ws, out=str(tmp_path))
    assert "report.html" in caught.value.hint


def test_nothing_judged_says_what_to_do(ws: Workspace) -> None:
    with pytest.raises(RunError) as caught:
        write_report(ws)
    assert "kdgat evaluate" in caught.value.hint
