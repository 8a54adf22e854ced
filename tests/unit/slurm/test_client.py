"""What is asked of Slurm's commands, and what is made of their answers and faults."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kdgat.errors import Refused, SlurmError, Unanswered
from kdgat.slurm.client import Slurm, StartEstimate
from tests.unit.slurm.fake_slurm import FakeSlurm, account_line, queue_line

SINCE = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
DOWN = "Unable to contact slurm controller (connect failure)\n"
NO_SQUEUE = (1, "", f"slurm_load_jobs error: {DOWN}")
NO_SBATCH = (1, "", f"sbatch: error: Batch job submission failed: {DOWN}")
LATE = (1, "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv "
        "operation\n")  # fmt: skip
NO_SACCT = (
    1,
    "",
    """\
sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to \
host:127.0.0.1:19998: Connection refused
sacct: error: Sending PersistInit msg: Connection refused
sacct: error: Problem talking to the database: Connection refused
""",
)
NO_ACCOUNTS = (1, "", "Slurm accounting storage is disabled\n")


@pytest.fixture
def fake(tmp_path: Path) -> FakeSlurm:
    folder = tmp_path / "bin"
    folder.mkdir()
    return FakeSlurm(folder)


class TestSbatch:
    def test_gives_the_script_by_its_name_in_the_job_s_folder(
        self, fake: FakeSlurm, tmp_path: Path
    ) -> None:
        fake.answers("sbatch", "123;pitzer\n")
        options = ("--dependency=afterok:7",)
        assert fake.client().sbatch(Path("job.sh"), cwd=tmp_path, options=options) == "123"
        assert fake.calls("sbatch") == ["--parsable --dependency=afterok:7 job.sh"]

    def test_settings_of_the_shell_do_not_overrule_the_script(
        self, fake: FakeSlurm, tmp_path: Path
    ) -> None:
        fake.answers("sbatch", "1\n")
        surroundings = {
            "SBATCH_PARTITION": "debug", "SLURM_JOB_ID": "9", "SLURM_CONF": "/etc/s.conf",
            "HOME": "/home/a", "LANG": "de_DE.UTF-8",
        }  # fmt: skip
        fake.client(**surroundings).sbatch(Path("job.sh"), cwd=tmp_path)
        seen = fake.environ("sbatch")
        assert {"SBATCH_PARTITION", "SLURM_JOB_ID", "LC_ALL", "TZ"} & set(seen) == set()
        assert (seen["SLURM_CONF"], seen["LANG"]) == ("/etc/s.conf", "de_DE.UTF-8")

    @pytest.mark.parametrize(
        ("said", "words", "step"),
        [
            ("Invalid account or account/partition combination specified", "account", "--account"),
            ("Invalid partition name specified", "partition", "--partition"),
            ("Requested time limit is invalid (missing or exceeds some limit)", "time", "--time"),
            ("Invalid job array specification", "array", "fewer runs"),
            ("More processors requested than permitted", "processors", "fewer GPUs"),
            ("Requested node configuration is not available", "node", "fewer GPUs"),
            ("Job violates accounting/QOS policy (job submit limit, user's size and/or time "
             "limits)", "policy", "wait"),
            ("Job dependency problem", "dependency", "kdgat status"),
        ],
    )  # fmt: skip
    def test_a_refusal_has_slurm_s_words_and_a_next_step(
        self, fake: FakeSlurm, tmp_path: Path, said: str, words: str, step: str
    ) -> None:
        fake.answers("sbatch", (1, "", f"sbatch: error: Batch job submission failed: {said}\n"))
        with pytest.raises(Refused, match=words) as caught:
            fake.client().sbatch(Path("job.sh"), cwd=tmp_path)
        assert caught.value.problem == f"Slurm refused the job: {said}"
        assert step in caught.value.hint
        assert len(fake.calls("sbatch")) == 1

    def test_a_refusal_in_several_lines_is_one_sentence(
        self, fake: FakeSlurm, tmp_path: Path
    ) -> None:
        fake.answers(
            "sbatch",
            (
                1,
                "",
                """\
sbatch: error: Memory specification can not be satisfied
sbatch: error: Batch job submission failed: Requested node configuration is not available
""",
            ),
        )
        with pytest.raises(Refused) as caught:
            fake.client().sbatch(Path("job.sh"), cwd=tmp_path)
        assert caught.value.problem == (
            "Slurm refused the job: Memory specification can not be satisfied; Requested node "
            "configuration is not available"
        )
        assert "--memory-gb" in caught.value.hint

    def test_a_controller_that_was_not_reached_is_tried_again(
        self, fake: FakeSlurm, tmp_path: Path
    ) -> None:
        fake.answers("sbatch", NO_SBATCH, NO_SBATCH, "5\n")
        assert fake.client().sbatch(Path("job.sh"), cwd=tmp_path) == "5"

    def test_a_job_that_may_have_been_taken_is_never_given_again(
        self, fake: FakeSlurm, tmp_path: Path
    ) -> None:
        fake.answers("sbatch", LATE, "5\n")
        with pytest.raises(Unanswered, match="Socket timed out"):
            fake.client().sbatch(Path("job.sh"), cwd=tmp_path)
        assert len(fake.calls("sbatch")) == 1

    def test_an_answer_that_is_no_id_leaves_the_job_in_doubt(
        self, fake: FakeSlurm, tmp_path: Path
    ) -> None:
        fake.answers("sbatch", "Submitted, somehow\n")
        with pytest.raises(Unanswered, match="no job's id"):
            fake.client().sbatch(Path("job.sh"), cwd=tmp_path)

    def test_the_estimate_is_read_from_standard_error(
        self, fake: FakeSlurm, tmp_path: Path
    ) -> None:
        said = ("sbatch: Job 20 to start at 2026-11-21T15:03:28 using 1 processors on nodes "
                "pitzer02 in partition cpu\n")  # fmt: skip
        fake.answers("sbatch", (0, "", said), (1, "", "allocation failure: Invalid qos\n"))
        client = fake.client()
        assert client.test_only(Path("job.sh"), cwd=tmp_path) == StartEstimate(
            "2026-11-21T15:03:28+00:00", "pitzer02", "cpu"
        )
        with pytest.raises(Refused, match="Invalid qos"):
            client.test_only(Path("job.sh"), cwd=tmp_path)


class TestAsking:
    def test_a_machine_without_slurm_is_told_as_one(self, tmp_path: Path) -> None:
        client = Slurm({"PATH": str(tmp_path)})
        assert not client.present()
        with pytest.raises(SlurmError, match="'squeue' is not on PATH here") as caught:
            client.squeue()
        assert "--cluster local" in caught.value.hint

    def test_is_in_utc_and_in_slurm_s_own_format(self, fake: FakeSlurm) -> None:
        fake.sees()
        odd = {"SQUEUE_FORMAT": "%i", "SLURM_TIME_FORMAT": "relative", "TZ": "America/New_York"}
        assert fake.client(**odd).squeue() == []
        seen = fake.environ("squeue")
        assert (seen["TZ"], seen["LC_ALL"]) == ("UTC", "C")
        assert {"SQUEUE_FORMAT", "SLURM_TIME_FORMAT"} & set(seen) == set()

    def test_a_fault_that_passes_is_tried_again(self, fake: FakeSlurm) -> None:
        fake.answers("squeue", NO_SQUEUE, NO_SQUEUE, queue_line())
        assert [row.id for row in fake.client().squeue()] == ["7"]

    def test_one_that_stays_is_told_in_a_sentence(self, fake: FakeSlurm) -> None:
        fake.answers("squeue", NO_SQUEUE)
        with pytest.raises(Unanswered, match=r"does not answer .*connect failure"):
            fake.client().squeue()
        assert len(fake.calls("squeue")) == 3

    def test_any_other_fault_is_told_at_once(self, fake: FakeSlurm) -> None:
        fake.answers("squeue", (1, "", "squeue: error: Invalid user: 77\n"))
        with pytest.raises(SlurmError, match="squeue failed: Invalid user: 77"):
            fake.client().squeue()
        assert len(fake.calls("squeue")) == 1

    def test_the_pauses_between_tries_grow(self, fake: FakeSlurm) -> None:
        fake.answers("squeue", NO_SQUEUE)
        waited: list[float] = []
        client = Slurm({"PATH": f"{fake.folder}:/usr/bin:/bin"}, sleep=waited.append)
        with pytest.raises(Unanswered):
            client.squeue()
        assert waited == sorted(set(waited))
        assert len(waited) >= 2

    def test_one_sacct_tells_any_number_of_jobs(self, fake: FakeSlurm) -> None:
        fake.keeps({"JobID": "5_0"}, {"JobID": "6"})
        rows = fake.client().sacct(["5", "6", "5"], SINCE)
        assert [row.id for row in rows] == ["5_0", "6"]
        (call,) = fake.calls("sacct")
        assert "-X" in call
        assert "-j 5,6" in call
        assert "--starttime=2026-11-21T08:00:00" in call

    def test_no_job_is_no_call(self, fake: FakeSlurm) -> None:
        assert fake.client().sacct([], SINCE) == []
        assert fake.calls("sacct") == []

    def test_associations_are_the_user_s(self, fake: FakeSlurm) -> None:
        fake.answers("sacctmgr", "pas3209\npas3209\nroot\n")
        assert fake.client().associations() == ["pas3209", "root"]

    def test_estimates_are_those_of_waiting_jobs(self, fake: FakeSlurm) -> None:
        fake.sees({"StartTime": "2026-11-21T14:57:36"}, {"ArrayJobID": "8"})
        assert fake.client().start_estimates() == {"7": "2026-11-21T14:57:36+00:00"}


class TestCancelling:
    def test_a_job_that_is_gone_is_no_fault(self, fake: FakeSlurm) -> None:
        fake.answers("scancel", (0, "", ""), (1, "", "scancel: error: Invalid job id 99\n"))
        client = fake.client()
        client.cancel("5_1")
        client.cancel("99")
        assert fake.calls("scancel") == ["5_1", "99"]

    def test_a_fault_is_told(self, fake: FakeSlurm) -> None:
        fake.answers("scancel", (1, "", "scancel: error: Access/permission denied\n"))
        with pytest.raises(SlurmError, match="Access/permission denied"):
            fake.client().cancel("1")


class TestFindingByName:
    def test_the_queue_is_asked_first(self, fake: FakeSlurm) -> None:
        fake.sees({"ArrayJobID": "41"})
        fake.keeps()
        assert fake.client().named("kdgat-a") == "41"
        assert fake.calls("sacct") == []

    def test_then_the_accounting_in_every_state(self, fake: FakeSlurm) -> None:
        fake.sees()
        fake.keeps({"JobID": "41_0", "State": "CANCELLED"})
        assert fake.client().named("kdgat-a", SINCE) == "41"
        (call,) = fake.calls("sacct")
        assert "--name=kdgat-a --starttime=2026-11-21T08:00:00" in call
        assert "CA" in call.split("--state=")[1]

    def test_what_was_refused_is_not_found(self, fake: FakeSlurm) -> None:
        refused = {"State": "FAILED", "NodeList": "", "TimeUsed": "0:00"}
        fake.sees({**refused, "Reason": "BadConstraints"})
        fake.keeps({"State": "FAILED", "NodeList": "None assigned", "ElapsedRaw": "0"})
        assert fake.client().named("kdgat-a") is None

    def test_a_database_that_is_silent_is_no_no(self, fake: FakeSlurm) -> None:
        fake.sees()
        fake.answers("sacct", NO_SACCT)
        with pytest.raises(Unanswered):
            fake.client().named("kdgat-a")

    def test_where_nothing_keeps_accounts_the_queue_is_all_there_is(self, fake: FakeSlurm) -> None:
        fake.sees()
        fake.answers("sacct", NO_ACCOUNTS)
        assert fake.client().named("kdgat-a") is None


def test_the_lines_of_these_tests_are_whole() -> None:
    assert queue_line().count("|") == 14
    assert account_line().count("|") == 16
