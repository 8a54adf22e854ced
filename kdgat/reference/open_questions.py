"""Open questions as a page: what is asked, what may turn out wrong, what would decide."""

from __future__ import annotations

import posixpath
import re
import textwrap

from kdgat.knowledge.markdown import inline
from kdgat.ops.questions import QuestionItem, QuestionList
from kdgat.reference.markdown import code, prose, table
from kdgat.runs.open_questions import Question

_HEAD = "---\nhide:\n  - navigation\n---\n\n# Open questions"
_INTRO = (
    "What is not known yet, from the files in `modes/questions` when the site was built: "
    "`kdgat questions list` shows the same. How they are written, followed and closed is in the "
    "[guide](guide/questions.md)."
)
_EMPTY = (
    '!!! info "Nothing is asked here yet"\n'
    '    `kdgat questions add "Does a longer window help?"` writes the first one down.'
)
_PAGES = "knowledge/"
_LINK = re.compile(r"(!?)\[([^\]\n]*)\]\(\s*<?([^)\s>]+)>?[^)\n]*\)")
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~])")


def questions_page(found: QuestionList | None, questions: tuple[Question, ...]) -> str:
    """The page.

    Args:
        found: the questions in their order; None where there is none.
        questions: their files.
    """
    parts = [_HEAD, _INTRO]
    if found is None or not found.items:
        return "\n\n".join((*parts, _EMPTY)) + "\n"
    files = {each.id: each for each in questions}
    items = [each for each in found.items if each.id in files]
    parts.append(table(("", "question", "status", "runs"), map(_row, items)))
    parts += [_section(item, files[item.id]) for item in items]
    return "\n\n".join(parts) + "\n"


def _row(item: QuestionItem) -> tuple[object, ...]:
    fired = ", its trigger fired" if item.trigger and item.trigger.fired else ""
    title = f"[{_plain(item.title)}](#{_anchor(item.id)})"
    return item.id, title, f"{item.status}{fired}", item.runs


def _section(item: QuestionItem, question: Question) -> str:
    said = {
        "Asked": f"{question.opened}, {question.status}"
        + (f" {question.closed}" if question.closed else ""),
        "Hypothesis": _plain(question.hypothesis),
        "Answer": _plain(question.answer or ""),
        "Raised when": _plain(question.trigger.text if question.trigger else ""),
        "Evidence": ", ".join(map(code, question.evidence)),
        "Tags": ", ".join(map(_plain, item.tags)),
    }
    parts = [f"## {item.id}: {_plain(item.title)} {{#{_anchor(item.id)}}}"]
    parts += [f"**{name}.** {text}" for name, text in said.items() if text]
    if question.body:
        body = re.sub(r"\n{3,}", "\n\n", _quoted(question))
        parts.append(f'??? note "Discussion"\n\n{textwrap.indent(body, " " * 4)}')
    return "\n\n".join(parts)


def _quoted(question: Question) -> str:
    """The discussion without what would be the page's own: headings, tags, links to nowhere."""
    lines = []
    fence = ""
    for line in question.body.split("\n"):
        mark = line.strip()[:3]
        if fence or mark in ("```", "~~~"):
            fence = "" if mark == fence else fence or mark
            lines.append(line)
        elif heading := _HEADING.fullmatch(line):
            lines += ["", f"**{_plain(inline(heading[2]))}**", ""]
        else:
            indent = line[: len(line) - len(line.lstrip())]
            linked = _LINK.sub(lambda match: _link(question, match), line.strip())
            lines.append(indent + prose(linked))
    # An open fence would swallow every question below.
    return "\n".join([*lines, fence] if fence else lines)


def _link(question: Question, match: re.Match[str]) -> str:
    """A link to the web or to a page of this site; of any other its text."""
    picture, text, target = match.groups()
    if picture:
        return _plain(text)
    if target.startswith(("https://", "http://", "mailto:")):
        return f"[{text}]({target})"
    path, mark, anchor = target.partition("#")
    where = posixpath.normpath(posixpath.join(posixpath.dirname(question.file), path))
    if path.endswith(".md") and where.startswith(_PAGES):
        return f"[{text}]({where.removeprefix(_PAGES)}{mark}{anchor})"
    return text


def _plain(text: str) -> str:
    """A text on one line in which no sign is markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _anchor(question_id: str) -> str:
    return f"question-{question_id}"
