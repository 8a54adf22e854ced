"""Plans of submissions, kept for a day, and the jobs that were made of them.

    <home>/agent/plans/<plan_id>.json   what was planned, and the hash of it

Whether a plan was carried out is not written there: the jobs themselves say which plan they are of,
so that a process which is killed between two files leaves nothing that could be read wrongly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from kdgat.errors import PlanError
from kdgat.ledger.files import write_json
from kdgat.ledger.jobs import Job, JobState, job_folders
from kdgat.ledger.record import is_run_id, new_run_id

KEPT_FOR = timedelta(days=1)
"""How long a plan holds."""
AGAIN = "plan again (`kdgat plan`), and submit the new plan"
"""The next step after most refusals."""
Asker = Literal["agent", "user"]
"""Who had a job submitted."""
_PREFIX = "plan-"
_SKEW = timedelta(hours=1)
"""Hosts that share a home may differ so much in their clocks."""


@dataclass(frozen=True)
class Price:
    """What jobs take when they use their whole time limit."""

    jobs: int = 0
    """Jobs; each element of an array is one."""
    core_hours: float = 0.0
    """Charged core-hours."""
    gpu_hours: float = 0.0
    """GPU-hours that are held, charged or not."""

    def __add__(self, other: Price) -> Price:
        return Price(
            self.jobs + other.jobs,
            self.core_hours + other.core_hours,
            self.gpu_hours + other.gpu_hours,
        )


@dataclass(frozen=True)
class KeptRun:
    """One run of a plan. Another run of the same plan is named by its place: `#0`."""

    name: str
    work: str
    outcome: str
    """What was to be done with it: new, resume, intended, live or done."""
    run_id: str | None
    """None for a new one, which gets its id when it is submitted."""
    config: str
    """Digest of its whole config, before its teacher and scorers are looked up."""
    dataset: str
    captures: str
    """Hash of the dataset's captures; empty where it was not ingested."""
    graphs: str | None
    teacher: str | None
    subject: str | None
    scorers: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeptJob:
    """One job of a plan."""

    runs: tuple[int, ...]
    """The places of its runs, by the number of their task."""
    script: str
    """Hash of its script, ids left out."""
    price: Price
    """Of one turn."""
    turns: int
    """The first one and every restart."""

    @property
    def most(self) -> Price:
        """Its price when it uses up every turn."""
        price = self.price
        return Price(price.jobs, price.core_hours * self.turns, price.gpu_hours * self.turns)


@dataclass(frozen=True)
class KeptPlan:
    """What exactly is to be submitted. Times are ISO 8601 in UTC."""

    plan_id: str
    root: str
    """The workspace it was made in."""
    created_at: str
    expires_at: str
    cluster: str
    cluster_digest: str
    snapshot: str
    """Names the code."""
    request: dict[str, Any]
    """What was asked for: the fields of `SubmitRequest`."""
    runs: tuple[KeptRun, ...]
    jobs: tuple[KeptJob, ...]

    @property
    def price(self) -> Price:
        """Of all jobs, each one turn."""
        return total(job.price for job in self.jobs)

    @property
    def most(self) -> Price:
        """Of all jobs when each uses up every turn."""
        return total(job.most for job in self.jobs)


@dataclass(frozen=True)
class PlanMark:
    """What a job's record says of the plan it was made of."""

    plan_id: str
    by: Asker
    runs: tuple[int, ...]
    """Places of its runs in the plan, by the number of their task."""
    of: int
    """How many runs the jobs of the plan have together."""
    price: Price
    """With every turn."""


def total(prices: Iterable[Price]) -> Price:
    """The sum of prices."""
    return sum(prices, Price())


def new_plan_id() -> str:
    """An id that sorts by time: `plan-20261121-074455-123f9a2`."""
    return _PREFIX + new_run_id()


def check_plan_id(plan_id: str) -> None:
    """Refuse what can't be a plan's id, before it becomes part of a path.

    Raises:
        PlanError: it has not the form of one.
    """
    if not (plan_id.startswith(_PREFIX) and is_run_id(plan_id.removeprefix(_PREFIX))):
        shown = repr(plan_id if len(plan_id) <= 60 else f"{plan_id[:60]}...")
        raise PlanError(
            f"{shown} is no id of a plan, which looks like plan-20261121-074455-123f9a2",
            hint="`kdgat plan` makes a plan, and tells its id",
        )


def keep_plan(folder: Path, plan: KeptPlan) -> None:
    """Write a plan, and delete those that hold no longer.

    Raises:
        StorageError: the file system refused.
    """
    value = asdict(plan)
    write_json(folder / f"{plan.plan_id}.json", {"plan": value, "sha256": _seal(value)})
    forget_old(folder)


def read_plan(folder: Path, plan_id: str, *, now: datetime | None = None) -> KeptPlan:
    """A plan that is kept and not yet too old; one that is too old is deleted.

    Raises:
        PlanError: it is none, unknown, damaged or too old.
    """
    check_plan_id(plan_id)
    path = folder / f"{plan_id}.json"
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise PlanError(
            f"no plan '{plan_id}' is kept in this workspace; a plan is kept for a day", hint=AGAIN
        ) from error
    except OSError as error:
        raise PlanError(f"'{path}' can't be read: {error.strerror}", hint=AGAIN) from error
    plan = _plan_from(path, text)
    if plan.plan_id != plan_id:
        raise PlanError(f"'{path}' holds another plan, '{plan.plan_id}'", hint=AGAIN)
    if datetime.fromisoformat(plan.expires_at) <= (now or datetime.now(UTC)):
        path.unlink(missing_ok=True)
        raise PlanError(
            f"plan '{plan_id}' held until {plan.expires_at[:16].replace('T', ' ')} UTC", hint=AGAIN
        )
    return plan


def plan_ids(folder: Path) -> list[str]:
    """The ids of all plans that are kept, newest first."""
    return sorted((path.stem for path in folder.glob(f"{_PREFIX}*.json")), reverse=True)


def forget_old(folder: Path, *, now: datetime | None = None) -> None:
    """Delete the plans that hold no longer."""
    oldest = _PREFIX + _stamp((now or datetime.now(UTC)) - KEPT_FOR)
    for plan_id in plan_ids(folder):
        if plan_id < oldest:
            (folder / f"{plan_id}.json").unlink(missing_ok=True)


def mark_of(job: Job) -> PlanMark | None:
    """The plan that a job was made of; None where there was none."""
    found = job.details.get("plan")
    if not isinstance(found, dict):
        return None
    return PlanMark(**{**found, "runs": tuple(found["runs"]), "price": Price(**found["price"])})


def jobs_of_plan(jobs: Path, plan_id: str) -> list[Job]:
    """The jobs that were made of a plan, in its order, without what the scheduler did not take.

    Raises:
        RunError: a job's record can't be read, so that nobody knows whose it is.
    """
    made = datetime.strptime(plan_id.removeprefix(_PREFIX)[:15], "%Y%m%d-%H%M%S")
    found = marked_since(jobs, made.replace(tzinfo=UTC) - _SKEW)
    ours = [(mark.runs, job) for job, mark in found if mark.plan_id == plan_id]
    return [job for _, job in sorted(ours, key=lambda each: each[0])]


def marked_since(jobs: Path, since: datetime) -> Iterator[tuple[Job, PlanMark]]:
    """The jobs made of plans since then, newest first, without what the scheduler did not take.

    Raises:
        RunError: a job's record can't be read.
    """
    for folder in job_folders(jobs):
        if folder.path.name < _stamp(since):
            return
        job = folder.record()
        mark = mark_of(job)
        if mark is not None and job.state is not JobState.REFUSED:
            yield job, mark


def whole(jobs: Sequence[Job]) -> bool:
    """Whether jobs of one plan are all of it: a submission may have been cut off between two."""
    marks = [mark for mark in map(mark_of, jobs) if mark is not None]
    return bool(marks) and len({run for mark in marks for run in mark.runs}) == marks[0].of


def _plan_from(path: Path, text: bytes) -> KeptPlan:
    try:
        kept = json.loads(text)
        value = kept["plan"]
        if kept["sha256"] != _seal(value):
            raise ValueError("it is not as it was written")
        jobs = tuple(
            KeptJob(**{**each, "runs": tuple(each["runs"]), "price": Price(**each["price"])})
            for each in value["jobs"]
        )
        runs = tuple(
            KeptRun(**{**each, "scorers": tuple(each.get("scorers", ()))}) for each in value["runs"]
        )
        return KeptPlan(**{**value, "runs": runs, "jobs": jobs})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"'{path}' is damaged: {error}", hint=AGAIN) from error


def _seal(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp(moment: datetime) -> str:
    """How the ids of that second begin."""
    return f"{moment:%Y%m%d-%H%M%S}"
