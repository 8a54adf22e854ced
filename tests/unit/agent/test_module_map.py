"""The map of a package: what its modules say, who imports whom, and what is remembered of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.agent.module_map import PackageMap, package_map
from kdgat.agent.modules import ModuleReader, first_sentence, package_folders


def written(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / "pack" / f"{name.replace('__', '/').replace('/init', '__init__')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "pack" / "__init__.py").touch()
    return root


def mapped(root: Path) -> PackageMap:
    reader = ModuleReader(root, root / "memory.json")
    return package_map(reader.modules(root / "pack"))


def test_a_line_imports_only_from_lines_below_it(tmp_path: Path) -> None:
    found = mapped(
        written(
            tmp_path,
            alpha='"""Lowest."""',
            beta='"""Middle."""\nfrom pack import alpha\n',
            gamma='"""Top."""\ndef late():\n    from pack.beta import x\n',
        )
    )
    assert [part.line(3) for part in found.parts] == [
        "- `gamma` Top", "- `beta` Middle", "- `alpha` Lowest",
    ]  # fmt: skip
    assert found.cycle == ()


def test_modules_that_import_each_other_are_named_as_a_ring(tmp_path: Path) -> None:
    found = mapped(
        written(tmp_path, a="import pack.b", b="from . import c", c="from .a import x", d="")
    )
    assert found.cycle == ("a", "b", "c", "a")
    assert [part.name for part in found.parts] == ["a", "b", "c", "d"]


def test_a_package_names_its_most_imported_modules_and_counts_the_others(tmp_path: Path) -> None:
    written(
        tmp_path,
        user="from pack.inner import used, used_too\nfrom pack.inner.used import x\n",
        other="import pack.inner.used\n",
    )
    for name in ("used", "used_too", "rest", "alone"):
        path = tmp_path / "pack" / "inner" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (tmp_path / "pack/inner/__init__.py").write_text('"""Inner things. And more."""')
    line = next(part for part in mapped(tmp_path).parts if part.name == "inner")
    assert line.line(2) == "- `inner/` Inner things (used, used_too, +2)"
    assert line.line(3) == "- `inner/` Inner things (used, used_too, alone, rest)"
    assert line.line(0) == "- `inner/` Inner things (4)"


def test_what_does_not_parse_is_named_and_breaks_nothing(tmp_path: Path) -> None:
    found = mapped(written(tmp_path, good='"""Good."""', bad='"""Half', null="\0"))
    assert [part.line(3) for part in found.parts] == [
        "- `bad` (does not parse)", "- `good` Good", "- `null` (does not parse)",
    ]  # fmt: skip


def test_a_file_is_parsed_again_only_when_its_content_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, one='"""One."""', two='"""Two."""')
    first = ModuleReader(tmp_path, tmp_path / "memory.json")
    modules = first.modules(tmp_path / "pack")
    first.save()
    parsed: list[bytes] = []
    import kdgat.agent.modules as module

    real = module._facts
    monkeypatch.setattr(
        module, "_facts", lambda data, *rest: parsed.append(data) or real(data, *rest)
    )
    (tmp_path / "pack" / "two.py").write_text('"""Too."""')
    again = ModuleReader(tmp_path, tmp_path / "memory.json").modules(tmp_path / "pack")
    assert parsed == [b'"""Too."""']
    assert [each.summary for each in again] == ["", "One", "Too"]
    assert again[1] == modules[1]


@pytest.mark.parametrize("text", ["", "[]", '{"form": 1}', '{"form":1,"modules":[1]}', "{" * 9999])
def test_a_damaged_memory_is_read_as_none(text: str, tmp_path: Path) -> None:
    written(tmp_path, one='"""One."""')
    (tmp_path / "memory.json").write_text(text)
    assert [part.summary for part in mapped(tmp_path).parts] == ["One"]


def test_packages_are_found_at_the_root_and_in_src_and_no_tests_or_links(tmp_path: Path) -> None:
    for name in ("mine", "src/yours", "tests", ".hidden", "build", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "mine")
    (tmp_path / "notes").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in package_folders(tmp_path)]
    assert found == ["mine", "src/yours"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("One thing. And another.", "One thing"),
        ("One thing", "One thing"),
        ("Uses e.g. lower case. Then more.", "Uses e.g. lower case"),
        ("Broken over\n    two lines.\n\nMore.", "Broken over two lines"),
        ("", ""),
        ("A clause that stands alone: " + "and on " * 20, "A clause that stands alone"),
        ("word " * 40, "word " * 14 + "..."),
    ],
)
def test_the_first_sentence_is_cut_at_a_clause(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence
