"""The tool `submit_job`: exactly what was planned, once, with the user's word where he is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from kdgat.errors import PlanError
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ledger.plans import KeptPlan
    from kdgat.mcp.answers import Confirm
    from kdgat.progress import Progress

_RUNS = 20


@dataclass(frozen=True)
class GivenRow:
    """One job; `scheduler_id` is None where there is no scheduler."""

    job_id: str
    scheduler_id: str | None
    state: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class SubmitAnswer:
    """What there is of the plan now; `given` says whether this very call submitted it."""

    plan_id: str
    given: bool
    items: tuple[GivenRow, ...]
    total: int
    next_cursor: str | None
    truncated: bool
    hint: str
    runs: tuple[str, ...]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Which jobs were given, or that they were before."""
        jobs = ", ".join(f"{each.job_id} {each.state}" for each in self.items)
        what = "submitted" if self.given else "nothing given by this call; there is"
        return f"{self.plan_id}: {what} {jobs or 'no job: all was done before'}"


def submit_job(
    ws: Workspace,
    *,
    plan_id: Annotated[str, Field(description="of plan_job's answer", max_length=80)],
    confirm: Confirm | None = None,
    progress: Progress | None = None,
) -> SubmitAnswer:
    """Submit exactly what plan_job planned, once: a second call tells what became of it.

    Use when the user has seen the plan and wants it.
    Not when anything should be different: plan_job makes a new plan. cancel takes jobs back.
    """
    from kdgat.ops.plans import submit_plan
    from kdgat.progress import quiet

    _agreed(ws, plan_id, confirm)
    # Where there is no scheduler a process of its own does the work: the server may go.
    done = submit_plan(ws, plan_id, by="agent", detached=True, progress=progress or quiet)
    runs = [
        f"{run.run_id} {run.work} {run.name}: {run.state.value}"
        + (f", {run.reason}" if run.reason else "")
        for run in done.runs
    ]
    left = len(runs) - _RUNS
    return SubmitAnswer(
        plan_id=done.plan_id,
        given=done.given,
        items=tuple(
            GivenRow(each.job_id, each.scheduler_id, each.state, each.runs[:_RUNS])
            for each in done.jobs
        ),
        total=len(done.jobs),
        next_cursor=None,
        truncated=False,
        runs=(*runs[:_RUNS], *[f"... and {left} more"] * (left > 0)),
        hint="status tells where they stand; status(action='log', run=ID) what they print",
        notes=done.warnings,
    )


def _agreed(ws: Workspace, plan_id: str, confirm: Confirm | None) -> None:
    """See that the caps allow it and that the user wants it, where he is to be asked.

    Raises:
        PlanError: there is no such plan, a cap is reached, or the user does not agree.
    """
    from kdgat.agent.limits import load_limits
    from kdgat.ledger.plans import check_plan_id, jobs_of_plan, read_plan, whole
    from kdgat.ops.plans import check_caps

    check_plan_id(plan_id)
    if whole(jobs_of_plan(ws.jobs, plan_id)):
        # It was agreed to, and nothing is given twice.
        return
    plan = read_plan(ws.agent / "plans", plan_id)
    check_caps(ws, plan)
    when = load_limits(ws).confirm.submit
    if when == "never" or (when == "when possible" and confirm is None):
        return
    if confirm is None:
        raise PlanError(
            "agent/mcp.toml wants the user to be asked, and this client can't ask him",
            hint=f"he submits it himself with `kdgat submit --plan {plan_id}`",
        )
    if not confirm(_question(plan)):
        raise PlanError(
            f"the user did not agree to '{plan_id}'",
            hint="nothing was submitted: ask him what should be different, and plan that",
        )


def _question(plan: KeptPlan) -> str:
    """What the user is asked; the same words for the same plan."""
    price, most = plan.price, plan.most
    new = [run for run in plan.runs if run.outcome in ("new", "resume")]
    names = ", ".join(dict.fromkeys(f"{run.work} {run.name}" for run in new[:4]))
    more = f" and {len(new) - 4} more" if len(new) > 4 else ""
    return (
        f"Submit {price.jobs} job{'s' * (price.jobs != 1)} to {plan.cluster} ({names}{more})? "
        f"They take up to {price.gpu_hours:.1f} GPU-hours and {price.core_hours:.1f} core-hours "
        f"({most.gpu_hours:.1f} and {most.core_hours:.1f} with every restart)."
    )
