"""The pages of config, operations, errors and tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from kdgat import errors
from kdgat.configs.dataset import DATASETS, DatasetConfig, SimulationConfig
from kdgat.configs.model import KINDS, SIZES, model_preset
from kdgat.configs.resources import GPUS
from kdgat.configs.run import RunConfig
from kdgat.errors import KdgatError
from kdgat.reference.markdown import code, fence, first_sentence, page, prose, table
from kdgat.reference.sources import Operation, Result, Source, docstring_of, sections, table_of
from kdgat.runs.views import VIEWS
from kdgat.stages.table import STAGES

_GIB = 1 << 30


def config_page() -> str:
    """Every field of a run's config, of each model and of the simulator."""
    intro = (
        "Every field of a run's config: its values, its default and what it is, as the schema has "
        "it. Ranges and choices are checked when a config is made. "
        "How to write overrides is in the [guide](../guide/config.md)."
    )
    parts = ["## A run", table(_FIELD, _fields("", RunConfig))]
    for kind in KINDS:
        presets = [model_preset(kind, size) for size in SIZES]
        model = type(presets[0])
        rows = [
            (name, what, *(code(_show(getattr(each, field))) for each in presets), meaning)
            for field, (name, what, _, meaning) in zip(
                model.model_fields, _fields("model.", model), strict=True
            )
        ]
        parts += [
            f"## `model={kind}`",
            prose(first_sentence(model.__doc__ or "")),
            table(("field", "values", *SIZES, "meaning"), rows),
        ]
    parts += [
        "## The simulator",
        "Fields of `kdgat data simulate`.",
        table(_FIELD, _fields("", SimulationConfig)),
    ]
    return page("Config", intro, *parts)


def operations_page(modules: Iterable[Source]) -> str:
    """Every operation: signature, arguments, errors, and the fields of what it gives."""
    modules = list(modules)
    intro = (
        "What kdgat can do, as Python: each operation is a function that takes a workspace and "
        "gives a frozen dataclass. Commands call these and print; `--json` prints the same fields."
    )
    results = {name: each for module in modules for name, each in module.results.items()}
    parts = [
        fence(
            "from kdgat.ops.runs import list_runs\n"
            "from kdgat.workspace import Workspace\n\n"
            "list_runs(Workspace.find())",
            "python",
        )
    ]
    for module in modules:
        parts += [f"## `{module.name}`", prose(module.text.split("\n\n")[0])]
        parts += [_operation(each, results) for each in module.operations]
    return page("Operations", intro, *parts)


def errors_page(modules: Iterable[Source]) -> str:
    """The tree of errors, and what raises each."""
    raisers: defaultdict[str, list[str]] = defaultdict(list)
    for module in modules:
        for operation in module.operations:
            for name in operation.raises:
                raisers[name].append(f"[`{operation.name}`](ops.md#{_anchor(operation)})")
    intro = (
        "Everything that kdgat raises on purpose is a `KdgatError` with a `problem`, one sentence "
        "that names what, where and the value, and a `hint`, the next step. The command line "
        "prints both and exits with 2."
    )
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, KdgatError)
    ]
    tree = (errors.__doc__ or "").split("\n\n")[1]
    rows = (
        (code(kind.__name__), prose(sections(kind.__doc__ or "")[0]),
         ", ".join(raisers[kind.__name__]) or "-")
        for kind in kinds
    )  # fmt: skip
    return page(
        "Errors", intro, fence(tree), table(("error", "meaning", "operations that name it"), rows)
    )


def science_page() -> str:
    """DATASETS, MODELS and STAGES."""
    datasets = (
        (code(name), each.provenance, code(each.format), prose(each.citation) or "-")
        for name, each in DATASETS.items()
    )
    built = table_of("models/table.py", "MODELS")
    stage_of = {stage.kind: stage.name for stage in STAGES.values()}
    models = (
        (code(kind), code(stage_of.get(kind, "")) or "not in this version",
         prose(first_sentence(docstring_of("models", built[kind]))) if kind in built else "-")
        for kind in KINDS
    )  # fmt: skip
    stages = (
        (code(stage.name), code(stage.kind), stage.version,
         "benign windows" if stage.benign_only else "all windows")
        for stage in STAGES.values()
    )  # fmt: skip
    return page(
        "Datasets, models, stages",
        "The tables that names in an override are looked up in.",
        "## Datasets",
        "Known by name. Captures of your own take a name of your own, and a `--format`.",
        table(("dataset", "provenance", "format", "to cite"), datasets),
        "## Models",
        "`model=KIND`; what is not in this version can be composed and is refused in training.",
        table(("kind", "stage that trains it", "what is built"), models),
        "## Stages",
        "A stage's version goes up when the same config would give another model; runs of the old "
        "version then no longer count as done.",
        table(("stage", "trains", "version", "on"), stages),
        "## Formats",
        f"`--format` takes {_choices(DatasetConfig.model_fields['format'].annotation)}. What each "
        "looks like is in the [guide](../guide/data.md#raw-formats).",
    )


def gpus_page() -> str:
    """The catalogue of cards that memory is planned for."""
    rows = [
        (code(gpu.name), gpu.title,
         ".".join(map(str, gpu.compute_capability)) if gpu.compute_capability else "-",
         f"{gpu.total_bytes / _GIB:.2f}" if gpu.total_bytes else "-",
         f"{gpu.context_bytes / _GIB:.3f}", ", ".join(gpu.precisions))
        for gpu in GPUS.values()
    ]  # fmt: skip
    columns = ("name", "card", "compute capability", "memory (GiB)", "assumed context (GiB)",
               "precisions")  # fmt: skip
    return page(
        "GPUs",
        "Cards that `kdgat memory plan` knows; `--gpu` takes the name however it is spelt. Where "
        "the figures come from is in [a note](../decisions/0014-gpu-catalogue.md).",
        table(columns, rows),
    )


def history_page() -> str:
    """Views and columns of the history."""
    intro = (
        "What `kdgat history sql` may ask; `kdgat history tables` prints the same. How questions "
        "are guarded is in the [guide](../guide/history.md)."
    )
    parts: list[str] = []
    for view in VIEWS.values():
        rows = ((code(each.name), each.kind, prose(each.meaning)) for each in view.columns)
        parts += [
            f"## `{view.name}`",
            prose(view.meaning[:1].upper() + view.meaning[1:]) + ".",
            table(("column", "type", "meaning"), rows),
        ]
    return page("History's views", intro, *parts)


_FIELD = ("field", "values", "default", "meaning")


def _fields(prefix: str, kind: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and prefix != "model.":
            yield from _fields(f"{prefix}{name}.", inner)
        elif prefix + name == "model":
            yield (code(name), ", ".join(map(code, KINDS)), "", "kind of the model, see below")
        else:
            yield (
                code(prefix + name),
                _values(field),
                _default(field),
                prose(field.description or ""),
            )


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=not _needs_data(field))
    return "" if value is PydanticUndefined else code(_show(value))


def _needs_data(field: FieldInfo) -> bool:
    return field.default_factory is not None and bool(field.default_factory_takes_validated_data)


def _values(field: FieldInfo) -> str:
    """What may be given: choices or type, and the range."""
    bounds = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [
        f"{sign} {_show(getattr(each, name))}"
        for each in field.metadata
        for name, sign in bounds.items()
        if getattr(each, name, None) is not None
    ]
    return ", ".join(filter(None, (_choices(field.annotation), *limits)))


def _choices(kind: Any) -> str:
    """`32` or `fp16` of a Literal; the name of a type otherwise."""
    if getattr(kind, "__origin__", None) is None and isinstance(kind, type):
        return kind.__name__
    parts = [each for each in get_args(kind) if each is not Ellipsis]
    origin = getattr(kind, "__origin__", None)
    if parts and not any(isinstance(each, type) or get_args(each) for each in parts):
        return " or ".join(code(each) for each in parts)
    if origin in (tuple, list, dict):
        return f"{origin.__name__} of {' or '.join(dict.fromkeys(map(_choices, parts)))}"
    shown = ["null" if each is type(None) else _choices(each) for each in parts]
    return " or ".join(dict.fromkeys(shown)) or str(kind).replace("typing.", "")


def _show(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case tuple() | list():
            return f"[{','.join(map(_show, value))}]"
        case BaseModel():
            return "see below"
        case _:
            return str(value)


def _operation(operation: Operation, results: dict[str, Result]) -> str:
    parts = [
        f"### `{operation.name}` {{#{_anchor(operation)}}}",
        prose(operation.summary),
        *(prose(paragraph) for paragraph in operation.text.split("\n\n")),
        fence(operation.signature, "text"),
        table(
            ("argument", "meaning"),
            ((code(name), prose(text)) for name, text in operation.arguments.items()),
        ),
    ]
    given = [each for name, each in results.items() if name in operation.returns]
    for each in given:
        rows = [(code(field.name), code(field.kind), prose(field.meaning)) for field in each.fields]
        parts += [
            f"**{code(each.name)}**: {prose(sections(each.meaning)[0])}",
            table(("field", "type", "meaning"), rows),
        ]
    if operation.raises:
        parts.append("**Errors**")
        parts.append(
            "\n".join(f"- {code(name)}: {prose(text)}" for name, text in operation.raises.items())
        )
    return "\n\n".join(part for part in parts if part)


def _anchor(operation: Operation) -> str:
    return f"{operation.module}-{operation.name}"
