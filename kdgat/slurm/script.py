"""A job's script as text: the one place that writes `#SBATCH` lines.

Pure: it starts nothing and reads nothing. The template (`slurm/job.sh.in`) is the site's; every
value that comes from outside is either a name without special characters or quoted for the shell.
No path stands in an `#SBATCH` line, where nothing can be quoted: sbatch is started in the job's
folder, and the output's name is relative.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote

from kdgat.errors import SlurmError
from kdgat.ledger.jobs import Job
from kdgat.slurm.cluster import Cluster
from kdgat.slurm.spelling import show_time, slurm_name

SAVED = 75
"""Exit status of work that met its time limit, saved, and asks for another turn (EX_TEMPFAIL)."""
_PLACES = ("DIRECTIVES", "PREAMBLE", "SETTINGS", "WORK")
_PLACE = re.compile(r"@([A-Z]+)@")

_MASTER = """\
# Where the tasks meet. The node's address, not its name: names need not resolve between nodes.
if [ -n "${SLURM_JOB_ID:-}" ]; then
    first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
    about=$(scontrol show node -o "$first" || true)
    MASTER_ADDR=$(sed -n 's/.* NodeAddr=\\([^ ]*\\).*/\\1/p' <<<"$about")
    export MASTER_ADDR=${MASTER_ADDR:-$first}
    export MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))
fi"""
_IN_SLURM = """\
step() { # step OPTION... -- ARGUMENT...: kdgat's part on the nodes, where there are nodes
    local options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        # Each task may end by itself: one that is killed could not say that it saved.
        srun --kill-on-bad-exit=0 --cpus-per-task=@CORES@ ${options[@]+"${options[@]}"} \\
            "$python" -m kdgat.cli.main "$@"
    else
        "$python" -m kdgat.cli.main "$@"
    fi
}"""
_HERE = """\
step() { # step OPTION... -- ARGUMENT...: kdgat's part; the options are for a scheduler
    while [ "$1" != -- ]; do shift; done
    shift
    "$python" -m kdgat.cli.main "$@"
}"""
_RUN = """\
run=${runs[$task]}
echo "kdgat: ${works[$task]} $run on $(uname -n), $(date -u +%Y-%m-%dT%H:%M:%SZ)"
status=0
@PREPARE@step --wait=60 -- work "$run" || status=$?"""
_PREPARE = """\
# Once for all tasks: what several processes would otherwise make at the same time.
step --nodes=1 --ntasks=1 -- work "$run" --prepare || status=$?
[ "$status" -ne 0 ] || """
_END = """\
if [ "$status" -eq @SAVED@ ] && [ -n "${SLURM_JOB_ID:-}" ]; then
    # An array's last task shares the array's id, by which all of its tasks would be requeued.
    job=$SLURM_JOB_ID
    if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID; fi
    echo "kdgat: $run is saved and goes on in another turn"
    if scontrol requeue "$job"; then exit 0; fi
    echo "kdgat: job $job can't be requeued; the same kdgat submit goes on with it" >&2
fi
exit "$status\""""


def render(
    job: Job, cluster: Cluster, *, python: str, code: Path, home: Path, template: str
) -> str:
    """The script of a job.

    Args:
        job: the job; the script is the same for every state of it.
        cluster: where it is to run.
        python: the interpreter that has kdgat's dependencies.
        code: the frozen checkout.
        home: the workspace's folder of everything written at run time.
        template: text of `slurm/job.sh.in`.

    Raises:
        ConfigError: a name holds characters that an #SBATCH line can't.
        SlurmError: a path can't stand in a script or in an output's name, or the template lacks a
            place.
    """
    # Slurm takes the folder of a job for part of the pattern of its output's name.
    if cluster.scheduler == "slurm" and any(character in str(home) for character in "%\\"):
        raise SlurmError(
            f"a job's output can't be written below '{home}': Slurm reads % and \\ in its name",
            hint="set KDGAT_HOME to a folder without them in its name",
        )
    parts = {
        "DIRECTIVES": _lines(_directives(job)) if cluster.scheduler == "slurm" else "",
        "SETTINGS": _lines(_settings(job, python, code, home)),
        "PREAMBLE": _lines(_preamble(cluster)),
        "WORK": _work(job, in_slurm=cluster.scheduler == "slurm"),
    }
    _check_template(template)
    # In one pass, so that a value that looks like a place is left as it is.
    return _PLACE.sub(lambda place: parts.get(place[1], place[0]), template)


def dependency_options(
    scheduler_ids: Sequence[str], *, corresponding: bool = False
) -> tuple[str, ...]:
    """What sbatch is told of the jobs that must complete first: known too late for the script.

    Args:
        scheduler_ids: jobs, or tasks of arrays.
        corresponding: of two arrays each task waits for the one of the same number.
    """
    if not scheduler_ids:
        return ()
    kind = "aftercorr" if corresponding else "afterok"
    return (f"--dependency={kind}:{':'.join(scheduler_ids)}", "--kill-on-invalid-dep=yes")


def _directives(job: Job) -> Iterable[str]:
    """Every option of sbatch."""
    request = job.request
    options = [f"job-name={slurm_name('job', job.name)}"]
    if request.account is not None:
        options.append(f"account={slurm_name('account', request.account)}")
    if request.partition is not None:
        options.append(f"partition={slurm_name('partition', request.partition)}")
    options += [
        f"time={show_time(request.time_limit_s)}",
        f"nodes={request.nodes:d}",
        f"ntasks-per-node={request.tasks_per_node:d}",
        f"cpus-per-task={request.cores_per_task:d}",
    ]
    if request.memory_mb is not None:
        options.append(f"mem={request.memory_mb:d}M")
    if request.gpus_per_node:
        kind = "" if request.gres is None else f"{slurm_name('GPU type', request.gres)}:"
        options.append(f"gpus-per-node={kind}{request.gpus_per_node:d}")
    if job.array:
        throttle = "" if request.throttle is None else f"%{request.throttle:d}"
        options.append(f"array=0-{len(job.tasks) - 1}{throttle}")
    options += [
        f"output={'task-%a.out' if job.array else 'job.out'}",
        # A requeued job would otherwise begin its output anew.
        "open-mode=append",
        "requeue",
    ]
    if request.signal_lead_s:
        # Not to the shell (B:): the steps get it, and the work is one.
        options.append(f"signal=USR1@{request.signal_lead_s:d}")
    return (f"#SBATCH --{option}" for option in options)


def _settings(job: Job, python: str, code: Path, home: Path) -> Iterable[str]:
    """What kdgat is told by way of the environment."""
    for path in (python, code, home):
        if not str(path).isprintable():
            raise SlurmError(
                f"the path {str(path)!r} can't stand in a job's script",
                hint="move the checkout or KDGAT_HOME to a folder with a printable name",
            )
    if ":" in str(code):
        raise SlurmError(
            f"the code in '{code}' can't be on PYTHONPATH, which takes a colon for a separator",
            hint="set KDGAT_HOME to a folder without a colon in its name",
        )
    cores = job.request.cores_per_task
    yield f"python={quote(python)}"
    yield f"export KDGAT_ROOT={quote(str(code))}"
    yield f"export KDGAT_HOME={quote(str(home))}"
    yield 'export PYTHONPATH="$KDGAT_ROOT${PYTHONPATH:+:$PYTHONPATH}"'
    yield "export PYTHONUNBUFFERED=1"
    yield f"export KDGAT_JOB={quote(job.job_id)}"
    yield f"export KDGAT_MAX_RESTARTS={job.request.max_restarts:d}"
    yield f"export OMP_NUM_THREADS={cores:d}"


def _preamble(cluster: Cluster) -> Iterable[str]:
    """The cluster's own lines."""
    if cluster.modules:
        yield f"load_modules {' '.join(map(quote, cluster.modules))}"
    if cluster.preamble.strip():
        yield cluster.preamble.strip("\n")


def _work(job: Job, *, in_slurm: bool) -> str:
    """The work itself, and what follows from how it ended."""
    several = job.request.nodes * job.request.tasks_per_node > 1
    task = "${SLURM_ARRAY_TASK_ID:-${KDGAT_TASK:-0}}" if job.array else "0"
    parts = [
        _lines(
            (
                f"runs=({' '.join(quote(task.run_id) for task in job.tasks)})",
                f"works=({' '.join(quote(task.work) for task in job.tasks)})",
                f"task={task}",
            )
        ),
        (_IN_SLURM if in_slurm else _HERE).replace("@CORES@", str(job.request.cores_per_task)),
        _MASTER if several and in_slurm else "",
        _RUN.replace("@PREPARE@", _PREPARE if several else ""),
        _END.replace("@SAVED@", str(SAVED)) if in_slurm else 'exit "$status"',
    ]
    return "\n".join(filter(None, parts))


def _check_template(template: str) -> None:
    found = _PLACE.findall(template)
    for place in _PLACES:
        if found.count(place) != 1:
            raise SlurmError(
                f"slurm/job.sh.in has the line @{place}@ {found.count(place)} times, not once",
                hint="restore it (`git diff slurm/job.sh.in`)",
            )
    if re.search(r"^\s*#SBATCH", template, re.MULTILINE):
        raise SlurmError(
            "slurm/job.sh.in has an #SBATCH line of its own, and kdgat writes those",
            hint="use the options of `kdgat submit`, or slurm/clusters/<name>.toml",
        )


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
