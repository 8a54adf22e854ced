"""Records: what `run.json` keeps, and what is said when it can't be read."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.errors import RunError
from kdgat.ledger.files import write_json
from kdgat.ledger.record import RunRecord, new_run_id, record_from, utc_now
from kdgat.ledger.states import RESUMABLE, State

RECORD = RunRecord(
    run_id="20261121-074455-3f9a2c",
    stage="classifier",
    stage_version=1,
    dataset="hcrl_sa",
    provenance="real",
    model="gat",
    size="small",
    digest="0123456789abcdef",
    dataset_hash="d" * 64,
    seed=42,
    created_at="2026-11-21T07:44:55.000+00:00",
)
SECONDS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)).map(
    lambda time: time.replace(microsecond=0, tzinfo=UTC)
)


def refusal(path: Path) -> RunError:
    with pytest.raises(RunError) as caught:
        record_from(path)
    assert str(path.parent) in caught.value.hint
    return caught.value


def test_a_record_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    record = RECORD.with_changes(
        state=State.COMPLETED, metrics={"f1": 0.5, "auroc": None}, artifacts={"a": "b"}, pid=3,
        scorers=("20261121-074455-3f9a2c", "20261121-074456-3f9a2c"),
    )  # fmt: skip
    write_json(tmp_path / "run.json", record.to_json())
    again = record_from(tmp_path / "run.json")
    assert again == record
    assert isinstance(again.state, State)


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {**RECORD.to_json(), "carbon_g": 3})
    assert record_from(tmp_path / "run.json") == RECORD


def test_a_record_without_what_was_added_later_has_its_default(tmp_path: Path) -> None:
    values = RECORD.to_json()
    for name in ("subject", "attempts", "environment", "scorers"):
        del values[name]
    write_json(tmp_path / "run.json", values)
    assert record_from(tmp_path / "run.json") == RECORD


@pytest.mark.parametrize("scorers", ["20261121-074455-3f9a2c", [3], {"a": "b"}, None])
def test_scorers_that_are_no_list_of_runs_are_told(tmp_path: Path, scorers: object) -> None:
    write_json(tmp_path / "run.json", {**RECORD.to_json(), "scorers": scorers})
    assert "is no list of run ids" in refusal(tmp_path / "run.json").problem


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "run.json").problem == f"'{tmp_path}/run.json' is missing"


def test_a_record_cut_at_any_byte_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    whole = json.dumps(RECORD.to_json()).encode()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert refusal(path).problem.startswith(f"'{path}' can't be read: ")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"not json", b"", b"{", b'{"a": }'])
def test_a_record_that_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    assert refusal(path).problem.startswith(f"'{path}' can't be read: ")


@pytest.mark.parametrize(("value", "kind"), [([], "list"), (3, "int"), ("run", "str")])
def test_json_of_another_kind_is_no_record(tmp_path: Path, value: Any, kind: str) -> None:
    path = tmp_path / "run.json"
    write_json(path, value)
    assert refusal(path).problem == f"'{path}' holds {kind}, not a run"


def test_a_record_without_a_field_names_the_field(tmp_path: Path) -> None:
    values = RECORD.to_json()
    del values["digest"]
    write_json(tmp_path / "run.json", values)
    problem = refusal(tmp_path / "run.json").problem
    assert problem.startswith(f"'{tmp_path}/run.json' is no whole run record: ")
    assert problem.endswith("'digest'")


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("state", "asleep", "'asleep' is not a valid State"),
        ("attempts", "two", "attempts = 'two' is no int"),
        ("created_at", None, "created_at = None is no str"),
        ("metrics", [], "metrics = [] is no dict"),
        ("reason", 7, "reason = 7 is no str | None"),
    ],
)
def test_a_field_of_the_wrong_type_is_named_with_its_value(
    tmp_path: Path, field: str, value: Any, fault: str
) -> None:
    path = tmp_path / "run.json"
    write_json(path, {**RECORD.to_json(), field: value})
    assert refusal(path).problem == f"'{path}' is no whole run record: {fault}"


def test_a_record_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        RECORD.state = State.LOST  # type: ignore[misc]


def test_a_change_leaves_the_record_it_came_from() -> None:
    changed = RECORD.with_changes(state=State.RUNNING, attempts=2)
    assert (changed.state, changed.attempts) == (State.RUNNING, 2)
    assert (RECORD.state, RECORD.attempts) == (State.PLANNED, 0)


def test_a_name_says_dataset_model_size_and_whether_a_teacher_took_part() -> None:
    assert RECORD.name == "hcrl_sa-gat-small"
    assert RECORD.with_changes(teacher="20261120-000000-000000").name == "hcrl_sa-gat-small-kd"


@settings(deadline=None)
@given(SECONDS, SECONDS)
def test_run_ids_sort_by_time(one: datetime, other: datetime) -> None:
    if one != other:
        assert (new_run_id(one) < new_run_id(other)) is (one < other)


def test_run_ids_of_one_second_never_meet() -> None:
    now = datetime(2026, 11, 21, 7, 44, 55, tzinfo=UTC)
    ids = {new_run_id(now + timedelta(milliseconds=each)) for each in range(50)}
    assert len(ids) == 50
    assert {each[:16] for each in ids} == {"20261121-074455-"}


def test_a_new_run_id_is_of_this_moment_in_utc() -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    stamp = datetime.strptime(new_run_id()[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert before <= stamp <= datetime.now(UTC)
    assert datetime.fromisoformat(utc_now()).utcoffset() == timedelta(0)


def test_a_state_is_planned_submitted_running_completed_or_one_that_can_go_on() -> None:
    before_the_end = {State.PLANNED, State.SUBMITTED, State.RUNNING}
    assert set(State) == before_the_end | {State.COMPLETED} | RESUMABLE
