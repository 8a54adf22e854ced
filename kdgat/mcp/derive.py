"""A tool from a typed function: its input schema, its output schema and its description.

Schemas are read by a model with every session, so they are lean: no titles, no `$defs`, no default
that says nothing, and an output schema names fields and types and leaves the rest out.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from kdgat.mcp.table import ToolRow

MAX_TEXT = 500
"""Characters of a text argument where the function sets no limit."""
MAX_ITEMS = 50
"""Items of a list argument where the function sets no limit."""
GIVEN = ("ws", "progress", "confirm")
"""Parameters that the server fills."""
_SCALARS: dict[Any, str] = {
    str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null",
}  # fmt: skip
_SECTIONS = ("Args:", "Returns:", "Raises:", "Example:", "Examples:")


@dataclass(frozen=True)
class Derived:
    """A tool's function with everything that follows from its signature and docstring."""

    row: ToolRow
    function: Callable[..., Any]
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    arguments: type[BaseModel]
    """Checks a call's arguments."""
    given: frozenset[str]
    """Which of `GIVEN` the function takes."""


@cache
def derive(row: ToolRow) -> Derived:
    """The tool of a row; imports its function, once a process.

    Raises:
        TypeError: a parameter or a field is of a type that schemas don't tell (our own mistake).
    """
    module, _, name = row.function.partition(":")
    return derived(row, getattr(import_module(module), name))


def derived(row: ToolRow, function: Callable[..., Any]) -> Derived:
    """The tool of a row, whose function is at hand."""
    parameters = inspect.signature(function).parameters
    arguments = _arguments(row.name, function)
    answer = _evaluated(function, inspect.signature(function).return_annotation)
    if not dataclasses.is_dataclass(answer):
        raise TypeError(f"{row.function} returns {answer!r}, which is no dataclass")
    return Derived(
        row=row,
        function=function,
        description=description_of(function),
        input_schema=_lean(arguments.model_json_schema()),
        output_schema=schema_of(answer),
        arguments=arguments,
        given=frozenset(parameters) & frozenset(GIVEN),
    )


def description_of(function: Callable[..., Any]) -> str:
    """The docstring as a model reads it: a line a paragraph, without the sections for readers."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    told = [text for text in paragraphs if not text.startswith(_SECTIONS)]
    return "\n".join(_one_line(text) for text in told)


def _one_line(text: str) -> str:
    """Wrapped lines joined; 'Use when' and 'Not when' begin lines of their own."""
    lines: list[str] = []
    for line in text.split("\n"):
        if lines and not line.startswith(("Use when", "Not when")):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line.strip())
    return "\n".join(lines)


def _evaluated(function: Callable[..., Any], annotation: Any) -> Any:
    # One at a time: `ws` and its like may be of names that only type checkers import.
    if isinstance(annotation, str):
        return eval(annotation, function.__globals__)
    return annotation


def _arguments(name: str, function: Callable[..., Any]) -> type[BaseModel]:
    """A model of the parameters that a caller gives."""
    fields: dict[str, Any] = {}
    for each in inspect.signature(function).parameters.values():
        if each.name in GIVEN:
            continue
        kind = _limited(_evaluated(function, each.annotation))
        fields[each.name] = (kind, ... if each.default is each.empty else each.default)
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _limited(kind: Any) -> Any:
    """The same type with a limit on its length where it has none."""
    plain, told = _bare(kind), getattr(kind, "__metadata__", ())
    limited = any(
        getattr(each, "max_length", None) is not None
        for field in told
        for each in (field, *getattr(field, "metadata", ()))
    )
    if get_origin(plain) is list:
        item = Annotated[_limited(get_args(plain)[0]), Field()]
        plain, limit = list[item], MAX_ITEMS
    elif plain is str:
        limit = MAX_TEXT
    else:
        return kind
    optional = NoneType in get_args(_unannotated(kind))
    whole = plain | None if optional else plain
    extra = () if limited else (Field(max_length=limit),)
    return Annotated[whole, *told, *extra] if told or extra else whole


def _unannotated(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _bare(kind: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    kind = _unannotated(kind)
    if get_origin(kind) in (Union, UnionType):
        kinds = [each for each in get_args(kind) if each is not NoneType]
        return _unannotated(kinds[0]) if len(kinds) == 1 else kind
    return kind


def _lean(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of pydantic's without what a caller can do without."""
    properties = {name: _lean_field(each) for name, each in schema.get("properties", {}).items()}
    lean: dict[str, Any] = {"type": "object", "properties": properties}
    if schema.get("required"):
        lean["required"] = schema["required"]
    return {**lean, "additionalProperties": False}


def _lean_field(field: Mapping[str, Any]) -> dict[str, Any]:
    # `| None` only says that the argument may be left out, which `required` says as well.
    lean = dict(field)
    for each in lean.pop("anyOf", ()):
        if each.get("type") != "null":
            lean = {**each, **lean}
    lean.pop("title", None)
    if lean.get("default") in (None, "", [], False):
        lean.pop("default", None)
    if "const" in lean:
        lean["enum"] = [lean.pop("const")]
    if isinstance(items := lean.get("items"), Mapping):
        lean["items"] = _lean_field(items)
    return lean


def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of an answer or a field of one.

    Raises:
        TypeError: a type that says nothing, such as `Any` or a bare `dict`.
    """
    kind = _unannotated(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if origin is Literal:
        return {"enum": list(inner)}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    if origin in (Union, UnionType):
        return _either([schema_of(each) for each in inner])
    if origin in (tuple, list, frozenset) or (origin and issubclass(origin, Sequence)):
        # A tuple of unlike things would need its places told one by one: a dataclass is clearer.
        schemas = [schema_of(each) for each in inner if each is not Ellipsis]
        unlike = [each for place, each in enumerate(schemas) if each not in schemas[:place]]
        return {"type": "array", "items": _either(unlike)}
    if origin and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, vars(sys.modules[kind.__module__]), include_extras=True)
        names = [field.name for field in dataclasses.fields(kind)]
        if not names:
            raise TypeError(f"{kind.__name__} has no fields to tell of")
        return {"type": "object", "properties": {name: schema_of(hints[name]) for name in names}}
    raise TypeError(f"{kind!r} can't be told in a schema: name its fields in a dataclass")


def _either(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """One schema for values that fit any of some."""
    if len(schemas) == 1:
        return schemas[0]
    null = {"type": "null"} in schemas
    others = [each for each in schemas if each != {"type": "null"}]
    if all(set(each) == {"type"} for each in others):
        kinds = [each["type"] for each in others] + (["null"] if null else [])
        return {"type": list(dict.fromkeys(kinds))}
    if len(others) == 1 and null:
        (only,) = others
        if "enum" in only:
            return {"enum": [*only["enum"], None]}
        return {**only, "type": [only["type"], "null"]}
    return {"anyOf": schemas}
