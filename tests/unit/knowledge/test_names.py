"""Public names of packages, read from their source."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.knowledge.names import first_sentence, own_names, plain_doc, public_names

DOC = '    """{}"""\n'


def package(root: Path, files: dict[str, str]) -> dict[str, Path]:
    """Modules written to disk, by dotted name."""
    found = {}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        parts = Path(name).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def names(files: dict[str, Path], *, deep: bool = True) -> dict[str, str]:
    return {each.qualified: each.kind for each in public_names(files, deep=deep)}


def test_a_name_is_told_by_the_shortest_public_way_to_it(tmp_path: Path) -> None:
    files = package(tmp_path, {
        "nets/__init__.py": '"""Nets."""\nfrom .nn import *\n',
        "nets/nn/__init__.py": '"""Layers."""\nfrom ._conv import Conv\n__all__ = ["Conv"]\n',
        "nets/nn/_conv.py": f"class Conv:\n{DOC.format('Convolve.')}\nclass Hidden:\n    'no'\n",
    })  # fmt: skip
    assert names(files) == {"nets": "module", "nets.nn": "module", "nets.Conv": "class"}


def test_what_is_private_untested_or_without_a_docstring_is_left_out(tmp_path: Path) -> None:
    files = package(tmp_path, {
        "a/__init__.py": "from a.b import said, unsaid, _own\n",
        "a/b.py": f"def said(x, *, y):\n{DOC.format('Say.')}\ndef unsaid(): ...\n"
        f"def _own():\n{DOC.format('Mine.')}",
        "a/tests/test_b.py": f"def tried():\n{DOC.format('Try.')}",
        "a/_c.py": f"def deep():\n{DOC.format('Deep.')}",
    })  # fmt: skip
    (said,) = public_names(files, deep=True)
    assert (said.qualified, said.arguments) == ("a.said", ("x", "y"))


def test_a_file_that_is_no_python_hides_no_other(tmp_path: Path) -> None:
    files = package(tmp_path, {
        "a/__init__.py": "from a.broken import x\nfrom a.whole import y\n",
        "a/broken.py": "def x(:\n",
        "a/whole.py": f"def y():\n{DOC.format('Whole.')}",
    })  # fmt: skip
    assert names(files) == {"a.y": "function"}


def test_imports_in_a_circle_end(tmp_path: Path) -> None:
    files = package(tmp_path, {
        "a/__init__.py": "from a.b import *\nfrom a.b import lost\n",
        "a/b.py": "from a import *\nfrom a import lost\n",
    })  # fmt: skip
    assert names(files) == {}


def test_of_a_package_that_came_along_only_what_its_packages_expose(tmp_path: Path) -> None:
    files = package(tmp_path, {
        "a/__init__.py": "",
        "a/b.py": f"def inner():\n{DOC.format('Inner.')}",
        "a/c/__init__.py": f"def shown():\n{DOC.format('Shown.')}",
    })  # fmt: skip
    assert names(files, deep=False) == {"a.c.shown": "function"}
    assert names(files, deep=True) == {"a.c.shown": "function", "a.b.inner": "function"}


def test_methods_are_told_of_a_class_that_is_a_library_of_its_own(tmp_path: Path) -> None:
    methods = "".join(f"    def m{n}(self):\n        'Do {n}.'\n" for n in range(41))
    few = "".join(f"    def f{n}(self):\n        'Do {n}.'\n" for n in range(3))
    text = f"class Large:\n    'Large.'\n{methods}\nclass Small:\n    'Small.'\n{few}"
    found = names(package(tmp_path, {"a.py": text}))
    assert found["a.Large.m40"] == "method"
    assert "a.Small.f0" not in found


def test_names_of_our_own_are_told_where_they_are_defined(tmp_path: Path) -> None:
    text = f"def f():\n{DOC.format('Do.')}\ndef _g():\n{DOC.format('Not.')}"
    (name,) = own_names(package(tmp_path, {"k/a/b.py": text}))
    assert (name.qualified, name.line) == ("k.a.b.f", 1)


@pytest.mark.parametrize(
    ("doc", "line"),
    [
        ("Set the rate, e.g. by a cosine. More.", "Set the rate, e.g. by a cosine."),
        ("Uses :class:`~torch.nn.Module` here.", "Uses torch.nn.Module here."),
        ("f(a, b) -> c\n\nAdds `a <https://x.org>`_.", "Adds a."),
        (".. deprecated:: 1\n\nFirst.", "First."),
        ("one\x1b[31mtwo", "one[31mtwo"),
    ],
)
def test_a_docstring_becomes_a_plain_line(doc: str, line: str) -> None:
    assert first_sentence(plain_doc(doc), 150) == line


def test_a_long_sentence_is_cut_at_a_word() -> None:
    assert first_sentence("many words " * 40, 30) == "many words many words many…"
