"""A submission as a plan keeps it, and what has changed since.

Ids are given out when something is submitted, so runs that are new are known by their place.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from kdgat.configs.run import json_digest
from kdgat.errors import PlanError
from kdgat.ledger.plans import (
    AGAIN,
    Asker,
    KeptJob,
    KeptPlan,
    KeptRun,
    PlanMark,
    Price,
    total,
)
from kdgat.ops.job_request import SubmitRequest
from kdgat.ops.submission import TO_DO, DraftJob, DraftRun, task_cost
from kdgat.slurm.cluster import Cluster

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{7}")
_NAMED = 3
"""Changes that a refusal names; the others are counted."""


def kept_runs(drafts: Sequence[DraftJob]) -> tuple[KeptRun, ...]:
    """Every run of a submission."""
    runs = _runs(drafts)
    places = {run.record.run_id: f"#{place}" for place, run in enumerate(runs)}
    return tuple(_kept_run(run, places) for run in runs)


def kept_jobs(drafts: Sequence[DraftJob], cluster: Cluster) -> tuple[KeptJob, ...]:
    """The jobs for what is to do."""
    return tuple(
        KeptJob(
            runs=places,
            script=_script_digest(made.script),
            price=_price(cluster, made),
            turns=1 + made.placed.request.max_restarts,
        )
        for made, places in _placed(drafts)
    )


def cluster_digest(cluster: Cluster) -> str:
    """16 hex digits of all that is described of a cluster."""
    return json_digest(cluster.model_dump(mode="json"))


def request_values(asked: SubmitRequest) -> dict[str, Any]:
    """What was asked for, as plain values; the scheduler was asked beforehand."""
    return {**asdict(replace(asked, preflight=False)), "overrides": list(asked.overrides)}


def request_from(plan: KeptPlan) -> SubmitRequest:
    """What was asked for.

    Raises:
        PlanError: another version of kdgat made the plan.
    """
    try:
        values = {**plan.request, "overrides": tuple(plan.request["overrides"])}
        return SubmitRequest(**values)
    except (KeyError, TypeError) as error:
        raise PlanError(
            f"plan '{plan.plan_id}' was made by another version of kdgat", hint=AGAIN
        ) from error


def marked(drafts: Sequence[DraftJob], plan: KeptPlan, by: Asker) -> tuple[DraftJob, ...]:
    """Drafts for which the plan holds, with the plan in the record of each of their jobs."""
    kept, of = iter(plan.jobs), sum(len(job.runs) for job in plan.jobs)
    found = []
    for made in drafts:
        if made.job is not None:
            job = next(kept)
            mark = PlanMark(plan.plan_id, by, job.runs, of, job.most)
            details = {**made.job.details, "plan": asdict(mark)}
            made = replace(made, job=made.job.with_changes(details=details))
        found.append(made)
    return tuple(found)


def nothing_left(plan: KeptPlan, drafts: Sequence[DraftJob]) -> bool:
    """Whether all that was planned is done or being done; what else changed then changes nothing.

    What a run is, its config, captures and teacher, must still be the same.
    """
    now = kept_runs(drafts)
    if any(made.job is not None for made in drafts) or len(now) != len(plan.runs):
        return False
    return not any(
        why for old, new in zip(plan.runs, now, strict=True) for why in _changed(old, new)
    )


def check_holds(
    plan: KeptPlan, drafts: Sequence[DraftJob], cluster: Cluster, snapshot: str
) -> None:
    """Make sure that what would be submitted now is what was planned.

    Raises:
        PlanError: it is not; names what changed.
    """
    changes = list(dict.fromkeys(_changes(plan, drafts, cluster, snapshot)))
    changes = changes or list(_other_scripts(plan, drafts, cluster))
    if changes:
        more = len(changes) - _NAMED
        told = "; ".join(changes[:_NAMED]) + (f"; and {more} more changes" if more > 0 else "")
        raise PlanError(f"plan '{plan.plan_id}' holds no longer: {told}", hint=AGAIN)


def _changes(
    plan: KeptPlan, drafts: Sequence[DraftJob], cluster: Cluster, snapshot: str
) -> Iterator[str]:
    """What is otherwise than planned, in words."""
    if snapshot != plan.snapshot:
        # The whole checkout is what a job gets, and what its record names: none of it is exempt.
        told = f"snapshot {plan.snapshot[:10]} is now {snapshot[:10]}"
        yield f"the code changed, or another file that git tracks ({told})"
    if cluster_digest(cluster) != plan.cluster_digest:
        yield f"the description of cluster '{cluster.name}' changed"
    now = kept_runs(drafts)
    if len(now) != len(plan.runs):
        yield f"{len(plan.runs)} runs were planned, and the same words now mean {len(now)}"
        return
    for old, new in zip(plan.runs, now, strict=True):
        yield from _changed(old, new)
    for old, run in zip(plan.runs, _runs(drafts), strict=True):
        yield from _turned(old, run)


def _other_scripts(plan: KeptPlan, drafts: Sequence[DraftJob], cluster: Cluster) -> Iterator[str]:
    """What differs in the jobs, where nothing else does."""
    jobs = kept_jobs(drafts, cluster)
    if [job.runs for job in jobs] != [job.runs for job in plan.jobs]:
        yield "its runs are put into other jobs"
        return
    for number, (old, new) in enumerate(zip(plan.jobs, jobs, strict=True), start=1):
        if old != new:
            yield f"the script of job {number} is another (slurm/job.sh.in, or a folder moved)"


def _changed(old: KeptRun, new: KeptRun) -> Iterator[str]:
    """What makes a run another one than was planned."""
    if (old.name, old.work, old.config) != (new.name, new.work, new.config):
        yield f"the config of {old.name} changed ({old.config} is now {new.config})"
    elif (old.captures, old.graphs) != (new.captures, new.graphs):
        yield f"the captures of '{old.dataset}' changed, or how graphs are made of them"
    for what, before, after in (
        ("teacher", old.teacher, new.teacher),
        ("subject", old.subject, new.subject),
        ("models weighed", old.scorers, new.scorers),
    ):
        if before != after:
            yield f"the {what} of {old.name} is now {after}, not {before}"


def _turned(old: KeptRun, run: DraftRun) -> Iterator[str]:
    """What came of a run meanwhile that makes another submission of it."""
    record = run.record
    if old.outcome in TO_DO and run.outcome not in TO_DO:
        by = f" by job '{record.job}'" if record.job else ""
        yield f"run '{record.run_id}' ({old.name}) is {record.state.value} meanwhile{by}"
    elif old.outcome not in TO_DO and run.outcome in TO_DO:
        yield f"run '{old.run_id}' ({old.name}) was {old.outcome} and is {record.state.value} now"
    elif old.outcome == "new" and run.outcome == "resume" and record.attempts:
        yield f"run '{record.run_id}' ({old.name}) was begun meanwhile"
    elif old.outcome == "resume" and record.run_id != old.run_id:
        yield f"run '{old.run_id}' ({old.name}) can't go on any more"


def _kept_run(run: DraftRun, places: dict[str, str]) -> KeptRun:
    record = run.record
    teacher, subject = record.teacher or "", record.subject or ""
    return KeptRun(
        name=record.name,
        work=run.work,
        outcome=run.outcome,
        run_id=None if run.outcome == "new" else record.run_id,
        config=json_digest(run.wanted.config.model_dump(mode="json")),
        dataset=record.dataset,
        captures=record.dataset_hash,
        graphs=record.graphs,
        teacher=places.get(teacher, teacher) or None,
        subject=places.get(subject, subject) or None,
        scorers=record.scorers if run.work == "train" else (),
    )


def _runs(drafts: Sequence[DraftJob]) -> list[DraftRun]:
    return [run for made in drafts for run in made.runs]


def _placed(drafts: Sequence[DraftJob]) -> Iterator[tuple[DraftJob, tuple[int, ...]]]:
    """Each draft that has a job, with the places of that job's runs among all."""
    before = 0
    for made in drafts:
        places = [before + place for place, run in enumerate(made.runs) if run.outcome in TO_DO]
        before += len(made.runs)
        if made.job is not None:
            yield made, tuple(places)


def _price(cluster: Cluster, made: DraftJob) -> Price:
    cost = task_cost(cluster, made)
    return total(Price(1, cost.core_hours, cost.gpu_hours) for _ in made.to_do)


def _script_digest(script: str) -> str:
    """Hash of a script, whatever the ids in it and whichever name of one Python runs this."""
    here = str(Path(sys.executable).parent)
    text = _ID.sub("ID", script.replace(sys.executable, here))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
