"""What kdgat itself has: commands, config fields, operations, functions, and what was decided.

Commands and fields are read from the reference pages, which are made from the code; functions from
the source; decisions from their notes, those of the workspace and those beside kdgat's own code.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from kdgat.knowledge.chunks import Section, read_page
from kdgat.knowledge.markdown import inline
from kdgat.knowledge.names import Name, first_sentence, own_names
from kdgat.knowledge.packages import OURS, call_of
from kdgat.knowledge.scan import Stamp, read_text, restless, stamps_of
from kdgat.knowledge.things import Thing, Things, open_things, write_things
from kdgat.knowledge.vectors import encoder
from kdgat.workspace import Workspace

PACKAGE = Path(__file__).parents[1]
_COMMANDS, _CONFIG = "reference/cli.md", "reference/config.md"
_SIMULATE = "kdgat data simulate"
_LONGEST_LINE = 170
_PARTS_OF_COMMAND = 400
_OF_SOURCE = ("operation", "function", "class")
_open: dict[Path, Things] = {}


def own_things(ws: Workspace) -> Things | None:
    """The index of what kdgat has, as its files are now; None where it vanished meanwhile.

    Raises:
        StorageError: it must be made and can't be written.
    """
    path = ws.knowledge / "things" / "kdgat.db"
    stamps = {name: list(stamp) for name, stamp in _stamps(ws).items()}
    index = _open.get(path) or open_things(path)
    meaning = encoder()
    model = meaning.name if meaning else ""
    if index is None or index.model != model or not _holds(index, stamps):
        made_ns = time.time_ns()
        notes: list[str] = []
        things = [*_things(ws, notes, _unchanged(index, stamps))]
        known = index.vectors() if index and index.model == model else {}
        write_things(path, things, stamps, made_ns, notes=notes, encoder=meaning, known=known)
        index = open_things(path)
    if index is not None:
        _open[path] = index
    return index


def _holds(index: Things, stamps: dict[str, list[int]]) -> bool:
    """Whether nothing was written since, or so shortly before that its time proves nothing."""
    if index.made_of != stamps:
        return False
    return not any(restless((m, c, b), index.made_ns) for m, c, b in stamps.values())


def _unchanged(index: Things | None, stamps: dict[str, list[int]]) -> dict[str, list[Thing]]:
    """What an old index knows of files that were not written since, by file."""
    known: dict[str, list[Thing]] = {}
    if index is None:
        return known
    for name, (modified, changed, size) in stamps.items():
        stamp: Stamp = (modified, changed, size)
        if index.made_of.get(name) == [*stamp] and not restless(stamp, index.made_ns):
            known[name] = []
    for thing in index.all():
        if thing.kind in _OF_SOURCE:
            known.get(thing.place.rpartition(":")[0], []).append(thing)
    return known


def _stamps(ws: Workspace) -> dict[str, Stamp]:
    files = [*_modules().values(), *_decisions(ws)]
    files.extend(page for name in (_COMMANDS, _CONFIG) if (page := _page(ws, name)))
    return dict(stamps_of(Path("/"), [str(file) for file in files]))


def _things(ws: Workspace, notes: list[str], known: dict[str, list[Thing]]) -> Iterator[Thing]:
    for name, read in ((_COMMANDS, _commands), (_CONFIG, _fields)):
        page = _page(ws, name)
        if page is None:
            notes.append(f"there is no 'knowledge/{name}': `kdgat reference write` makes it")
            continue
        for section in read_page(read_text(page), name).sections:
            yield from read(page, section)
    yield from _experiments()
    for name, path in _modules().items():
        if str(path) in known:
            yield from known[str(path)]
        else:
            names = own_names({name: path})
            yield from (_function(each) for each in names if not _is_face(each))
    for file in _decisions(ws):
        try:
            yield _decision(file)
        except (OSError, ValueError) as error:
            notes.append(f"the decision '{file.name}' can't be read: {error}")


def _page(ws: Workspace, name: str) -> Path | None:
    pages = (root / "knowledge" / name for root in (PACKAGE.parent, ws.root))
    return next((page for page in pages if page.is_file()), None)


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if path.stem not in ("__init__", "__main__"):
            found[".".join(parts)] = path
    return found


def _decisions(ws: Workspace) -> list[Path]:
    roots = dict.fromkeys((ws.root.resolve(), PACKAGE.parent.resolve()))
    files = (file for root in roots for file in (root / "knowledge" / "decisions").glob("*.md"))
    return sorted(file for file in files if file.name != "index.md")


def _commands(page: Path, section: Section) -> Iterator[Thing]:
    code = next((unit.text for unit in section.units if unit.kind == "code"), None)
    if code is None or not section.heading.startswith(f"{OURS} "):
        return
    lines = [line for line in code.splitlines() if line.startswith(OURS)]
    told = [inline(unit.text) for unit in section.units if unit.kind == "text"]
    options = [_cells(unit.text)[-1] for unit in section.units if unit.kind == "row"]
    yield Thing(
        origin=OURS,
        kind="command",
        name=section.heading,
        place=f"{page}:{section.line}",
        what=first_sentence(" ".join(told), _LONGEST_LINE),
        use=lines[1] if len(lines) > 1 else section.heading,
        more=" ".join((*told, *options))[:_PARTS_OF_COMMAND],
    )


def _fields(page: Path, section: Section) -> Iterator[Thing]:
    told = " ".join(inline(unit.text) for unit in section.units if unit.kind == "text")
    # Of fields that are no run's the page says whose they are.
    command = _SIMULATE if _SIMULATE in told else "kdgat train"
    if section.heading.startswith("model=") and told:
        line = first_sentence(told, _LONGEST_LINE)
        use = f"kdgat train {section.heading}"
        place = f"{page}:{section.line}"
        yield Thing(OURS, "config field", section.heading, place, line, use, told)
    for unit in section.units:
        cells = _cells(unit.text) if unit.kind == "row" else ()
        if len(cells) < 4 or cells[0] == "model.kind":
            continue
        name, values, default, meaning = cells[0], cells[1], cells[2], cells[-1]
        of_model = f"{section.heading} " if section.heading.startswith("model=") else ""
        # A field without a default is shown with its first choice, or with any word.
        value = default or ("name" if values == "str" else values.split(",")[0].split(" ")[0])
        use = f"{command} {of_model}{name}={value}"
        if name.startswith("dataset."):
            # Its parts come together, by the dataset's name.
            use = f"{command} dataset=simulated"
        yield Thing(
            origin=OURS,
            kind="config field",
            name=name,
            place=f"{page}:{section.line}",
            what=first_sentence(meaning, _LONGEST_LINE),
            use=use,
            more=f"{section.heading} {values} {meaning[_LONGEST_LINE:]}",
        )


def _cells(row: str) -> list[str]:
    return [inline(cell) for cell in row.strip("| ").split(" | ")]


def _experiments() -> Iterator[Thing]:
    from kdgat.configs import experiments

    for name, overrides in experiments.experiments().items():
        yield Thing(
            origin=OURS,
            kind="experiment",
            name=name,
            place=f"{experiments.__file__}:1",
            what=first_sentence(f"the named run {' '.join(overrides)}", _LONGEST_LINE),
            use=f"kdgat train experiment={name}",
        )


def _is_face(name: Name) -> bool:
    """Whether it is a command's or a tool's function, whose operation is told."""
    printing = f"{OURS}.cli.output."
    faces = (f"{OURS}.cli.", f"{OURS}.mcp.")
    return name.qualified.startswith(faces) and not name.qualified.startswith(printing)


def _function(name: Name) -> Thing:
    is_operation = name.qualified.startswith(f"{OURS}.ops.") and name.arguments[:1] == ("ws",)
    return Thing(
        origin=OURS,
        kind="operation" if is_operation else name.kind,
        name=name.qualified,
        place=f"{name.path}:{name.line}",
        what=first_sentence(name.doc, _LONGEST_LINE),
        use=call_of(name),
        more=name.doc[_LONGEST_LINE:],
    )


def _decision(file: Path) -> Thing:
    page = read_page(read_text(file), file.stem)
    texts = [unit.text for section in page.sections for unit in section.units]
    decided = next((text for text in texts if text.startswith("**Decision")), "")
    told = inline(re.sub(r"^\*\*Decision\.?\*\*:?\s*", "", decided)) or page.title
    return Thing(
        origin="decisions",
        kind="decision",
        name=page.title,
        place=f"{file}:1",
        what=f"decided: {first_sentence(told, _LONGEST_LINE)}",
        use=f"kdgat docs read decisions/{file.name}",
        more=inline(" ".join(texts[:8]))[:600],
    )
