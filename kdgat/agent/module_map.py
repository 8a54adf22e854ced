"""The map of a package: a line for each part of it, those that import above those imported."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from kdgat.agent.modules import Module

_MOST_LINES = 40
MOST_NAMES = 8
"""Modules that the line of a package names at most; the others are counted."""


@dataclass(frozen=True)
class Part:
    """A module or a package directly below the mapped one."""

    name: str
    summary: str
    parses: bool
    names: tuple[str, ...]
    """Its own modules, the most imported first; packages within it end in a slash."""

    def line(self, most_names: int) -> str:
        """The part as the map shows it, with so many of its modules named."""
        slash = "/" if self.names else ""
        told = self.summary if self.parses else "(does not parse)"
        return f"- `{self.name}{slash}` {told}{self._inside(most_names)}".rstrip()

    def _inside(self, most: int) -> str:
        if not self.names:
            return ""
        # `+1` is no shorter than the name it stands for.
        whole = most and len(self.names) == most + 1
        shown = list(self.names if whole else self.names[:most])
        more = len(self.names) - len(shown)
        if not shown:
            return f" ({more})"
        return f" ({', '.join((*shown, *([f'+{more}'] if more else [])))})"


@dataclass(frozen=True)
class PackageMap:
    """One package."""

    name: str
    summary: str
    parts: tuple[Part, ...]
    """Importers first, where that is possible."""
    left_out: int
    """Parts beyond those."""
    cycle: tuple[str, ...]
    """Parts that import each other in a ring; empty in a package with layers."""


def package_map(modules: tuple[Module, ...]) -> PackageMap:
    """The map of one package.

    Args:
        modules: all of it, its own `__init__` first.
    """
    top = modules[0]
    names = {module.name for module in modules}
    within = {module.name: _resolved(module, names) for module in modules}
    asked = Counter(target for name, targets in within.items() for target in targets - {name})
    edges: dict[str, set[str]] = {_part(name, top.name): set() for name in sorted(names)}
    for name, targets in within.items():
        edges[_part(name, top.name)] |= {_part(target, top.name) for target in targets}
    edges.pop("", None)
    order, cycle = _ordered(edges)
    by_part: dict[str, list[Module]] = {name: [] for name in order}
    for module in modules[1:]:
        by_part[_part(module.name, top.name)].append(module)
    parts = [_described(name, by_part[name], asked, top.name) for name in order]
    kept = _most_asked(parts, asked, top.name)
    return PackageMap(top.name, top.summary, tuple(kept), len(parts) - len(kept), cycle)


def _part(name: str, top: str) -> str:
    """`data` of `kdgat.data.formats.text`; empty for the package itself."""
    return name.removeprefix(top).removeprefix(".").partition(".")[0]


def _resolved(module: Module, names: set[str]) -> set[str]:
    """The modules of the package that one imports: `a.b.c` is `a.b` where `c` is no module."""
    found: set[str] = set()
    for target in module.imports:
        while target and target not in names:
            target = target.rpartition(".")[0]
        found |= {target} - {""}
    return found


def _ordered(edges: dict[str, set[str]]) -> tuple[list[str], tuple[str, ...]]:
    """Importers before imported, by name where that leaves a choice; and a ring if there is one."""
    importers: dict[str, list[str]] = {name: [] for name in sorted(edges)}
    for name in sorted(edges):
        for target in sorted(edges[name] - {name, ""}):
            importers[target].append(name)
    sorter = TopologicalSorter(importers)
    try:
        sorter.prepare()
    except CycleError as error:
        ring = tuple(error.args[1][1:])
        start = ring.index(min(ring))
        return sorted(edges), (*ring[start:], *ring[:start], ring[start])
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order, ()


def _described(name: str, modules: list[Module], asked: Counter[str], top: str) -> Part:
    above = f"{top}.{name}"
    itself = next((module for module in modules if module.name == above), None)
    inner: dict[str, int] = {}
    for module in modules:
        if module.name != above:
            key = _part(module.name, above)
            deeper = module.is_package or module.name.count(".") > above.count(".") + 1
            label = f"{key}/" if deeper else key
            inner[label] = inner.get(label, 0) + asked[module.name]
    ranked = sorted(inner, key=lambda label: (-inner[label], label))
    return Part(
        name=name,
        summary=itself.summary if itself else "",
        parses=itself.parses if itself else True,
        names=tuple(ranked),
    )


def _most_asked(parts: list[Part], asked: Counter[str], top: str) -> list[Part]:
    if len(parts) <= _MOST_LINES:
        return parts
    ranked = sorted(parts, key=lambda part: (-asked[f"{top}.{part.name}"], part.name))
    kept = set(ranked[:_MOST_LINES])
    return [part for part in parts if part in kept]
