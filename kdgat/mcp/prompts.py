"""Prompts: what a user asks for by name, put so that the agent knows which tools to call in order.

A prompt is prepared with facts of the workspace where they are cheap. `switch-mode` is the user's
switch: clients offer prompts to their user, and no tool does the same. Every function here may read
many files: call it off the event loop. A mistake is a `KdgatError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdgat.errors import ConfigError, did_you_mean
from kdgat.mcp import prompt_facts as facts
from kdgat.mcp.arguments import check_text
from kdgat.mcp.handler import served_tools
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from mcp_types import GetPromptResult, ListPromptsResult


@dataclass(frozen=True)
class Argument:
    """One argument of a prompt, always text."""

    name: str
    description: str
    required: bool = True
    most: int = 4_000
    """Characters it may have."""


@dataclass(frozen=True)
class PromptRow:
    """One prompt."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    text: Callable[[Workspace, Mapping[str, str]], str]
    """Makes the message from checked arguments; those left out are missing."""


def listed() -> ListPromptsResult:
    """Every prompt; they are the same in every mode."""
    from mcp_types import ListPromptsResult, Prompt, PromptArgument

    found = [
        Prompt(
            name=row.name,
            description=row.description,
            arguments=[
                PromptArgument(name=each.name, description=each.description, required=each.required)
                for each in row.arguments
            ],
        )
        for row in PROMPTS
    ]
    return ListPromptsResult(prompts=found)


def render(ws: Workspace, name: str, arguments: Mapping[str, Any] | None) -> GetPromptResult:
    """The message of a prompt.

    Raises:
        ConfigError: there is no such prompt, or an argument is missing, unknown or no plain text.
        KdgatError: what an argument names does not exist.
    """
    from mcp_types import GetPromptResult, PromptMessage, TextContent

    row = next((each for each in PROMPTS if each.name == name), None)
    if row is None:
        known = [each.name for each in PROMPTS]
        raise ConfigError(f"there is no prompt {name[:60]!r}", hint=did_you_mean(name[:60], known))
    text = row.text(ws, _checked(row, arguments or {}))
    message = PromptMessage(role="user", content=TextContent(type="text", text=text))
    return GetPromptResult(description=row.description, messages=[message])


def _checked(row: PromptRow, given: Mapping[str, Any]) -> dict[str, str]:
    """The arguments, without those left empty."""
    known = {each.name: each for each in row.arguments}
    hint = f"{row.name} takes " + ", ".join(
        f"{each.name} ({each.description})" for each in row.arguments
    )
    checked: dict[str, str] = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{row.name} has no argument {name[:60]!r}", hint=hint)
        if not isinstance(value, str) or len(value) > known[name].most:
            most = f"text of at most {known[name].most:,} characters"
            raise ConfigError(f"'{name}' of {row.name} is no {most}", hint="shorten it")
        check_text(name, value)
        if value.strip():
            checked[name] = value.strip()
    for each in row.arguments:
        if each.required and each.name not in checked:
            raise ConfigError(f"{row.name} needs '{each.name}'", hint=hint)
    return checked


def _challenge(ws: Workspace, given: Mapping[str, str]) -> str:
    return f"""\
Challenge this plan before anything is changed, submitted or spent.

{facts.given("the plan", given["plan"])}

{facts.of_workspace(ws)}

Work in this order, and stop where the plan is settled:
1. Say in one sentence what it claims will get better, and which figure would show it.
2. `prior_art` with what it builds, then `docs_lookup`: was it met before, and whose library solves
   it? `runs` (action 'list', then 'compare'): do runs answer it already?
3. Its cost: `memory_plan` for the largest config it needs, `plan_job` for GPU-hours, wait and
   script. Submit nothing.
4. Two or three designs, each with cost (GPU-hours, lines, what else changes) and with the result
   that would refute it: the plan, the smallest change that tests its claim, and a rival.
5. The traps of this field: windows that leak between splits, a threshold that does not carry over
   to an unknown vehicle, one seed, validation figures as headline, simulated data among real.

A good answer fits on a page, names a source for every claim (run id, page, package), recommends one
design in its last line, and says plainly when the plan's own idea is not the best one."""


def _prior_art(_ws: Workspace, given: Mapping[str, str]) -> str:
    return f"""\
Find out whether this exists already, before anybody builds it.

{facts.given("the task", given["task"])}

1. `prior_art` with the task; again in the field's other words, and with the error or the method's
   name where there is one.
2. `docs_lookup` (action 'search') for the lab's own way; action 'section' for the pages that fit.
3. `runs` (action 'list') for runs that did it, `registry` where the result is a model.
4. Judge what was found: does it solve all, a part, or another problem? What does adopting cost:
   licence, upkeep, dependencies, how much of ours it replaces?

A good answer is a table of at most five rows (what, where it was found, what it solves, cost), then
one line: use it, adapt it, or write it, and why. If nothing fits, say what was asked and that
nothing was found; do not fill the table."""


def _debug(ws: Workspace, given: Mapping[str, str]) -> str:
    return f"""\
Find out why this run went wrong, and the smallest change that mends it.

{facts.of_run(ws, given["run"])}

1. Name the line that tells the cause. If it is not above: `status` with this run and the log's
   tail, or `runs` (action 'show').
2. `docs_lookup` (action 'troubleshoot') with that line: was it met before?
3. `runs` (action 'list') for the last run of this kind that was completed, then `runs` (action
   'compare') of the two: what differs in config, data and environment?
4. If memory is in it, `memory_plan` with this config: does it fit, and what would?
5. Say cause and evidence, the smallest fix, and what it costs to try (`plan_job`). Submit only when
   the user says so.

A good answer names one cause with the line or figure that proves it, or says which observation is
missing to decide between two. It mends the cause, not the symptom."""


def _write_up(ws: Workspace, given: Mapping[str, str]) -> str:
    if not given:
        raise ConfigError(
            "write-up needs a topic or runs",
            hint="give topic (what it is about), runs (ids with blanks between), or both",
        )
    names = given.get("runs", "").replace(",", " ").split()
    parts = [facts.given("the topic", given["topic"])] if "topic" in given else []
    parts.append(facts.of_runs(ws, names) if names else facts.of_workspace(ws))
    known = "\n\n".join(parts)
    has_papers = "paper" in {row.name for row in served_tools(ws)}
    paper = "\n5. `paper`: does what a paper prints still hold?" * has_papers
    return f"""\
Write up what was found, so that somebody else can check every sentence.

{known}

1. `runs` (action 'list' where none are named, then 'compare'): which runs bear on it, what differs.
2. `registry` (action 'leaderboard'): where they stand, with intervals over seeds.
3. `docs_lookup` for the method's and the data's pages; link them, copy nothing.
4. Say what was tried and did not work: failed and lost runs are findings.{paper}

A good text has: the question in one sentence; what was done (config, data, seeds); a table of
figures, each with its run id, interval and scenario; what follows and what does not; what it cost.
No figure without a run id. Simulated data is named so wherever its figures stand. Test figures
were not used to choose anything. Where the evidence does not suffice, the text says so."""


def _switch(ws: Workspace, given: Mapping[str, str]) -> str:
    from kdgat.modes.packs import load_mode
    from kdgat.ops.modes import switch_mode

    done = switch_mode(ws, given["mode"], by="prompt")
    before = f"'{done.before}'" if done.before else "an unknown one"
    change = (
        f"from {before} to '{done.name}'" if done.is_changed else f"to '{done.name}', as it was"
    )
    return f"""\
I have switched the mode {change}. It is for: {done.description}

List the tools anew. From now on this holds:

{load_mode(ws, done.name).text}"""


PROMPTS: tuple[PromptRow, ...] = (
    PromptRow(
        "challenge-the-plan",
        "Ask what speaks against a plan, what exists already, and what would be cheaper.",
        (Argument("plan", "the plan, in your words or as the agent wrote it"),),
        _challenge,
    ),
    PromptRow(
        "prior-art",
        "Find libraries, pages and runs that solve a task already.",
        (Argument("task", "what is to be built or found out"),),
        _prior_art,
    ),
    PromptRow(
        "debug-run",
        "Find out why a run failed, with its reason and the end of its log at hand.",
        (Argument("run", "a run id, its beginning, or latest", most=100),),
        _debug,
    ),
    PromptRow(
        "write-up",
        "Write up a topic or runs, with a run id behind every figure.",
        (
            Argument("topic", "what it is about", required=False),
            Argument("runs", "run ids with blanks between, at most 8", required=False, most=400),
        ),
        _write_up,
    ),
    PromptRow(
        "switch-mode",
        "Switch the agent's mode; only you can.",
        (Argument("mode", "its name, as `kdgat mode list` has it", most=60),),
        _switch,
    ),
)
"""Every prompt, in the order in which it is listed."""
