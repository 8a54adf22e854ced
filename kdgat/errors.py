"""Everything kdgat raises on purpose.

    KdgatError
    ├── WorkspaceError   no workspace here, or a setting of it is wrong
    ├── ConfigError      a field, an override or an experiment name is wrong
    ├── DataError        a dataset is missing or a capture can't be read
    ├── RunError         a run can't be found, or its record can't be read
    ├── CheckpointError  a checkpoint is missing, damaged or of another model
    ├── MemoryPlanError  a run's memory can't be foreseen, or does not fit
    ├── HistoryError     a question to the history is refused, cut off or wrong
    ├── KnowledgeError   a documentation source or a page of it can't be read or found
    ├── ModeError        a mode is unknown, its file is wrong, or it lacks what was asked
    ├── QuestionError    an open question can't be found, read or written
    ├── PlanError        a kept plan is unknown, too old or no longer holds, or a cap is reached
    ├── SlurmError       the scheduler refused, does not answer, or is not here
    │   ├── Refused      the scheduler did not take a job, and said why
    │   └── Unanswered   nobody knows whether it took a job
    └── StorageError     the file system refused (full, read-only, no permission)

Each carries one sentence that names what, where and the value, and a hint with the next step. The
command line prints both and exits with 2, so that nobody meets a traceback for his own mistake.
"""

import difflib
from collections.abc import Iterable


class KdgatError(Exception):
    """A mistake the user can mend: `problem` says what happened, `hint` what to do next."""

    def __init__(self, problem: str, *, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # `hint` is keyword-only, which the default pickling of exceptions can't express.
        return (_rebuild, (type(self), self.problem, self.hint))


def _rebuild(kind: type[KdgatError], problem: str, hint: str) -> KdgatError:
    return kind(problem, hint=hint)


class WorkspaceError(KdgatError):
    """No workspace here, or a setting of it is wrong."""


class ConfigError(KdgatError):
    """A field, an override or an experiment name is wrong."""


class DataError(KdgatError):
    """A dataset is missing or a capture can't be read."""


class RunError(KdgatError):
    """A run can't be found, or its record can't be read."""


class CheckpointError(KdgatError):
    """A checkpoint is missing, damaged or of another model."""


class MemoryPlanError(KdgatError):
    """A run's memory can't be foreseen, or does not fit."""


class HistoryError(KdgatError):
    """A question to the history is refused, was cut off or is wrong."""


class KnowledgeError(KdgatError):
    """A documentation source, a page of it or a paper's file can't be read or found."""


class ModeError(KdgatError):
    """A mode is unknown, its file is wrong, or it lacks what was asked."""


class QuestionError(KdgatError):
    """An open question can't be found, read or written."""


class PlanError(KdgatError):
    """A kept plan is unknown, too old or no longer holds, or a cap is reached."""


class SlurmError(KdgatError):
    """The scheduler refused, does not answer, or is not here."""


class Refused(SlurmError):
    """The scheduler did not take a job, and said why."""


class Unanswered(SlurmError):
    """No answer came; of a job that was being given, nobody knows whether it was taken."""


class StorageError(KdgatError):
    """The file system refused: full, read-only or not permitted."""


def did_you_mean(wrong: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """A hint that names the nearest of `known`; with none near, `otherwise` or all of them."""
    near = difflib.get_close_matches(wrong, known := sorted(known), n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return otherwise or f"choose one of: {', '.join(known)}"
