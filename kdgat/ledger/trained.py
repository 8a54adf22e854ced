"""Whether a run's model can be used."""

from __future__ import annotations

from kdgat.errors import RunError
from kdgat.ledger.record import RunRecord
from kdgat.ledger.states import State


def need_trained(record: RunRecord) -> None:
    """Refuse a run that has no finished model of its own.

    Raises:
        RunError: the run is an evaluation, or did not complete.
    """
    if record.subject is not None:
        raise RunError(
            f"run '{record.run_id}' is an evaluation of '{record.subject}' and has no model",
            hint=f"name '{record.subject}' instead",
        )
    if record.state is not State.COMPLETED:
        raise RunError(
            f"run '{record.run_id}' is {record.state.value}, not completed",
            hint="train it to its end first; the same overrides resume it",
        )
