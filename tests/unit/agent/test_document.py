"""AGENTS.md: its sections within the budget, beside what the user wrote."""

from __future__ import annotations

from kdgat.agent.document import chosen_blocks, document, text_of
from kdgat.agent.marks import Block, blocks
from kdgat.agent.section import Section
from kdgat.agent.template import Slot, Template


def section(text: str) -> Section:
    return Section("here", {"fact": text}, text, "`ls`")


def template(budget: int, *slots: tuple[str, int]) -> Template:
    parts: list[str | Slot] = ["# Title\n\n"]
    for name, rank in slots:
        parts += [Slot(name, rank), "\n"]
    return Template(budget, tuple(parts))


SLOTS = (("first", 2), ("second", 3), ("third", 1))
LONG = {"first": section("a " * 400), "second": section("b " * 400), "third": section("c " * 400)}


def test_over_the_budget_the_lowest_ranked_section_goes_first_and_says_so_in_one_line() -> None:
    chosen, states = chosen_blocks(template(520, *SLOTS), LONG)
    assert [state.state for state in states] == ["shown", "left out", "shown"]
    told = chosen[1].body
    assert "\n" not in told
    assert "'second' is left out: 221 tokens" in told
    assert "budget of 520. `ls` tells it." in told


def test_of_all_sections_the_highest_ranked_goes_last() -> None:
    states = chosen_blocks(template(340, *SLOTS), LONG)[1]
    assert [state.state for state in states] == ["left out", "left out", "shown"]
    assert sum(state.tokens for state in states) <= 340


def test_a_section_shorter_than_the_line_that_tells_of_it_stays() -> None:
    made = {**LONG, "second": section("short")}
    states = chosen_blocks(template(450, *SLOTS), made)[1]
    assert [state.state for state in states] == ["left out", "shown", "shown"]


def test_a_section_with_nothing_to_say_is_not_there() -> None:
    given = template(5000, *SLOTS)
    made = {**LONG, "first": section("")}
    chosen, _ = chosen_blocks(given, made)
    assert [block.name for block in chosen] == ["second", "third"]
    text = text_of(document(None, given, chosen, "AGENTS.md"))
    assert text.startswith("# Title\n\n<!-- kdgat:begin second")


def made(*names: str) -> tuple[Block, ...]:
    return tuple(Block(name, "here", "0", f"text of {name}") for name in names)


def test_a_file_that_is_not_there_is_made_from_the_template() -> None:
    text = text_of(document(None, template(99, *SLOTS), made("first", "second", "third"), "A"))
    assert text.startswith("# Title\n\n<!-- kdgat:begin first source=here inputs=0 -->\n")


def test_a_users_file_gets_the_sections_at_its_end() -> None:
    text = text_of(document("# Mine\r\nno end", template(99, *SLOTS), made("first", "second"), "A"))
    assert text.startswith("# Mine\r\nno end\n\n<!-- kdgat:begin first")
    assert text.endswith("<!-- kdgat:end second -->\n")
    assert "Title" not in text


def test_a_section_goes_where_its_marks_are_and_a_new_one_behind_its_neighbour() -> None:
    given = template(99, *SLOTS)
    one, two, three = made("first", "second", "third")
    there = f"top\n{three.text}middle\n{one.text}end\n"
    parts = document(there, given, (one, two, three), "A")
    assert text_of(parts) == f"top\n{three.text}middle\n{one.text}\n{two.text}end\n"


def test_a_section_that_the_template_lost_goes_and_the_text_around_it_stays() -> None:
    one, two = made("first", "second")
    there = f"top\n{one.text}middle\n{two.text}end\n"
    parts = document(there, template(99, ("second", 1)), (two,), "A")
    assert list(blocks(parts)) == ["second"]
    assert text_of(parts) == f"top\nmiddle\n{two.text}end\n"
