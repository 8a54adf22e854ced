"""Pages that a site's build makes: links to them are good, and nothing else becomes so."""

from __future__ import annotations

from pathlib import Path

from kdgat.knowledge.checks import findings
from kdgat.knowledge.sources import site_at
from kdgat.ops.docs import check_docs
from kdgat.workspace import Workspace

CHECKOUT = Path(__file__).parents[3]


def test_a_generated_page_is_no_dead_link_and_another_one_is(ws: Workspace, tmp_path: Path) -> None:
    root = tmp_path / "made"
    (root / "docs").mkdir(parents=True)
    settings = root / "mkdocs.yml"
    nav = "nav: [index.md, board.md, gone.md]\n"
    settings.write_text(f"extra:\n  generated_pages: [board.md]\n{nav}")
    page = "# Home\n\n[a](board.md#top) [b](board/)\n\n[c](gone.md)\n"
    (root / "docs" / "index.md").write_text(page)
    found = [(each.page, each.line, each.what) for each in check_docs(ws, path=root).findings]
    assert found == [
        ("index.md", 5, "'gone.md': there is no 'gone.md'"),
        ("mkdocs.yml", 0, "'gone.md' of the navigation is no page"),
    ]
    settings.write_text(nav)
    assert sum("board" in each.what for each in check_docs(ws, path=root).findings) == 3


def test_every_page_of_this_sites_navigation_is_there_or_generated() -> None:
    assert findings(site_at("kdgat", CHECKOUT), {}, stale_days=365) == []
