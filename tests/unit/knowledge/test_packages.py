"""The index of installed packages, on a folder of made-up ones beside the real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kdgat.knowledge import packages
from kdgat.knowledge.packages import installed_things
from kdgat.knowledge.things import Things
from kdgat.workspace import Workspace


def install(root: Path, name: str, version: str, doc: str, requires: str = "") -> None:
    """A package of one module, as pip leaves it."""
    (root / f"{name}.py").write_text(f'raise SystemExit\ndef act():\n    """{doc}"""\n')
    folder = root / f"{name}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: The {name}.\n"
    (folder / "METADATA").write_text(about + needs)
    (folder / "RECORD").write_text(f"{name}.py,,\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only these packages are installed."""
    root = tmp_path / "site"
    root.mkdir()
    install(root, "kdgat", "1", "Ours.", "gizmo>=1")
    install(root, "gizmo", "1", "Turn the wheel.")
    install(root, "bystander", "1", "Stand by.")
    monkeypatch.setattr(sys, "path", [str(root)])
    monkeypatch.setattr(packages, "_standard_library", lambda: iter(()))
    return root


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path / "home")


def index(ws: Workspace) -> Things:
    found = installed_things(ws)
    assert found is not None
    return found


def told(ws: Workspace) -> dict[str, str]:
    return {thing.name: thing.what for thing in index(ws).all()}


@pytest.mark.usefixtures("site")
def test_names_are_told_of_what_is_required_and_summaries_of_the_rest(ws: Workspace) -> None:
    # The modules end the process when they are imported.
    assert told(ws) == {
        "kdgat": "The kdgat.",
        "gizmo": "The gizmo.",
        "gizmo.act": "Turn the wheel.",
        "bystander": "The bystander.",
    }
    (near, *_) = index(ws).near("turn a wheel", 3, None)
    assert near.thing.use == "from gizmo import act; act()"
    assert near.thing.place.endswith("gizmo.py:2")


def test_what_was_installed_changed_or_removed_since_is_seen(site: Path, ws: Workspace) -> None:
    told(ws)
    install(site, "gizmo", "2", "Turn two wheels.", "")
    for file in (site / "gizmo-1.dist-info").iterdir():
        file.unlink()
    (site / "gizmo-1.dist-info").rmdir()
    assert told(ws)["gizmo.act"] == "Turn two wheels."


@pytest.mark.usefixtures("site")
def test_an_index_that_holds_is_not_written_again(ws: Workspace) -> None:
    told(ws)
    file = ws.knowledge / "things" / "packages.db"
    before = file.stat().st_mtime_ns
    told(ws)
    assert file.stat().st_mtime_ns == before


def test_unchanged_packages_are_taken_over(site: Path, ws: Workspace) -> None:
    told(ws)
    (site / "gizmo.py").write_text("")
    install(site, "another", "1", "Come later.")
    assert "gizmo.act" in told(ws)


def test_an_environment_that_moved_is_read_where_it_is_now(
    site: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(ws)
    moved = site.rename(site.with_name("moved"))
    monkeypatch.setattr(sys, "path", [str(moved)])
    places = [thing.place for thing in index(ws).all()]
    assert len(places) == 4
    assert all(place.startswith(str(moved)) for place in places)


def test_of_two_versions_the_first_on_the_path_is_told(
    site: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = site.with_name("second")
    second.mkdir()
    install(second, "gizmo", "2", "Turn two wheels.")
    for path, doc in (([site, second], "Turn the wheel."), ([second, site], "Turn two wheels.")):
        monkeypatch.setattr(sys, "path", [str(each) for each in path])
        assert told(ws)["gizmo.act"] == doc


@pytest.mark.parametrize("broken", [b"", b"\xff\xfe\0", b"Name\n\n", b"Name: x" * 100_000])
def test_broken_metadata_hides_no_other_package(site: Path, ws: Workspace, broken: bytes) -> None:
    (site / "bystander-1.dist-info" / "METADATA").write_bytes(broken)
    assert "gizmo.act" in told(ws)
    assert any("bystander-1.dist-info" in note for note in index(ws).notes)


def test_a_package_without_a_list_of_files_has_its_summary(site: Path, ws: Workspace) -> None:
    (site / "gizmo-1.dist-info" / "RECORD").unlink()
    assert set(told(ws)) == {"kdgat", "gizmo", "bystander"}
    assert any("gizmo" in note for note in index(ws).notes)


@pytest.mark.usefixtures("site")
def test_a_damaged_index_is_made_anew(ws: Workspace) -> None:
    before = told(ws)
    file = ws.knowledge / "things" / "packages.db"
    file.write_bytes(file.read_bytes()[:1000])
    packages._open.clear()
    assert told(ws) == before
