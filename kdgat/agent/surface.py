"""The sections `commands`, `tools`, `config` and `tables`: what kdgat offers and knows by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdgat.agent.section import Material, Section
from kdgat.modes.packs import Mode, list_modes

if TYPE_CHECKING:
    from kdgat.stages.table import Stage


_NAMES_ALONE = ("resources", "evaluation")
"""Groups whose values change no trained model, so that their names must do."""


def commands_section(material: Material, _most: int | None) -> Section:
    """Every command, a group a line."""
    groups: dict[str, list[str]] = {}
    for command in material.given.commands:
        group, _, name = command.rpartition(" ")
        groups.setdefault(group, []).append(name)
    lines = [
        f"- {group}: {' '.join(names)}" if group else f"- {' '.join(names)}"
        for group, names in groups.items()
    ]
    title = "## Commands: `uv run kdgat ...`; `--help` shows an example, `--json` prints data"
    return Section(
        source="kdgat/cli",
        inputs={
            f"kdgat {group}".strip(): " ".join(names) for group, names in sorted(groups.items())
        },
        text="\n".join((title, *lines)),
        otherwise="`uv run kdgat --help`",
    )


def tools_section(material: Material, _most: int | None) -> Section:
    """The tools of the MCP server, and which modes have more."""
    everywhere = [tool.name for tool in material.given.tools if tool.every_mode]
    modes = list_modes(material.ws)
    title = "## Tools of the MCP server `kdgat`; prefer them to the shell"
    lines = [title, f"- every mode: {' '.join(everywhere)}", *map(_mode_line, modes)]
    return Section(
        source="kdgat/mcp/table.py,modes",
        inputs={
            "tools of every mode": " ".join(everywhere),
            **{f"mode {mode.name}": _mode_line(mode) for mode in modes},
        },
        text="\n".join(lines),
        otherwise="the server's own list of tools",
    )


def config_section(_material: Material, _most: int | None) -> Section:
    """Every field of a run's config with its default, and each model's at both sizes."""
    from kdgat.configs.fields import leaves
    from kdgat.configs.run import RunConfig

    values = leaves(RunConfig().model_dump(mode="json"))
    groups: dict[str, list[str]] = {"": []}
    for name, value in values.items():
        group, _, field = name.rpartition(".")
        # A dataset and a model are chosen by name; the tables and the lines below have them.
        if group not in ("dataset", "model"):
            told = field if group in _NAMES_ALONE else f"{field}={_show(value)}"
            groups.setdefault(group, []).append(told)
    chosen = f"dataset={values['dataset.name']} model={values['model.kind']}"
    lines = [f"- {chosen} {' '.join(groups.pop(''))}"]
    lines += [f"- {group}.: {' '.join(fields)}" for group, fields in groups.items()]
    lines += _models()
    title = "## Config: overrides and their defaults (large/medium/small)"
    return Section(
        source="kdgat/configs",
        inputs={line[2:].partition(":")[0].split("=")[0]: line for line in lines},
        text="\n".join((title, *lines)),
        otherwise="`uv run kdgat config show`",
    )


def tables_section(material: Material, _most: int | None) -> Section:
    """Stages, models, datasets and clusters by name."""
    from kdgat.configs.dataset import DATASETS
    from kdgat.configs.model import KINDS
    from kdgat.slurm.cluster import cluster_names, load_cluster
    from kdgat.stages.table import STAGES

    trained = [stage.kind for stage in STAGES.values()]
    rows = {
        "stages": " ".join(map(_stage, STAGES.values())),
        "datasets": " ".join(
            name if each.provenance == "real" else f"{name} ({each.provenance})"
            for name, each in DATASETS.items()
        ),
        "clusters": "; ".join(
            f"{name} ({load_cluster(material.ws, name).title})".replace(" ()", "")
            for name in cluster_names(material.ws)
        ),
    }
    untrained = [kind for kind in KINDS if kind not in trained]
    if untrained:
        rows["models not yet trained"] = " ".join(untrained)
    lines = [f"- {name}: {row}" for name, row in rows.items()]
    return Section(
        source="kdgat/stages,kdgat/configs,slurm/clusters",
        inputs=rows,
        text="\n".join(("## Known by name", *lines)),
        otherwise="`uv run kdgat data list`, `clusters list`",
    )


def _stage(stage: Stage) -> str:
    """Its name, and its model and windows where they are not the usual ones."""
    told = [stage.kind] * (stage.kind != stage.name) + ["benign"] * stage.benign_only
    return f"{stage.name} ({'; '.join(told)})" if told else stage.name


def _mode_line(mode: Mode) -> str:
    also = f"also {' '.join(mode.tools)}; " if mode.tools else ""
    return f"- mode {mode.name}: {also}open questions {mode.questions}"


def _models() -> Iterator[str]:
    """Each model's fields; their values, in the order of SIZES, where the sizes differ."""
    from kdgat.configs.model import KINDS, SIZES, model_preset

    for kind in KINDS:
        presets = [model_preset(kind, size).model_dump(mode="json") for size in SIZES]
        told = []
        for name in presets[0]:
            values = [_show(preset[name]) for preset in presets]
            told.append(name if len(set(values)) == 1 else f"{name}={'/'.join(values)}")
        # The first field is the kind.
        yield f"- model={kind}: {' '.join(told[1:]) or 'no fields'}"


def _show(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{','.join(map(_show, value))}]"
        case _:
            return str(value)
