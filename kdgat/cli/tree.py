"""The commands of `kdgat` as values, for the layer that writes their page."""

from __future__ import annotations

import inspect
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer

from kdgat.reference.commands import Command, Parameter

_EVERYWHERE = frozenset({"install_completion", "show_completion", "help"})


def command_tree(command: Any, name: str = "kdgat") -> Command:
    """A command with all below it that a person is meant to type.

    Args:
        command: a command of click's kind. Typer carries its own copy of click, whose classes have
            no public name; what is asked of them here is in both.
        name: as it is typed.
    """
    below = getattr(command, "commands", {})
    return Command(
        name=name,
        text=inspect.cleandoc(command.help or ""),
        parameters=tuple(
            _parameter(each)
            for each in command.params
            if not getattr(each, "hidden", False) and each.name not in _EVERYWHERE
        ),
        commands=tuple(
            command_tree(each, f"{name} {key}") for key, each in below.items() if not each.hidden
        ),
    )


def whole_tree(context: typer.Context) -> Command:
    """The tree that the command being run is part of."""
    return command_tree(context.find_root().command)


def _parameter(each: Any) -> Parameter:
    is_option = each.param_type_name == "option"
    is_flag = bool(getattr(each, "is_flag", False))
    return Parameter(
        names=(*each.opts, *each.secondary_opts) if is_option else (each.name.upper(),),
        kind="" if is_flag else _kind(each),
        default="" if is_flag and not each.default else _default(each.default),
        required=each.required,
        repeated=each.nargs == -1 or bool(getattr(each, "multiple", False)),
        meaning=getattr(each, "help", None) or "",
    )


def _kind(each: Any) -> str:
    """Choices, or a type and its range."""
    kind = _without_none(each.type_descriptor.annotation)
    if get_origin(kind) in (list, tuple):
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    limits = [f"{sign} {bound}" for sign, bound in (("≥", each.min), ("≤", each.max))
              if bound is not None]  # fmt: skip
    words = {"str": "text", "int": "whole number", "float": "number", "Path": "path"}
    name = getattr(kind, "__name__", str(kind))
    return ", ".join((words.get(name, name), *limits))


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        kinds = [each for each in get_args(kind) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else kind
    return kind


def _default(value: object) -> str:
    if value is None or value == () or callable(value):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
