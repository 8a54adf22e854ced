"""What is installed has: each package's own summary, and the public names of those we use.

Read from their metadata and their source, and imported never. Names are told of the packages that
kdgat requires, of those that came along and that several need, and of Python's own library; of any
other package only its summary. The index is made anew when a package came, went or changed, and
what the old one knows of the others is taken over.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageMetadata, PathDistribution
from pathlib import Path

from kdgat.knowledge.names import Name, first_sentence, plain_doc, public_names
from kdgat.knowledge.things import Thing, Things, open_things, write_things
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

OURS = "kdgat"
REQUIRED, BESIDE, INSTALLED = 1, 2, 3
"""How far a package is from kdgat; names are told of the first two."""
_SEVERAL = 2
_LONGEST_LINE = 150
_LONGEST_CALL = 60
_MOST_HEADINGS = 30
_PYTHON = f"python {sys.version_info.major}.{sys.version_info.minor}"
_NOT_FOR_USE = frozenset({
    "antigravity", "distutils", "encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data",
    "site-packages", "dist-packages", "this", "tkinter", "turtle", "turtledemo",
})  # fmt: skip
_open: dict[Path, Things] = {}


@dataclass(frozen=True)
class _Package:
    """An installed package whose metadata can be read."""

    folder: str
    distribution: PathDistribution
    about: PackageMetadata
    """Kept: each look at the distribution's own parses all of it anew."""

    @property
    def name(self) -> str:
        return self.about["Name"]

    @property
    def origin(self) -> str:
        return f"{self.name} {self.about['Version']}"


def installed_things(ws: Workspace, progress: Progress = quiet) -> Things | None:
    """The index of what is installed now; None where it vanished while it was read.

    Raises:
        StorageError: it must be made and can't be written.
    """
    path = ws.knowledge / "things" / "packages.db"
    # By their whole paths: things are told with theirs, and an environment may have moved.
    stamps = {str(folder): _stamp(folder) for folder in _folders()}
    index = _open.get(path) or open_things(path)
    if index is None or index.made_of != {**stamps, str(_library()): [0, 0]}:
        _write(path, stamps, index, progress)
        index = open_things(path)
    if index is not None:
        _open[path] = index
    return index


def call_of(name: Name) -> str:
    """How a name is used: the line that imports it, and what it is called with."""
    above, _, own = name.qualified.rpartition(".")
    arguments = ", ".join(name.arguments)
    if len(arguments) > _LONGEST_CALL:
        arguments = arguments[:_LONGEST_CALL].rpartition(",")[0] + ", …"
    if name.kind == "module":
        return f"import {name.qualified}"
    if name.kind == "method":
        module, _, kind = above.rpartition(".")
        return f"from {module} import {kind}; {kind}.{own}({arguments})"
    return f"from {above} import {own}; {own}({arguments})"


def _write(
    path: Path, stamps: Mapping[str, list[int]], old: Things | None, progress: Progress
) -> None:
    made_ns = time.time_ns()
    notes: list[str] = []
    packages: dict[str, _Package] = {}
    for each in _readable(stamps, notes):
        # Of two of one name Python imports the first on its path.
        packages.setdefault(_plain(each.name), each)
    distances = _distances(packages)
    made_of = old.made_of if old else {}
    known: dict[str, list[Thing]] = {}
    for thing in old.all() if old else ():
        known.setdefault(thing.origin, []).append(thing)
    library = str(_library())
    things = (known.get(_PYTHON) if library in made_of else None) or [*_standard_library()]
    for number, (name, each) in enumerate(packages.items()):
        progress(f"reading {name}", number, len(packages))
        distance = distances.get(name, INSTALLED)
        is_known = made_of.get(each.folder) == stamps[each.folder]
        told = known.get(each.origin) if is_known else None
        if told is None or told[0].distance != distance:
            told = [*_things_of(each, distance, notes)]
        things.extend(told)
    write_things(path, _once(things), {**stamps, library: [0, 0]}, made_ns, notes=notes)


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _folders() -> Iterable[Path]:
    """The folders of metadata, of each package the first on the path."""
    found: dict[str, Path] = {}
    for place in dict.fromkeys(sys.path):
        for folder in sorted(Path(place or ".").glob("*.dist-info")):
            found.setdefault(_plain(folder.name.partition("-")[0]), folder)
    return found.values()


def _stamp(folder: Path) -> list[int]:
    try:
        about = (folder / "METADATA").stat()
    except OSError:
        return [0, -1]
    return [about.st_mtime_ns, about.st_size]


def _readable(folders: Iterable[str], notes: list[str]) -> Iterator[_Package]:
    """The packages of these folders; what can't be read is noted and passed over."""
    for folder in folders:
        distribution = PathDistribution(Path(folder))
        try:
            package = _Package(folder, distribution, distribution.metadata)
            found = package if package.name and package.about["Version"] else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            found = None
        if found is None:
            name = Path(folder).name
            notes.append(f"'{name}' has no metadata that can be read; the package is left out")
        else:
            yield found


def _distances(packages: Mapping[str, _Package]) -> dict[str, int]:
    """How far each package is from kdgat: what it requires, and what came along for several."""
    needs: dict[str, set[str]] = {}
    waiting = [OURS]
    while waiting:
        name = waiting.pop()
        if name not in needs:
            needs[name] = set(_required(packages.get(name)))
            waiting.extend(needs[name])
    counts = Counter(needed for each in needs.values() for needed in each)
    beside = {name: BESIDE for name, count in counts.items() if count >= _SEVERAL}
    return beside | dict.fromkeys(needs.get(OURS, ()), REQUIRED) | {OURS: 0}


def _required(package: _Package | None) -> Iterator[str]:
    for line in package.about.get_all("Requires-Dist", []) if package else ():
        match = re.match(r"[A-Za-z0-9][\w.-]*", line)
        if match and not re.search(r";.*\bextra\b", line):
            yield _plain(match[0])


def _things_of(package: _Package, distance: int, notes: list[str]) -> Iterator[Thing]:
    name, record = package.name, package.distribution.read_text("RECORD")
    modules = dict(_modules(package, record or ""))
    yield _summary(package, distance, modules)
    if _plain(name) == OURS or distance > BESIDE:
        return
    if record is None:
        notes.append(f"'{name}' has no list of its files; only its summary is known")
    names = public_names(modules, deep=distance == REQUIRED)
    yield from (_thing(package.origin, each, distance) for each in names)


def _summary(package: _Package, distance: int, modules: Mapping[str, Path]) -> Thing:
    about, name = package.about, package.name
    text = package.distribution.read_text("METADATA") or ""
    topics = [each for each in about.get_all("Classifier", []) if each.startswith("Topic")]
    headings = re.findall(r"^#{1,3} +(.+)$", text, re.MULTILINE)
    words = (*about.get_all("Keywords", []), *topics, *headings[:_MOST_HEADINGS])
    summary = " ".join(about.get_all("Summary", [])) or "no summary"
    tops = sorted({name.split(".")[0] for name in modules})
    named = (each for each in tops if _plain(each) == _plain(name))
    module = next(named, tops[0] if tops else "")
    return Thing(
        origin=package.origin,
        kind="package",
        name=name,
        place=str(package.distribution.locate_file("")),
        what=first_sentence(plain_doc(summary), _LONGEST_LINE),
        use=f"import {module}" if module else "",
        more=plain_doc(" ".join(words)),
        distance=distance,
    )


def _modules(package: _Package, record: str) -> Iterator[tuple[str, Path]]:
    """A package's modules by dotted name.

    Not by `Distribution.files`, which looks on the disk for each of ten thousand files.
    """
    root = Path(str(package.distribution.locate_file("")))
    for line in record.splitlines():
        file = line.split(",", 1)[0]
        if file.endswith(".py") and ".." not in file:
            yield _dotted(file.split("/")), root / file


def _standard_library() -> Iterator[Thing]:
    root = _library()
    files = {}
    for top in sorted(root.iterdir()):
        if top.name.partition(".")[0] in _NOT_FOR_USE or top.name.startswith("config-"):
            continue
        for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            if path.suffix == ".py":
                files[_dotted(path.relative_to(root).parts)] = path
    names = public_names(files, deep=True)
    return (_thing(_PYTHON, each, REQUIRED) for each in names)


def _dotted(parts: Sequence[str]) -> str:
    stem = parts[-1].removesuffix(".py")
    return ".".join(parts[:-1] if stem == "__init__" else (*parts[:-1], stem))


def _thing(origin: str, name: Name, distance: int) -> Thing:
    return Thing(
        origin=origin,
        kind=name.kind,
        name=name.qualified,
        place=f"{name.path}:{name.line}",
        what=first_sentence(name.doc, _LONGEST_LINE),
        use=call_of(name),
        more=f"{name.doc[_LONGEST_LINE:]} {' '.join(name.arguments)}".strip(),
        distance=distance,
    )


def _once(things: Sequence[Thing]) -> list[Thing]:
    """Without names that a second package has from the same file."""
    return list({(each.place, each.name): each for each in reversed(things)}.values())[::-1]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
