"""Models, stages and formats of raw files: a module that works, its test, and its rows."""

from __future__ import annotations

from functools import partial

from kdgat.ops.scaffolds.draft import Draft, template
from kdgat.ops.scaffolds.names import CodeName, code_name, taken
from kdgat.ops.scaffolds.python_edits import (
    defined,
    sorted_imports,
    strings,
    with_case,
    with_class_before,
    with_import,
    with_imported_class,
    with_row,
    with_union_member,
)

_CONFIGS = "kdgat/configs/model.py"
_MODELS = "kdgat/models/table.py"
_TASKS = "kdgat/training/tasks.py"
_STAGES = "kdgat/stages/table.py"
_TRAIN = "kdgat/stages/train.py"
_FORMATS = "kdgat/data/formats/__init__.py"
_DATASETS = "kdgat/configs/dataset.py"
_RESERVED = ("evaluation", "evaluate")
"""Stages that judge, and are no training."""


def add_model(draft: Draft, name: str) -> tuple[str, ...]:
    """A graph classifier that trains by gradients, and its test.

    Returns:
        The tests that are made.

    Raises:
        WorkspaceError: the name can't be or is taken, or a table has no place for a row.
    """
    called = _free_kind(draft, "model", name)
    test = f"tests/unit/models/test_{name}.py"
    draft.add(f"kdgat/models/{name}.py", _python("model.py", called))
    draft.add(test, _python("model_test.py", called))
    _add_kind(draft, called, f"{called.camel}Classifier", "model")
    draft.edit(_STAGES, partial(with_row, table="STAGES", row=_stage_row(name, "gradient")))
    return (test,)


def add_stage(draft: Draft, name: str) -> tuple[str, ...]:
    """A stage with a way of training of its own, the model that it trains, and its test.

    Returns:
        The tests that are made.

    Raises:
        WorkspaceError: the name can't be or is taken, or a table has no place for a row.
    """
    called = _free_kind(draft, "stage", name)
    test = f"tests/unit/stages/test_{name}.py"
    draft.add(f"kdgat/stages/{name}.py", _python("stage.py", called))
    draft.add(f"kdgat/models/{name}.py", _python("stage_model.py", called))
    draft.add(test, _python("stage_test.py", called))
    _add_kind(draft, called, f"{called.camel}Histogram", "stage")
    draft.edit(_STAGES, partial(with_row, table="STAGES", row=_stage_row(name, name)))
    draft.edit(_STAGES, partial(with_row, table="Stage.how", row=f'"{name}",'))
    case = template("stage_case.py", **called.words)
    draft.edit(_TRAIN, partial(with_case, function="train", case=case.rstrip("\n")))
    return (test,)


def add_format(draft: Draft, name: str) -> tuple[str, ...]:
    """A reader of a text format with a message a line, and its test.

    Returns:
        The tests that are made.

    Raises:
        WorkspaceError: the name can't be or is taken, or a table has no place for a row.
    """
    called = code_name("dataset-format", name)
    if name in strings(draft.read(_FORMATS), _FORMATS, "FORMATS"):
        raise taken("dataset-format", name, _FORMATS)
    test = f"tests/unit/data/test_{name}.py"
    draft.add(f"kdgat/data/formats/{name}.py", _python("format.py", called))
    draft.add(test, _python("format_test.py", called))
    row = f'"{name}": "kdgat.data.formats.{name}",'
    draft.edit(_FORMATS, partial(with_row, table="FORMATS", row=row))
    draft.edit(_FORMATS, partial(with_row, table="SUFFIXES", row=f'"{name}": (".txt", ".log"),'))
    draft.edit(_DATASETS, partial(with_row, table="Format", row=f'"{name}",'))
    return (test,)


def _free_kind(draft: Draft, kind: str, name: str) -> CodeName:
    """The name of a model or a stage, where neither has it; a stage has a model of its name."""
    called = code_name(kind, name)
    for what, file, table in (("model", _CONFIGS, "Kind"), ("stage", _STAGES, "STAGES")):
        if name in strings(draft.read(file), file, table) or name in _RESERVED:
            raise taken(what, name, file)
    # `a1_2` and `a12` would be one class.
    if f"{called.camel}Config" in defined(draft.read(_CONFIGS), _CONFIGS):
        raise taken("class", f"{called.camel}Config", _CONFIGS)
    return called


def _add_kind(draft: Draft, called: CodeName, model: str, files: str) -> None:
    """What every kind of model needs: its config and sizes, its class, its task."""
    name, config = called.name, f"{called.camel}Config"
    fields = template(f"{files}_config.py", **called.words)
    preset = template(f"{files}_preset.py", **called.words).rstrip("\n")
    draft.edit(_CONFIGS, partial(with_row, table="Kind", row=f'"{name}",'))
    draft.edit(_CONFIGS, partial(with_class_before, variable="ModelConfig", code=fields))
    draft.edit(_CONFIGS, partial(with_union_member, alias="ModelConfig", member=config))
    draft.edit(_CONFIGS, partial(with_case, function="model_preset", case=preset))
    draft.edit(_MODELS, partial(with_import, module=f"kdgat.models.{name}", name=model))
    draft.edit(_MODELS, partial(with_row, table="MODELS", row=f'"{name}": {model},'))
    classes = partial(with_imported_class, module="kdgat.configs.model", name=config)
    draft.edit(_TASKS, classes)
    case = f"case {config}():\n    return Classification()"
    draft.edit(_TASKS, partial(with_case, function="task_of", case=case))


def _stage_row(name: str, how: str) -> str:
    # A value a line with a comma at the end: the formatter leaves that, however long the name.
    values = (f'"{name}"', f'"{name}"', "version=1", "benign_only=False", f'how="{how}"')
    return "\n".join(("Stage(", *(f"    {each}," for each in values), "),"))


def _python(name: str, called: CodeName) -> str:
    return sorted_imports(template(name, **called.words))
