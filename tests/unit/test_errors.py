"""Errors: the tree in the docstring is the tree in the code, and they survive a process."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kdgat
from kdgat import errors
from kdgat.errors import KdgatError, did_you_mean


def _below(kind: type[KdgatError]) -> list[type[KdgatError]]:
    """Every kind below one, at any depth."""
    return [each for child in kind.__subclasses__() for each in (child, *_below(child))]


SUBCLASSES = _below(KdgatError)
NAMES = st.text("abcdefgh_", min_size=1, max_size=12)


def test_every_error_is_drawn_in_the_tree_of_the_modules_docstring() -> None:
    tree = [line for line in (errors.__doc__ or "").splitlines() if "── " in line]
    drawn = {
        line.split("── ")[1].split()[0]: line.split("── ")[1].split(maxsplit=1)[1] for line in tree
    }
    written = {kind.__name__: kind.__doc__ or "" for kind in SUBCLASSES}
    assert set(drawn) == set(written)
    assert all(drawn[name] for name in drawn)


def test_no_module_defines_an_error_of_its_own() -> None:
    package = Path(kdgat.__file__).parent
    known = {"KdgatError", *(kind.__name__ for kind in SUBCLASSES)}
    strays = [
        f"{path.relative_to(package)}: {node.name}"
        for path in package.rglob("*.py")
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and known & {base.id for base in node.bases if isinstance(base, ast.Name)}
    ]
    assert strays == []


@pytest.mark.parametrize("kind", [KdgatError, *SUBCLASSES])
def test_an_error_keeps_its_kind_problem_and_hint_through_pickle(kind: type[KdgatError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("it broke: 'ü'", hint="mend it")))
    assert type(copy) is kind
    assert (copy.problem, copy.hint, str(copy)) == ("it broke: 'ü'", "mend it", "it broke: 'ü'")


def test_an_error_without_a_hint_can_not_be_raised() -> None:
    with pytest.raises(TypeError, match="hint"):
        KdgatError("it broke")  # type: ignore[call-arg]


def test_the_nearest_name_is_offered() -> None:
    assert did_you_mean("max_epoch", ["seed", "max_epochs", "epochs"]) == (
        "did you mean 'max_epochs'?"
    )


def test_all_names_are_listed_in_order_when_none_is_near() -> None:
    assert did_you_mean("xyz", ["seed", "dataset"]) == "choose one of: dataset, seed"


def test_the_hint_given_for_that_case_is_used_when_none_is_near() -> None:
    assert did_you_mean("xyz", ["seed"], otherwise="look it up") == "look it up"


def test_names_may_come_from_an_iterator() -> None:
    assert did_you_mean("xyz", iter(["b", "a"])) == "choose one of: a, b"


@settings(deadline=None)
@given(st.sets(NAMES, min_size=1), NAMES)
def test_a_hint_names_only_what_is_known(known: set[str], wrong: str) -> None:
    hint = did_you_mean(wrong, known)
    offered = hint.removeprefix("did you mean '").removesuffix("'?")
    assert offered in known or hint == f"choose one of: {', '.join(sorted(known))}"
