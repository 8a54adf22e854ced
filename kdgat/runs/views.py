"""The views of the history: which there are, their columns, and what each means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column; `kind` is DuckDB's name of its type."""

    name: str
    kind: str
    meaning: str


@dataclass(frozen=True)
class View:
    """One view, as a person or an agent is told of it."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)


def _view(name: str, meaning: str, text: str) -> View:
    """A view from lines of `name KIND meaning`."""
    lines = (line.split(None, 2) for line in text.strip().splitlines())
    return View(name, meaning, tuple(Column(each[0], each[1], each[2]) for each in lines))


RUNS = _view("runs", "one row a run; removed runs never show", """
    run_id VARCHAR its id, which sorts by time
    name VARCHAR dataset-model-size, with -kd where a teacher took part
    dataset VARCHAR the dataset's name
    provenance VARCHAR real, simulated or imported; never compare across
    model VARCHAR kind of the model
    size VARCHAR large (teacher), medium or small (student)
    stage VARCHAR classifier, evaluation, ...
    stage_version INTEGER version of the stage's code
    distilled BOOLEAN whether a teacher took part
    state VARCHAR planned, running, completed, failed, cancelled, timeout, preempted, lost ...
    seed BIGINT its random seed
    digest VARCHAR identity of its resolved config
    dataset_hash VARCHAR identity of the data
    graphs VARCHAR names the graphs it was trained on
    teacher VARCHAR run id of its teacher
    subject VARCHAR run id of the model that an evaluation judged
    created_at TIMESTAMP when it was planned (UTC)
    started_at TIMESTAMP when it first began to work (UTC)
    ended_at TIMESTAMP when it ended (UTC)
    duration_s DOUBLE seconds from its first start to its end
    host VARCHAR where it ran last
    attempts INTEGER how often it was started
    reason VARCHAR why it did not complete
    git_commit VARCHAR commit of the code
    git_dirty BOOLEAN whether files differed from the commit
    torch VARCHAR version of PyTorch
    archived BOOLEAN put aside; leaderboards leave it out
    folder VARCHAR its folder, relative to the home folder
""")  # fmt: skip
PARAMS = _view("params", "one row for each value of a run's resolved config", """
    run_id VARCHAR the run
    name VARCHAR dotted name such as model.hidden
    value VARCHAR the value as text (a list as JSON)
    number DOUBLE the value when it is a number
""")  # fmt: skip
METRICS = _view("metrics", "final figures of training runs and evaluations, headlines alone", """
    run_id VARCHAR the run that holds the figure
    subject VARCHAR for an evaluation, the run it judged
    dataset VARCHAR the dataset's name
    provenance VARCHAR real, simulated or imported; never compare across
    scenario VARCHAR test scenario; NULL for figures of the whole run
    attack_type VARCHAR 'all' or one type; NULL for figures of the whole run
    protocol VARCHAR zero_shot or adapted; never compare across
    name VARCHAR such as f1, auroc, parameters, latency_ms
    value DOUBLE the figure
""")  # fmt: skip
VARIANTS = _view("variants", "what evaluations tried beside their headline; never in metrics", """
    run_id VARCHAR the evaluation
    subject VARCHAR the run it judged
    dataset VARCHAR the dataset's name
    provenance VARCHAR real, simulated or imported; never compare across
    scenario VARCHAR test scenario
    attack_type VARCHAR 'all' or one type
    protocol VARCHAR adapted, wherever a prefix is what varies; never compare across
    variant VARCHAR such as prefix_5s, prefix_30s, poisoned
    name VARCHAR such as f1, auroc
    value DOUBLE the figure
""")  # fmt: skip
EPOCHS = _view("epochs", "figures of every training epoch", """
    run_id VARCHAR the run
    epoch INTEGER counts from 0
    time TIMESTAMP when the epoch ended (UTC)
    name VARCHAR such as train_loss, val_loss
    value DOUBLE the figure
""")  # fmt: skip
DATASETS = _view("datasets", "one row an ingested dataset", """
    name VARCHAR the dataset's name
    provenance VARCHAR real, simulated or imported
    content_hash VARCHAR identity of the data
    vehicles INTEGER vehicles that file names tell of
    captures INTEGER captures, repeats included
    messages BIGINT CAN messages in captures that repeat no other one
    attack_messages BIGINT those labelled as injected
""")  # fmt: skip
MODELS = _view("models", "one row a registered model version", """
    model VARCHAR dataset-model-size
    version INTEGER counts from 1
    run_id VARCHAR the run that trained it
    aliases VARCHAR comma-separated, such as champion
    registered_at TIMESTAMP when it was registered (UTC)
    checkpoint_sha256 VARCHAR hash of its checkpoint
    tags VARCHAR JSON of its tags
""")  # fmt: skip
QUESTIONS = _view("questions", "one row an open question; files that are wrong are left out", """
    id VARCHAR the number of its file, such as 0003
    title VARCHAR the question
    status VARCHAR open, answered, dropped or historical
    tags VARCHAR comma-separated
    hypothesis VARCHAR what may turn out wrong; NULL where nobody wrote one
    trigger_text VARCHAR what raises it, in words; NULL for no trigger
    opened TIMESTAMP the day it was written down
    closed TIMESTAMP the day it was closed
    runs INTEGER runs linked as evidence
    evidence VARCHAR their ids, comma-separated
    answer VARCHAR what came out
    file VARCHAR its file, relative to the workspace
""")  # fmt: skip
JOBS = _view("jobs", "one row a job and run that were given to a scheduler", """
    job_id VARCHAR the scheduler's id: 123, or 123_4 in an array
    run_id VARCHAR the run it works on
    state VARCHAR the scheduler's word when it was last asked, such as RUNNING
    partition VARCHAR where it was put
    submitted_at TIMESTAMP when it was given (UTC)
    started_at TIMESTAMP when it began (UTC)
    ended_at TIMESTAMP when it ended (UTC)
""")  # fmt: skip
AGENT_CALLS = _view("agent_calls", "one row a call of a tool by an agent", """
    tool VARCHAR the tool's name
    action VARCHAR what it was asked to do, where it can do several things
    mode VARCHAR the mode it was called in
    client VARCHAR the client's name, as it says itself
    server VARCHAR the server that answered; over stdio one a session
    started_at TIMESTAMP when it was called (UTC)
    duration_s DOUBLE seconds it took
    bytes BIGINT size of the answer
    error VARCHAR what went wrong; NULL where nothing did
""")  # fmt: skip

FROM_FOLDERS = (RUNS, PARAMS, METRICS, EPOCHS, VARIANTS)
"""Views whose rows come from run folders, compacted or fresh."""
VIEWS = {
    view.name: view
    for view in (*FROM_FOLDERS, DATASETS, MODELS, QUESTIONS, JOBS, AGENT_CALLS)
}  # fmt: skip
"""Every view by its name."""
