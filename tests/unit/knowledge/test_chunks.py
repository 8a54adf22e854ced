"""Pages are cut as the site shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.knowledge.chunks import Page, read_page
from kdgat.knowledge.markdown import headings, slug, visible
from kdgat.knowledge.snippets import Taken, expand


def page(text: str) -> Page:
    return read_page(text, "page")


def texts(text: str) -> list[str]:
    return [unit.text for section in page(text).sections for unit in section.units]


def test_a_section_knows_its_trail_its_anchor_and_its_line() -> None:
    found = page("# Top\n\nintro\n\n## A `code` **b**\n\nx\n\n### Deep\n\ny\n\n#### Within\n\nz\n")
    assert [(s.heading, s.anchor, s.trail, s.line) for s in found.sections] == [
        ("Top", "top", (), 1),
        ("A code b", "a-code-b", ("Top",), 5),
        ("Deep", "deep", ("Top", "A code b"), 9),
    ]
    assert [unit.text for unit in found.sections[2].units] == ["y", "#### Within", "z"]


def test_a_heading_that_stands_twice_has_a_numbered_anchor() -> None:
    lines = ["## Use", "## Use", "## Use", "## Use_1", "## {#own} x", "## Given {#own}"]
    assert [each.anchor for each in headings(lines)][:4] == ["use", "use_1", "use_2", "use_3"]
    assert headings(["## Given { #own .c }"])[0].anchor == "own"


@pytest.mark.parametrize(
    ("text", "anchor"),
    [
        ("What's **new** & `x_y`?", "whats-new-x_y"),
        ("Été à la carte", "ete-a-la-carte"),
        (":material-home: Home", "home"),
        ("The `__init__` file", "the-__init__-file"),
        ("See [the guide](x.md) - now", "see-the-guide-now"),
    ],
)
def test_an_anchor_is_the_one_that_the_site_makes(text: str, anchor: str) -> None:
    assert slug(text) == anchor


def test_anchors_are_those_of_python_markdown_on_real_pages(corpora: Path) -> None:
    markdown = pytest.importorskip("markdown")
    emoji = pytest.importorskip("material.extensions.emoji")
    names = ("toc", "attr_list", "admonition", "tables", "md_in_html", "pymdownx.superfences",
             "pymdownx.tabbed", "pymdownx.details", "pymdownx.emoji")  # fmt: skip
    settings = {
        "pymdownx.tabbed": {"alternate_style": True},
        "pymdownx.emoji": {"emoji_index": emoji.twemoji, "emoji_generator": emoji.to_svg},
    }
    wrong = []
    for path in sorted((corpora / "lab-setup-guide" / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        body = text.split("\n---\n", 1)[1] if text.startswith("---\n") else text
        reader = markdown.Markdown(extensions=list(names), extension_configs=settings)
        reader.convert(body)
        ours = [each.anchor for each in headings(visible(body).split("\n"))]
        if sorted(_ids(reader.toc_tokens)) != sorted(ours):
            wrong.append(path.name)
    # Its fences lie within each other with marks of one length, which no two readers read alike.
    assert wrong == ["github-issues-and-prs.md"]


def _ids(tokens: list[dict]) -> list[str]:
    return [each for t in tokens for each in (t["id"], *_ids(t["children"]))]


def test_boxes_and_tabs_are_opened_and_their_titles_kept() -> None:
    text = (
        '# T\n\n!!! warning "Careful"\n    Mind the **gap**.\n\n'
        "    ```bash\n    # not a heading\n    ls\n    ```\n\n"
        '=== "Linux"\n\n    apt\n\n=== "Mac"\n\n    brew\n\n??? tip\n    Hidden.\n'
    )
    units = page(text).sections[0].units
    assert [(u.kind, u.lead) for u in units] == [
        ("text", "Careful"), ("code", "Careful"),
        ("text", "Linux"), ("text", "Mac"), ("text", "Tip"),
    ]  # fmt: skip
    assert units[1].text == "```bash\n# not a heading\nls\n```"


def test_a_comment_in_code_is_no_heading() -> None:
    found = page("# T\n\n````md\n```\n# no\n```\n## no\n````\n\n## Yes\n")
    assert [section.heading for section in found.sections] == ["T", "Yes"]


def test_a_table_is_shown_by_rows_under_its_head() -> None:
    unit = page("# T\n\n| A | B |\n|---|---|\n| 1 | [x](y.md) |\n").sections[0].units[0]
    assert (unit.kind, unit.text, unit.lead) == ("row", "| 1 | x |", "| A | B |")


def test_abbreviations_and_glossaries_are_read_and_not_shown() -> None:
    found = page(
        "# T\n\n| Term | Definition |\n|---|---|\n| Walltime | Most time |\n\n"
        "*[HPC]: High Performance\n"
    )
    assert found.terms == {"Walltime": "Most time", "HPC": "High Performance"}
    assert "HPC" not in " ".join(unit.text for unit in found.sections[0].units)


def test_scripts_comments_pictures_and_steering_signs_are_left_out() -> None:
    said = " ".join(
        texts(
            "# T\n\n<script>\nsteal()\n</script>\n\n<!-- secret -->\n\n```mermaid\ngraph A\n```\n\n"
            "\x1b[2Jplain <b>bold</b> [in](x.md) [out](https://e.org){ .c }\n"
        )
    )
    assert said == "[2Jplain bold in [out](https://e.org)"


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ("---\ntitle: [a\n---\n", "no YAML in line"),
        ("---\n- a\n---\n", "no table"),
        ("---\ntitle: a\n\n", "no end"),
    ],
)
def test_a_broken_front_matter_is_named_and_the_page_is_read(top: str, words: str) -> None:
    found = page(f"{top}# T\n\nthe text\n")
    assert words in found.problems[0]
    assert "the text" in [unit.text for section in found.sections for unit in section.units]


def test_a_page_without_headings_has_its_title_from_the_front_matter_or_its_name() -> None:
    assert page("---\ntitle: Given\n---\ntext\n").sections[0].heading == "Given"
    assert page("text\n").sections[0].heading == "page"


def test_the_day_of_review_is_read() -> None:
    assert page("---\ndate: 2026-01-02\n---\n# T\n").reviewed == "2026-01-02"
    assert page("<!-- last-reviewed: 2026-03-04 -->\n# T\n").reviewed == "2026-03-04"


def test_snippets_are_taken_in_whole_by_lines_and_by_part(tmp_path: Path) -> None:
    (tmp_path / "s.md").write_text("one\ntwo\n--8<-- [start:p]\nthree\n--8<-- [end:p]\n")
    taken = Taken()
    text = '--8<-- "s.md:1:2"\n  --8<-- "s.md:p"\n;--8<-- "s.md"\n--8<-- "../out.md"\n'
    made = expand(text, tmp_path, (tmp_path,), taken)
    assert made == 'one\ntwo\n  three\n--8<-- "s.md"\n'
    assert taken.problems == ["snippet '../out.md' is not in the site"]


def test_a_snippet_that_names_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "s.md").write_text('again\n--8<-- "s.md"\n')
    assert expand('--8<-- "s.md"', tmp_path, (tmp_path,), Taken()).count("again") == 8
