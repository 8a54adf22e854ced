"""The section `map`: the checkout's packages and modules, from their docstrings and imports."""

from __future__ import annotations

from collections.abc import Iterator

from kdgat.agent.module_map import MOST_NAMES, PackageMap, package_map
from kdgat.agent.modules import Module
from kdgat.agent.section import Material, Section
from kdgat.modes.packs import token_count

_MOST_SCRIPTS = 10


def map_section(material: Material, most_tokens: int | None) -> Section:
    """A line for each part of a package; fewer of its modules are named where there is no room."""
    maps = [(_folder(modules), package_map(modules)) for modules in material.packages]
    scripts = material.scripts[:_MOST_SCRIPTS]
    text = ""
    for most_names in range(MOST_NAMES, -1, -1):
        text = "\n\n".join((*_texts(maps, most_names), *_scripts(scripts)))
        if most_tokens is None or token_count(text) <= most_tokens:
            break
    folders = [folder for folder, _ in maps]
    return Section(
        source=",".join(f"{folder}/**/*.py" for folder in folders) or "*.py",
        inputs=dict(_inputs(maps, scripts)),
        text=text,
        otherwise="the modules' own docstrings",
    )


def _folder(modules: tuple[Module, ...]) -> str:
    return modules[0].path.removesuffix("/__init__.py")


def _texts(maps: list[tuple[str, PackageMap]], most_names: int) -> Iterator[str]:
    for folder, each in maps:
        order = "a line imports only from lines below it"
        if each.cycle:
            order = f"these import each other: {' -> '.join(each.cycle)}"
        elif not each.parts:
            order = each.summary or "one module"
        lines = [f"## `{folder}/`: {order}"] if order else [f"## `{folder}/`"]
        lines += [part.line(most_names) for part in each.parts]
        if each.left_out:
            lines.append(f"- and {each.left_out} more, less imported")
        yield "\n".join(lines)


def _scripts(scripts: tuple[Module, ...]) -> Iterator[str]:
    if scripts:
        lines = [f"- `{each.path}` {each.summary}".rstrip() for each in scripts]
        yield "\n".join(("## At the root", *lines))


def _inputs(
    maps: list[tuple[str, PackageMap]], scripts: tuple[Module, ...]
) -> Iterator[tuple[str, str]]:
    for folder, each in maps:
        for part in each.parts:
            yield f"{folder}/{part.name}", part.line(MOST_NAMES)
        names = [part.name for part in each.parts]
        yield f"imports in {folder}", " ".join((*names, str(each.left_out), *each.cycle))
    for script in scripts:
        yield script.path, script.summary
