"""`kdgat train`, `evaluate`, `replay` and `quickstart`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdgat.cli.options import AsJson, Fresh, Judging, Multirun, Overrides, RunReference
from kdgat.cli.output import print_json, print_table, progress_bar, say, warn
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.evaluation import EvaluationSummary
    from kdgat.ops.training import TrainingSummary


def train(
    overrides: Overrides = None,
    multirun: Multirun = False,
    fresh: Fresh = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Time the first epoch's steps and trace some.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model; what is done is not done again, what was broken off goes on.

    Examples:
        kdgat train dataset=hcrl_sa model=gat size=large
        kdgat train dataset=hcrl_sa model=gat size=small distillation.teacher=latest
        kdgat train -m dataset=hcrl_sa model.hidden=16,32 'seed=range(3)'
    """
    from kdgat.ops.training import train as run
    from kdgat.ops.training import train_sweep

    ws, given = Workspace.find(), [*(overrides or ()), *["resources.profile=true"] * profile]
    with progress_bar() as listen:
        if multirun:
            done = train_sweep(ws, overrides=given, fresh=fresh, progress=listen)
        else:
            done = (run(ws, overrides=given, fresh=fresh, progress=listen),)
    if as_json:
        return print_json(done if multirun else done[0])
    _print_trained(done)
    if profile:
        _print_profiles(done)
    warn(*(run.not_in_mlflow for run in done))
    return say(f"next: kdgat evaluate {done[-1].run_id}")


def evaluate(
    run: RunReference = "latest",
    overrides: Judging = None,
    again: Annotated[bool, typer.Option("--again", help="Judge anew even if it is done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Judge a trained run on its dataset's official test folders, under both protocols.

    zero_shot takes nothing from a test capture but the window being scored; adapted takes an
    unlabelled prefix of it. Both score the same windows, those after the prefix.

    Examples:
        kdgat evaluate latest --json
        kdgat evaluate latest evaluation.threshold=conformal evaluation.alpha=0.01
    """
    from kdgat.ops.evaluation import evaluate as judge

    with progress_bar() as listen:
        summary = judge(
            Workspace.find(), run, overrides=overrides or (), again=again, progress=listen
        )
    if as_json:
        return print_json(summary)
    _print_evaluation(summary)
    warn(summary.not_in_mlflow)
    return say(f"scores and figures: {summary.folder}/artifacts")


def replay(
    run: RunReference,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="With the code that the run's job was frozen with.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a run again from the config in its own folder, as a new run, and compare.

    Examples:
        kdgat replay latest
        kdgat replay 20261121-074455-123f9a2 --snapshot
    """
    from kdgat.ops.training import replay as again
    from kdgat.ops.training import replay_frozen

    ws = Workspace.find()
    if snapshot:
        result = replay_frozen(ws, run)
    else:
        with progress_bar() as listen:
            result = again(ws, run, progress=listen)
    if as_json:
        return print_json(result)
    names = ("best_epoch", "best_val_task_loss", "epochs", "parameters")
    rows = (
        (name, repr(result.original_metrics.get(name)), repr(result.again.metrics.get(name)))
        for name in names
    )
    print_table("replay", ("figure", result.original, result.again.run_id), rows)
    return say("identical" if result.identical else "not identical")


def quickstart(as_json: AsJson = False) -> None:
    """Do the whole job once on simulated traffic, in a few minutes.

    Simulates captures, ingests and prepares them, trains an autoencoder, a GAT teacher and its
    distilled student, and judges each on the four test scenarios.

    Example: kdgat quickstart
    """
    from kdgat.ops.quickstart import quickstart as run

    with progress_bar() as listen:
        result = run(Workspace.find(), progress=listen)
    if as_json:
        return print_json(result)
    say(
        f"{result.messages:,} simulated messages, {result.train_graphs:,} training graphs, "
        f"{len(result.trained)} models, {result.seconds:.0f} s"
    )
    _print_trained(result.trained)
    for summary in result.evaluated:
        _print_evaluation(summary, types=False)
    return say("next:", *(f"  {step}" for step in result.next_steps))


def _print_profiles(runs: tuple[TrainingSummary, ...]) -> None:
    """Five lines a run, or why there are none."""
    for run in runs:
        if run.profile is None:
            warn(f"{run.run_id} was not timed: no step was taken; --fresh trains anew")
            continue
        say(f"of a step's time ({run.profile['steps']:.0f} steps of {run.run_id}):")
        shares = {name: share for name, share in run.profile.items() if name != "steps"}
        say(*(f"  {name:<10}{share:6.1%}" for name, share in shares.items()))
        say(f"trace: {run.folder}/artifacts/profile")


def _print_trained(runs: tuple[TrainingSummary, ...]) -> None:
    columns = ("run", "name", "outcome", "best epoch", "validation loss", "parameters")
    rows = (
        (run.run_id, run.name, run.outcome, run.metrics.get("best_epoch"),
         run.metrics.get("best_val_task_loss"), run.metrics.get("parameters"))
        for run in runs
    )  # fmt: skip
    print_table("trained", columns, rows)


_NAMES = (
    "windows", "attack_windows", "false_positives", "false_negatives", "f1", "auroc", "delay_s",
)  # fmt: skip
_COLUMNS = ("windows", "attacks", "FP", "FN", "F1", "AUROC", "delay s")


def _print_evaluation(summary: EvaluationSummary, *, types: bool = True) -> None:
    """A table a protocol: a row a scenario and attack type, errors as counts, as few decide."""
    about = (
        f"{summary.name} ({summary.provenance}, {summary.split} windows), "
        f"{summary.parameters:,} parameters, {summary.latency_ms:.2f} ms a window"
    )
    for protocol in dict.fromkeys(result["protocol"] for result in summary.scenarios):
        rows = [
            (_label(result), *_figures(result), _interval(result, "f1"))
            for result in summary.scenarios
            if result["protocol"] == protocol and not result["variant"]
            if types or result["attack_type"] == "all"
        ]
        print_table(f"{protocol}: {about}", ("scenario", *_COLUMNS, "F1 interval"), rows)
    varied = [
        (result["variant"].replace("_", " "), _label(result), *_figures(result))
        for result in sorted(summary.scenarios, key=lambda each: each["variant"])
        if result["variant"] and result["attack_type"] == "all"
    ]
    if varied and types:
        title = "adapted, with other prefixes; poisoned has attack traffic injected into it"
        print_table(title, ("prefix", "scenario", *_COLUMNS), varied)


def _label(result: dict[str, Any]) -> str:
    if result["attack_type"] != "all":
        return f"  {result['attack_type']}"
    return result["scenario"].replace("_", " ").replace("test ", "test_", 1)


def _figures(result: dict[str, Any]) -> tuple[float | int | None, ...]:
    return tuple(result["metrics"][name] for name in _NAMES)


def _interval(result: dict[str, Any], name: str) -> str:
    if name not in result["intervals"]:
        return "-"
    low, high = result["intervals"][name]
    return f"{low:.4f} to {high:.4f}"
