"""`kdgat backup` and `kdgat restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, print_json, print_table, progress_bar, say, warn
from kdgat.workspace import Workspace

_KEEP = 7
_MOST_SHOWN = 8
"""Lines of one kind that are printed; --json has all."""


def backup(
    dest: Annotated[
        Path | None,
        typer.Argument(
            help="A folder elsewhere; without, the one that is set.", show_default=False
        ),
    ] = None,
    keep: Annotated[int, typer.Option(help="How many backups to keep there.")] = _KEEP,
    list_: Annotated[
        bool, typer.Option("--list", help="Only list the backups that are there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy runs, journal, history and the MLflow store to a second place, and check the copy.

    Examples:
        kdgat backup /fs/ess/PAS1266/kdgat-backups --keep 7
        kdgat backup --list
    """
    from kdgat.ops.backup import backup as take

    if list_:
        return _list(dest, as_json)
    with progress_bar() as listen:
        done = take(Workspace.find(), place=dest, keep=keep, progress=listen)
    if as_json:
        return print_json(done)
    taken = done.backup
    say(
        f"{taken.path}: {counted(taken.runs, 'run')}, {counted(taken.files, 'file')}, "
        f"{taken.bytes:,} bytes, each read again",
        f"new contents: {counted(done.copied, 'file')}, {done.copied_bytes:,} bytes",
    )
    say(*(f"removed: {name}" for name in done.removed))
    return warn(*done.warnings)


def restore(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[BACKUP]",
            help="A backup's id or folder, or a folder of backups; without, the newest.",
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="The home folder to write to.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the backup, and only tell.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a backup and bring back what is lacking; what is newer here is never overwritten.

    Examples:
        kdgat restore --dry-run
        kdgat restore /fs/ess/PAS1266/kdgat-backups --into recovered
    """
    from kdgat.ops.backup import restore as bring_back

    with progress_bar() as listen:
        done = bring_back(Workspace.find(), name, into=into, dry_run=dry_run, progress=listen)
    if as_json:
        return print_json(done)
    verb = "would write" if dry_run else "wrote"
    say(
        f"{done.backup.path}: {counted(done.verified, 'file')} whole",
        f"{verb} {counted(done.files, 'file')} into {done.home}",
    )
    say(*(f"{counted(number, 'run')} {action}" for action, number in done.counts.items()))
    newer = [run.path for run in done.runs if run.action == "kept"]
    say(*(f"newer here, kept: {path}" for path in (*newer, *done.kept)[:_MOST_SHOWN]))
    if (more := len(newer) + len(done.kept) - _MOST_SHOWN) > 0:
        say(f"and {more} more (--json has them all)")
    return None


def _list(dest: Path | None, as_json: bool) -> None:
    from kdgat.ops.backup import list_backups

    found = list_backups(Workspace.find(), place=dest)
    if as_json:
        return print_json(found)
    columns = ("backup", "taken", "runs", "files", "bytes", "home")
    rows = ((r.id, r.taken_at[:16], r.runs, r.files, r.bytes, r.home) for r in found.items)
    print_table(f"{counted(len(found.items), 'backup')} in {found.place}", columns, rows)
    return warn(*found.broken)
