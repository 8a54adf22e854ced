"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


def complete_override(incomplete: str) -> list[str]:
    """Field names and group choices that fit what was typed so far."""
    from kdgat.configs.dataset import DATASETS
    from kdgat.configs.fields import field_docs
    from kdgat.configs.model import KINDS, SIZES

    groups = {"dataset": DATASETS, "model": KINDS, "size": SIZES}
    choices = [f"{group}={choice}" for group, known in groups.items() for choice in known]
    fields = [f"{name}=" for name in field_docs()]
    return [text for text in (*choices, *fields) if text.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Run ids that fit what was typed so far, newest first."""
    from kdgat.errors import WorkspaceError
    from kdgat.ledger.scan import LATEST, run_folders
    from kdgat.workspace import Workspace

    try:
        ids = [folder.path.name for folder in run_folders(Workspace.find().runs)]
    except WorkspaceError:
        # Half a line is typed: an error in the middle of it would help nobody.
        return []
    return [name for name in (LATEST, *ids) if name.startswith(incomplete)]


def complete_dataset(incomplete: str) -> list[str]:
    """Names of known datasets that fit what was typed so far."""
    from kdgat.configs.dataset import DATASETS

    return [name for name in DATASETS if name.startswith(incomplete)]


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Config overrides, such as dataset=hcrl_sa model=gat training.max_epochs=5.",
        autocompletion=complete_override,
        show_default=False,
    ),
]
Judging = Annotated[
    list[str] | None,
    typer.Argument(
        help="How to judge, such as evaluation.threshold=conformal evaluation.alpha=0.01.",
        show_default=False,
    ),
]
RunReference = Annotated[
    str,
    typer.Argument(
        help="A run id, the beginning of one, 'latest', or a model such as "
        "simulated-gat-large@champion.",
        autocompletion=complete_run,
    ),
]
DatasetName = Annotated[
    str, typer.Argument(help="Name of the dataset.", autocompletion=complete_dataset)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Multirun = Annotated[
    bool, typer.Option("--multirun", "-m", help="Run every combination of comma-separated values.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Train anew even if this experiment is done or broken off.")
]
