"""What a real Slurm 22.05.8 printed, read."""

from __future__ import annotations

import pytest

from kdgat.slurm.queue import (
    account_rows,
    duration_s,
    memory_bytes,
    queue_rows,
    records,
    settings,
)

QUEUE = """\
3|3|CANCELLED|DependencyNeverSatisfied|cpu||2026-11-21T14:50:36|2026-11-21T14:50:38|2026-11-21T14:50:38|0:00|5:00|0|0|kdgat-rec-child|
5|5_4|COMPLETED|None|cpu|pitzer01|2026-11-21T14:50:36|2026-11-21T14:51:56|2026-11-21T14:52:36|0:40|5:00|0|0|kdgat-rec-array|
14|14|FAILED|BadConstraints|cpu||2026-11-21T14:51:28|2026-11-21T14:51:28|2026-11-21T14:51:28|0:00|10:00|0|1|ok.sh|
2|2|FAILED|NonZeroExitCode|cpu|pitzer01|2026-11-21T14:50:36|2026-11-21T14:50:36|2026-11-21T14:50:37|0:01|5:00|0|768|kdgat-rec-fail|
22|22_[0,3-5%2]|PENDING|JobHeldUser|cpu||2026-11-21T14:53:55|N/A|N/A|0:00|10:00|0|0|kdgat-20261121-074455-123f9a2|
7|7|RUNNING|None|cpu|pitzer[01-02]|2026-11-21T14:50:36|2026-11-21T14:52:36|2026-11-21T14:57:36|1:19|5:00|0|0|kdgat-rec-big|
6|6|TIMEOUT|TimeLimit|cpu|pitzer02|2026-11-21T14:50:36|2026-11-21T14:50:36|2026-11-21T14:51:48|1:12|1:00|0|15|kdgat-rec-time|
26|26|FAILED|NonZeroExitCode|cpu|pitzer01|2026-11-21T14:57:14|2026-11-21T14:57:15|2026-11-21T14:57:16|0:01|5:00|0|35072|kdgat-rec-oom|
23|23|PENDING|BeginTime|cpu||2026-11-21T14:57:18|2026-11-21T14:57:24|2026-11-21T15:02:24|0:00|5:00|1|0|kdgat|rec|requeue|
"""
ACCOUNTS = """\
24|CANCELLED by 0|0:0|None|cpu|pitzer01|2026-11-21T14:57:14|2026-11-21T14:57:15|2026-11-21T14:57:18|3|5|1|200M||00:00.001|billing=1,cpu=1,mem=200M,node=1|kdgat-rec-cancel
24.batch|CANCELLED|0:15|||pitzer01|2026-11-21T14:57:15|2026-11-21T14:57:15|2026-11-21T14:57:18|3||1||4464K|00:00.001|cpu=1,mem=200M,node=1|batch
26|FAILED|9:0|None|cpu|pitzer01|2026-11-21T14:57:14|2026-11-21T14:57:15|2026-11-21T14:57:16|1|5|1|200M||00:00.386|billing=1,cpu=1,mem=200M,node=1|kdgat-rec-oom
26.0|CANCELLED by 0|0:9|||pitzer01|2026-11-21T14:57:15|2026-11-21T14:57:15|2026-11-21T14:57:16|1||1||501512K|00:00.374|cpu=1,mem=200M,node=1|python3
27|RUNNING|0:0|None|gpu|pitzer02|2026-11-21T14:57:14|2026-11-21T14:57:15|Unknown|13|5|1|200M||00:00:00|billing=1,cpu=1,gres/gpu=2,mem=200M,node=1|kdgat-rec-gpu
22_[0-2]|PENDING|0:0|None|cpu|None assigned|2026-11-21T14:53:55|Unknown|Unknown|0|Partition_Limit|0|200M||00:00:00||kdgat-x
14|FAILED|1:0|None|cpu|None assigned|2026-11-21T14:51:28|2026-11-21T14:51:28|2026-11-21T14:51:28|0|10|0|200M||00:00:00||ok.sh
"""  # noqa: E501


def test_a_running_job_is_read_with_its_nodes_and_times() -> None:
    row = next(row for row in queue_rows(QUEUE) if row.id == "7")
    assert (row.state, row.reason, row.node) == ("RUNNING", None, "pitzer[01-02]")
    assert row.started_at == "2026-11-21T14:52:36+00:00"
    assert (row.elapsed_s, row.time_limit_s, row.exit_code) == (79, 300, None)


def test_a_waiting_array_in_one_row_is_all_its_tasks() -> None:
    rows = [row for row in queue_rows(QUEUE) if row.array_id == "22"]
    assert [row.id for row in rows] == ["22_0", "22_3", "22_4", "22_5"]
    assert [row.task for row in rows] == [0, 3, 4, 5]


def test_a_list_of_tasks_that_was_cut_off_gives_those_it_names() -> None:
    cut = QUEUE.replace("22_[0,3-5%2]", "22_[0,3-5,...]")
    assert [row.task for row in queue_rows(cut) if row.array_id == "22"] == [0, 3, 4, 5]


def test_squeue_gives_what_wait_gave_and_so_a_status_over_128_is_whole() -> None:
    codes = {row.id: row.exit_code for row in queue_rows(QUEUE)}
    assert (codes["2"], codes["6"], codes["26"]) == ("3:0", "0:15", "137:0")


def test_what_was_refused_at_the_door_is_known_as_such() -> None:
    taken = {row.id: row.never_taken for row in queue_rows(QUEUE)}
    assert [each for each, never in taken.items() if never] == ["14"]
    assert [row.id for row in account_rows(ACCOUNTS) if row.never_taken] == ["14"]


def test_a_name_may_hold_the_separator() -> None:
    row = next(row for row in queue_rows(QUEUE) if row.id == "23")
    assert (row.name, row.restarts, row.reason) == ("kdgat|rec|requeue", 1, "BeginTime")


def test_lines_that_are_no_rows_are_passed_over() -> None:
    assert queue_rows("\nslurm_load_jobs error\n1|2|3|\n") == []
    assert account_rows("\n1|2\n") == []


def test_sacct_says_who_cancelled() -> None:
    row = account_rows(ACCOUNTS)[0]
    assert (row.state, row.cancelled_by, row.step) == ("CANCELLED", "0", None)
    assert (row.elapsed_s, row.time_limit_s, row.asked_memory_bytes) == (3, 300, 200 << 20)


def test_steps_tell_the_memory() -> None:
    steps = {row.id: row for row in account_rows(ACCOUNTS) if row.step}
    assert steps["26"].step == "0"
    assert steps["26"].used_memory_bytes == 501512 * 1024


def test_a_job_that_runs_has_no_end_and_its_gpus_are_told() -> None:
    row = next(row for row in account_rows(ACCOUNTS) if row.id == "27")
    assert (row.ended_at, row.tres["gres/gpu"]) == (None, "2")


def test_a_waiting_array_in_the_accounting_is_all_its_tasks() -> None:
    rows = [row for row in account_rows(ACCOUNTS) if row.array_id == "22"]
    assert [(row.id, row.node, row.time_limit_s) for row in rows] == [
        ("22_0", None, None), ("22_1", None, None), ("22_2", None, None),
    ]  # fmt: skip


def test_values_of_scontrol_may_hold_blanks() -> None:
    line = "NodeName=p1 OS=Linux 6.18.44 #1 SMP @0  RealMemory=4000 CfgTRES=cpu=4,gres/gpu=2\n"
    assert records(f"{line}\n") == [{
        "NodeName": "p1", "OS": "Linux 6.18.44 #1 SMP @0", "RealMemory": "4000",
        "CfgTRES": "cpu=4,gres/gpu=2",
    }]  # fmt: skip


def test_settings_of_scontrol_are_read() -> None:
    text = "Configuration data as of 2026\nClusterName             = pitzer\nMaxArraySize = 1001\n"
    assert settings(text) == {"ClusterName": "pitzer", "MaxArraySize": "1001"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:40", 40), ("1:00:00", 3600), ("4-00:00:00", 345_600), ("UNLIMITED", None), ("", None)],
)
def test_durations(text: str, seconds: int | None) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("200M", 200 << 20), ("4464K", 4464 << 10), ("4Gn", 4 << 30), ("1.5G", 3 << 29), ("", None)],
)
def test_sizes(text: str, size: int | None) -> None:
    assert memory_bytes(text) == size
