"""`kdgat serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdgat.cli.options import RunReference
from kdgat.cli.output import print_json
from kdgat.workspace import Workspace

_PORT = 8766


def serve(
    model: RunReference,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = _PORT,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with the token; else KDGAT_SERVE_TOKEN or a new one."),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="adapted: the first seconds of a capture or stream are taken for the vehicle's "
            "profile; zero_shot: measured against the training vehicles."
        ),
    ] = "adapted",
    threshold: Annotated[
        str | None, typer.Option(help="As evaluation.threshold; the run's own if not given.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="As evaluation.alpha, the false-alarm rate to aim at.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print as JSON what would be served; don't serve.")
    ] = False,
) -> None:
    """Score messages or windows that come over HTTP, as `kdgat detect` does, until a signal.

    Examples:
        kdgat serve hcrl_sa-fusion-small@champion --token-file token
        kdgat serve latest --protocol zero_shot --json
    """
    from kdgat.ops.serving import load_scorer

    ws = Workspace.find()
    token = None
    if not as_json:
        from kdgat.serving.server import find_token

        # Before the model is loaded, which takes seconds.
        token = find_token(host, token_file)
    scorer = load_scorer(ws, model, protocol=protocol, threshold=threshold, alpha=alpha)
    if token is None:
        return print_json(scorer.about)
    from kdgat.serving.server import serve as serve_http

    return serve_http(scorer, host, port, token)
