"""`kdgat questions ...`: what is not known yet, what speaks for and against it, what came out.

The user's own command shows questions in every mode; modes that hide them hide them from agents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kdgat.cli.options import AsJson, complete_run
from kdgat.cli.output import cell, counted, print_json, print_table, say, warn
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.modes.evidence import Evidence
    from kdgat.modes.watching import TriggerState, Watched
    from kdgat.ops.questions import QuestionView, QuestionWritten

app = typer.Typer(help="Open questions: raise, follow and close them.", no_args_is_help=True)


def complete_question(incomplete: str) -> list[tuple[str, str]]:
    """Ids of questions that fit what was typed so far, with their titles."""
    from kdgat.errors import KdgatError
    from kdgat.runs.open_questions import read_questions

    try:
        known, _ = read_questions(Workspace.find())
    except KdgatError:
        # Half a line is typed: an error in the middle of it would help nobody.
        return []
    return [(each.id, each.title) for each in known if each.id.startswith(incomplete)]


QuestionId = Annotated[
    str,
    typer.Argument(help="Number of the question: 3 or 0003.", autocompletion=complete_question),
]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]


@app.command()
def add(
    title: Annotated[str, typer.Argument(help="The question, in one line.")],
    hypothesis: Annotated[str, typer.Option(help="What may turn out wrong.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag; several times for more.")] = None,
    trigger: Annotated[str, typer.Option(help="What raises it, in words.")] = "",
    trigger_sql: Annotated[
        str, typer.Option(help="SQL over the history that gives one boolean or one count.")
    ] = "",
    watch: Annotated[
        str, typer.Option(help="SQL over the history whose answer is shown with the question.")
    ] = "",
    body: Annotated[str, typer.Option(help="The discussion, Markdown.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write down a question, as a file that is then edited by hand.

    Example: kdgat questions add "Does a longer window help?" --hypothesis "F1 rises" --tag window
    """
    from kdgat.ops.questions import add_question

    done = add_question(
        Workspace.find(),
        title,
        hypothesis=hypothesis,
        tags=tag or (),
        trigger_text=trigger,
        trigger_sql=trigger_sql,
        watch=watch,
        body=body,
    )
    _print_written(done, "written", as_json)


@app.command(name="list")
def list_(
    status: Annotated[
        str | None, typer.Option(help="Only open, answered, dropped or historical ones.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    order: Annotated[
        Literal["relevance", "number"], typer.Option(help="What comes first.")
    ] = "relevance",
    days: Annotated[
        int, typer.Option(min=1, max=10_000, help="Days of runs, up to the newest, that count.")
    ] = 14,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List questions: fired triggers first, then what shares most words with recent runs.

    Example: kdgat questions list --status open
    """
    from kdgat.ops.questions import list_questions

    found = list_questions(
        Workspace.find(), status=status, tag=tag, order=order, days=days, limit=limit
    )
    if as_json:
        return print_json(found)
    columns = ("id", "question", "status", "runs", "why now")
    rows = [(each.id, each.title, each.status, each.runs, each.why or "-") for each in found.items]
    print_table(counted(found.total, "question"), columns, rows)
    if found.truncated:
        say("there are more: raise --limit")
    return warn(*found.faults, *found.notes)


@app.command()
def show(question: QuestionId, as_json: AsJson = False) -> None:
    """One question, what the history says to it now, and its runs.

    Example: kdgat questions show 1
    """
    from kdgat.ops.questions import show_question

    view = show_question(Workspace.find(), question)
    if as_json:
        return print_json(view)
    return _print_view(view)


@app.command()
def link(
    question: QuestionId,
    run: Annotated[
        str | None,
        typer.Argument(
            help="The run that speaks for or against it: an id, its beginning, 'latest', or a "
            "model such as simulated-gat-large@champion.",
            autocompletion=complete_run,
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="A sentence for the end of the discussion.")] = "",
    as_json: AsJson = False,
) -> None:
    """Link a run to a question as evidence, add a dated note, or both.

    Example: kdgat questions link 1 latest --note "F1 stays below AUROC with another window"
    """
    from kdgat.ops.questions import link_question

    done = link_question(Workspace.find(), question, run=run, note=note)
    _print_written(done, f"linked to {done.run_id}" if done.run_id else "noted", as_json)


@app.command()
def close(
    question: QuestionId,
    answer: Annotated[str, typer.Option(help="What came out, or why it is dropped.")],
    status: Annotated[
        Literal["answered", "dropped", "historical"], typer.Option(help="What it is from now on.")
    ] = "answered",
    as_json: AsJson = False,
) -> None:
    """Close a question with what came out.

    Example: kdgat questions close 1 --answer "Yes: .92 with 500 benign windows of the new car"
    """
    from kdgat.ops.questions import close_question

    done = close_question(Workspace.find(), question, answer=answer, status=status)
    _print_written(done, done.status, as_json)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Words to look for.")],
    limit: Limit = 10,
    as_json: AsJson = False,
) -> None:
    """Questions that hold words of a query, closed ones too, best first.

    Example: kdgat questions search "threshold of another vehicle"
    """
    from kdgat.ops.questions import search_questions

    found = search_questions(Workspace.find(), query, limit=limit)
    if as_json:
        return print_json(found)
    for each in found.items:
        say(f"{each.id} {each.title}  ({each.status}, {each.score:.2f})", f"  | {each.quoted}")
    if not found.items:
        say("no question holds any of these words")
    return warn(*found.faults)


def _print_written(done: QuestionWritten, what: str, as_json: bool) -> None:
    if as_json:
        return print_json(done)
    return say(f"{done.id} {done.title}: {what if done.changed else 'was so before'}", done.file)


def _print_view(view: QuestionView) -> None:
    question = view.question
    say(f"{question.id} {question.title}", f"{question.status}, opened {question.opened}")
    said = {
        "tags": ", ".join(question.tags),
        "hypothesis": question.hypothesis,
        "answer": f"{question.answer} ({question.closed or 'undated'})" if question.answer else "",
        "trigger": _trigger(view.trigger),
        "file": question.file,
    }
    say(*(f"{name}: {text}" for name, text in said.items() if text))
    if view.watch:
        _print_watch(view.watch)
    if view.evidence:
        rows = [
            (each.run_id, each.name, each.stage, each.state, *figure)
            for each in view.evidence
            for figure in _figures(each)
        ]
        columns = ("run", "name", "stage", "state", "figure", "scenario", "value")
        print_table("Evidence", columns, rows)
    say(*(f"  | {line}" for line in question.body.splitlines()))
    warn(*view.notes)


def _figures(evidence: Evidence) -> Sequence[tuple[str | None, str | None, float | None]]:
    """A row for each figure, or an empty one."""
    rows = [(figure.name, figure.scenario, figure.value) for figure in evidence.figures]
    return rows or [(None, None, None)]


def _print_watch(watch: Watched) -> None:
    if watch.problem:
        return warn(f"what is watched can't be asked: {watch.problem}")
    print_table("Watched", watch.columns, watch.rows)
    return say(*(["there are more rows"] if watch.truncated else []))


def _trigger(state: TriggerState | None) -> str:
    if state is None:
        return ""
    if state.problem:
        return f"{state.text}: not known, {state.problem}"
    return f"{state.text}: {'fired' if state.fired else 'not yet'} ({cell(state.value)})"
