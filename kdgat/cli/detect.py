"""`kdgat detect`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, cast

import typer

from kdgat.cli.options import complete_run
from kdgat.cli.output import counted, err, print_json_line, say, warn
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.data.log_stream import Source
    from kdgat.ops.detect import DetectionStart, DetectionSummary
    from kdgat.stages.detect import Verdict


def detect(
    capture: Annotated[
        str, typer.Argument(help="A log, packed with gzip or not, or - for standard input.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="A trained run: its id, the beginning of it, 'latest', or a registered model.",
            autocompletion=complete_run,
        ),
    ] = "latest",
    format: Annotated[
        str | None,
        typer.Option("--format", help="The log's format; told by its content if not given."),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            help="adapted: the first seconds are taken for the vehicle's profile; zero_shot: "
            "measured against the training vehicles.",
        ),
    ] = "adapted",
    threshold: Annotated[
        str | None,
        typer.Option("--threshold", help="As evaluation.threshold; the run's own if not given."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", help="As evaluation.alpha, the false-alarm rate to aim at."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print quiet windows, too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines: a window each, then the summary.")
    ] = False,
) -> None:
    """Watch a log or a live bus with a trained run, and print alarms as windows complete.

    Ends with a summary, on Ctrl-C too. The exit code is 0 with or without alarms.

    Examples:
        kdgat detect drive.log --model latest
        candump -L can0 | kdgat detect - --model hcrl_sa-gat-small@champion --json
    """
    from kdgat.ops.detect import detect as watch

    def told(verdict: Verdict) -> None:
        if verdict.alarm or everything:
            if as_json:
                event = "alarm" if verdict.alarm else "quiet"
                print_json_line({"event": event, **asdict(verdict)})
            else:
                # Not by rich: a second of a flooded bus has many lines.
                typer.echo(_line(verdict))

    summary = watch(
        Workspace.find(),
        capture,
        model=model,
        protocol=protocol,
        format=format,
        threshold=threshold,
        alpha=alpha,
        stdin=cast("Source", sys.stdin.buffer) if capture == "-" else None,
        on_start=_announce,
        on_window=told,
    )
    if as_json:
        return print_json_line({"event": "summary", **asdict(summary)})
    return _print_summary(summary)


def _announce(start: DetectionStart) -> None:
    """On standard error, so that the output is alarms alone."""
    line = f"{start.capture}: {start.format}, {start.name} ({start.run_id}), {start.protocol}"
    if start.prefix_s is not None:
        line += (
            f"; the first {start.prefix_s:g} s are taken for the vehicle's profile and not scored"
        )
    err.print(line, markup=False, soft_wrap=True)


def _line(verdict: Verdict) -> str:
    relation = ">=" if verdict.alarm else "<"
    words = "; ".join(
        f"{each.id} {each.feature} {each.distance:+.1f} sd" for each in verdict.suspects
    )
    return (
        f"{'ALARM' if verdict.alarm else 'quiet'}  {verdict.end_s:.6f} s  window {verdict.window}  "
        f"score {verdict.score:.4f} {relation} {verdict.threshold:.4f}" + (words and f"  {words}")
    )


def _print_summary(summary: DetectionSummary) -> None:
    say(
        f"{counted(summary.alarms, 'alarm')} in {counted(summary.windows, 'window')}; "
        f"{counted(summary.messages, 'message')} in {summary.capture_s:.1f} s"
        + (", interrupted" if summary.interrupted else "")
    )
    if summary.messages_per_s is not None and summary.times_real_time is not None:
        say(
            f"{summary.messages_per_s:,.0f} messages/s, {summary.times_real_time:.1f} times real "
            "time"
        )
    if summary.delay_mean_s is not None:
        say(
            f"from a window's first message to its decision: mean {summary.delay_mean_s:.3f} s, "
            f"worst {summary.delay_worst_s:.3f} s; of it computing: mean "
            f"{summary.computed_mean_s:.3f} s, worst {summary.computed_worst_s:.3f} s"
        )
    _warn_of_lines(summary)


def _warn_of_lines(summary: DetectionSummary) -> None:
    if summary.malformed_lines:
        warn(
            f"left out as malformed: {counted(summary.malformed_lines, 'line')}, first "
            f"{summary.first_malformed}"
        )
    for oddity in summary.oddities:
        warn(f"{oddity.count:,} x {oddity.kind}, first: {oddity.example}")
    if summary.cut_short:
        warn(f"the log ended early: {summary.cut_short}")
