"""The page of the command line; the commands come as values, since this layer lies below it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdgat.reference.markdown import code, fence, page, prose, table


@dataclass(frozen=True)
class Parameter:
    """An argument or an option of a command."""

    names: tuple[str, ...]
    """As typed: `--json`, `-m`; of an argument its name in capitals."""
    kind: str
    """What may be given; empty for a flag."""
    default: str
    required: bool
    repeated: bool
    meaning: str

    @property
    def is_option(self) -> bool:
        """Whether it is named where it is given."""
        return self.names[0].startswith("-")


@dataclass(frozen=True)
class Command:
    """One command, or a group of them."""

    name: str
    """With those above it: `kdgat runs list`."""
    text: str
    parameters: tuple[Parameter, ...] = ()
    commands: tuple[Command, ...] = ()


def commands_page(root: Command) -> str:
    """Every command that a person types, with arguments, options and an example."""
    single = [each for each in root.commands if not each.commands]
    groups = [each for each in root.commands if each.commands]
    intro = (
        "Every command with its arguments, options and an example, as `--help` tells them. With "
        "`--json` a command prints the operation's result "
        "and nothing else. A mistake prints two lines and exits with 2."
    )
    overview = table(
        ("command", "what it does"),
        (
            (f"[`{each.name}`](#{anchor(each.name)})", prose(_summary(each.text)))
            for each in root.commands
        ),
    )
    parts = [overview]
    parts += [_section(each, 2) for each in single]
    for group in groups:
        parts += [f"## {code(group.name)} {{#{anchor(group.name)}}}", prose(group.text)]
        parts += [_section(each, 3) for each in group.commands]
    return page("Command line", intro, *parts)


def anchor(name: str) -> str:
    """The anchor of a command's heading."""
    return name.replace(" ", "-")


def _summary(text: str) -> str:
    return text.strip().split("\n\n")[0]


def _section(command: Command, level: int) -> str:
    told, examples = _examples(command.text)
    parts = [
        f"{'#' * level} {code(command.name)} {{#{anchor(command.name)}}}",
        *(prose(paragraph) for paragraph in told),
        fence("\n".join((_usage(command), *examples)), "text"),
        table(("argument or option", "value", "default", "meaning"), _rows(command)),
    ]
    return "\n\n".join(part for part in parts if part)


def _usage(command: Command) -> str:
    arguments = []
    for each in command.parameters:
        if each.is_option:
            continue
        name = f"{each.names[0]}{'...' * each.repeated}"
        arguments.append(name if each.required else f"[{name}]")
    options = " [OPTIONS]" if any(each.is_option for each in command.parameters) else ""
    return " ".join((f"{command.name}{options}", *arguments))


def _rows(command: Command) -> list[tuple[str, str, str, str]]:
    return [
        (
            ", ".join(map(code, each.names)),
            ("several: " if each.repeated else "") + each.kind,
            "needed" if each.required else code(each.default),
            prose(each.meaning),
        )
        for each in command.parameters
    ]


def _examples(text: str) -> tuple[list[str], list[str]]:
    """The paragraphs of a help text, and the commands of its example."""
    told: list[str] = []
    examples: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        match = re.match(r"Examples?:\s*", paragraph)
        if match:
            lines = paragraph[match.end() :].splitlines()
            examples += [line.strip() for line in lines if line.strip()]
        else:
            told.append(paragraph)
    return told, examples
