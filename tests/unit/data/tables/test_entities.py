"""Ids of entities: stable, and never one for two."""

from __future__ import annotations

import pytest

from kdgat.data.messages import EXTENDED_ID_MAX
from kdgat.data.tables import entities
from kdgat.data.tables.entities import entity_ids, hashed


def test_a_name_has_the_same_id_whoever_stands_beside_it() -> None:
    alone, _ = entity_ids(["LIT101"])
    beside, moved = entity_ids(["FIT101", "LIT101", "10.0.0.1", "ä"])
    assert alone["LIT101"] == beside["LIT101"] == hashed("LIT101")
    assert moved == ()
    assert all(0 <= number <= EXTENDED_ID_MAX for number in beside.values())


def test_names_that_hash_alike_get_ids_of_their_own_and_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(entities, "hashed", lambda _: EXTENDED_ID_MAX)
    found, moved = entity_ids(["c", "a", "b"])
    assert found == {"a": EXTENDED_ID_MAX, "b": 0, "c": 1}
    assert moved == ("b", "c")


def test_a_hundred_thousand_hosts_have_as_many_ids() -> None:
    names = [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}" for i in range(100_000)]
    found, _ = entity_ids(names)
    assert len(set(found.values())) == len(names)
