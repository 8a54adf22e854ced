"""Records of assets: what names and paths they may have, whoever wrote them."""

from __future__ import annotations

import json

import pytest

from kdgat.assets.record import File, asset_from, check_name, file_name, new_asset
from kdgat.errors import AssetError

FILE = File("a" * 64, 3)


@pytest.mark.parametrize("name", ["can", "lab/can-2026", "a.b_c", "0", "a/b/c"])
def test_a_name_is_letters_digits_and_single_marks(name: str) -> None:
    assert check_name(name) == name
    assert "/" not in file_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "../x", "/etc/passwd", "a/../b", "a//b", "a--b", "a..b", ".hidden", "a b", "a\n", "ä",
     "a/", "-x", "x" * 201, "a\0b"],
)  # fmt: skip
def test_a_name_that_could_be_a_path_or_no_file_is_refused(name: str) -> None:
    with pytest.raises(AssetError, match="can't be the name"):
        check_name(name)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a//b", "", ".", "a/.", "a\0", "a\udc80"]
)
def test_a_record_whose_path_leaves_its_folder_is_refused(path: str) -> None:
    values = new_asset("can", "dataset", {"a": FILE}, "here", "now").to_json()
    values["files"] = {path: list(FILE)}
    with pytest.raises(AssetError, match="can't be a file's path"):
        asset_from(json.dumps(values).encode(), "names/can.json")


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"kind": "virus"}, {"files": {}}, {"files": {"a": ["../x", 3]}},
     {"files": {"a": ["A" * 64, 3]}}, {"files": {"a": ["a" * 64, -1]}}, {"name": 3},
     {"files": {"a": list(FILE), "a/b": list(FILE)}}],
)  # fmt: skip
def test_a_record_with_a_wrong_value_is_refused(change: dict[str, object]) -> None:
    values = new_asset("can", "dataset", {"a": FILE}, "here", "now").to_json()
    assert asset_from(json.dumps(values).encode(), "can.json").files == {"a": FILE}
    with pytest.raises(AssetError):
        asset_from(json.dumps({**values, **change}).encode(), "can.json")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_record_is_told_as_such(text: bytes) -> None:
    with pytest.raises(AssetError, match=r"'can\.json' is no record"):
        asset_from(text, "can.json")


def test_the_tree_is_the_paths_and_contents_and_nothing_else() -> None:
    one = new_asset("a", "dataset", {"x": FILE, "y": FILE}, "here", "now")
    two = new_asset("b", "model", {"y": FILE, "x": FILE}, "there", "later")
    assert one.tree == two.tree
    assert one.tree != new_asset("a", "dataset", {"x": FILE, "z": FILE}, "here", "now").tree
