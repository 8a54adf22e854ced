"""A page goes to the end of its section, and a row to the end of its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.errors import WorkspaceError
from kdgat.ops.scaffolds.navigation import with_page, with_table_row

CHECKOUT = Path(__file__).parents[4]
SITE = """site_name: a
extra: !!python/name:a.b
nav:
  - Home: index.md
  - More:
      - Papers:
          - papers/index.md
          - One: papers/one.md
  - Last: last.md
"""


def test_a_page_is_the_last_of_its_section_at_any_depth() -> None:
    new = with_page(SITE, "mkdocs.yml", "Papers", "papers/two/index.md")
    assert new == SITE.replace("one.md\n", "one.md\n          - papers/two/index.md\n")


def test_the_sections_of_the_projects_own_site_are_found() -> None:
    text = (CHECKOUT / "mkdocs.yml").read_text()
    for section, folder in (("Papers", "papers"), ("Decisions", "decisions")):
        lines = with_page(text, "mkdocs.yml", section, "new.md").split("\n")
        place = lines.index("      - new.md")
        assert lines[place - 1].startswith(f"      - {folder}/")
        assert not lines[place + 1].startswith("      ")


@pytest.mark.parametrize("text", ["nav: [a.md]\n", "nav:\n  - Papers: [a.md]\n", "a: 1\n", ""])
def test_a_site_without_the_section_is_refused(text: str) -> None:
    with pytest.raises(WorkspaceError, match="no section 'Papers'"):
        with_page(text, "mkdocs.yml", "Papers", "a.md")


def test_what_is_no_yaml_is_refused() -> None:
    with pytest.raises(WorkspaceError, match="is no YAML"):
        with_page("nav: [", "mkdocs.yml", "Papers", "a.md")


def test_a_row_is_the_last_of_the_table_and_text_below_it_stays() -> None:
    page = "# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nBelow.\n"
    assert with_table_row(page, "index.md", "| 3 | 4 |") == page.replace(
        "| 1 | 2 |\n", "| 1 | 2 |\n| 3 | 4 |\n"
    )
    with pytest.raises(WorkspaceError, match="has no table"):
        with_table_row("# A\n", "index.md", "| 3 | 4 |")
