"""`kdgat assets ...`: datasets, models and outputs in one store, linked into workspaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, print_json, print_table, progress_bar, say, warn
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.assets.collecting import Damage
    from kdgat.ops.assets import Brought

_NOT_SOUND = 1

app = typer.Typer(
    help="Keep datasets, models and outputs in one store, and link them here.",
    no_args_is_help=True,
)


def complete_asset(incomplete: str) -> list[str]:
    """Names of assets that fit what was typed so far."""
    from kdgat.assets.store import AssetStore
    from kdgat.errors import KdgatError

    try:
        names = AssetStore(Workspace.find().assets).known()
    except KdgatError:
        # Half a line is typed: an error in the middle of it would help nobody.
        return []
    return [name for name in names if name.startswith(incomplete)]


Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Names of assets; all if none is given.",
        autocompletion=complete_asset,
        show_default=False,
    ),
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Let a name that stands for other files stand for these.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="A file or a folder.")],
    name: Annotated[str | None, typer.Option(help="Its name; by default the path's.")] = None,
    kind: Annotated[str, typer.Option(help="dataset, model or output.")] = "dataset",
    replace: Replace = False,
    hard_link: Annotated[
        bool,
        typer.Option("--hard-link", help="Share the bytes on disk; the files become read-only."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take a file or a folder into the store, under a name.

    Example: kdgat assets add raw/can-2026 --name lab/can-2026 --kind dataset
    """
    from kdgat.ops.assets import add_asset

    with progress_bar() as listen:
        done = add_asset(
            Workspace.find(), path, name=name, kind=kind, replace=replace, hard_link=hard_link,
            progress=listen,
        )  # fmt: skip
    if as_json:
        return print_json(done)
    return _print_brought(done)


@app.command()
def pull(
    source: Annotated[
        str,
        typer.Argument(help="hf:dataset/NAME, hf:model/NAME (@REVISION), or s3://BUCKET/PREFIX."),
    ],
    names: Names = None,
    as_: Annotated[
        str | None, typer.Option("--as", help="What a repository is called here.")
    ] = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Bring assets from the Hugging Face Hub or a bucket; goes on where it was broken off.

    Examples:
        kdgat assets pull hf:dataset/lab/can-captures@v1
        kdgat assets pull s3://bucket/kdgat lab/can-2026
    """
    from kdgat.ops.assets import pull_assets

    with progress_bar() as listen:
        done = pull_assets(
            Workspace.find(), source, names or (), name=as_, replace=replace, progress=listen
        )
    if as_json:
        return print_json(done)
    for each in done.items:
        _print_brought(each)
    return None


@app.command()
def push(
    url: Annotated[str, typer.Argument(help="Such as s3://BUCKET/PREFIX.")],
    names: Names = None,
    replace: Replace = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send assets to a bucket; contents that are there already are not sent.

    Example: kdgat assets push s3://bucket/kdgat lab/can-2026 --dry-run
    """
    from kdgat.ops.assets import push_assets

    with progress_bar() as listen:
        done = push_assets(
            Workspace.find(), url, names or (), replace=replace, dry_run=dry_run, progress=listen
        )
    if as_json:
        return print_json(done)
    verb = "would send" if dry_run else "sent"
    return say(
        *(f"{each.name} ({each.outcome}): {verb} {counted(each.contents, 'content')}, "
          f"{each.bytes:,} bytes" for each in done.items)
    )  # fmt: skip


@app.command()
def link(
    name: Annotated[str, typer.Argument(help="The asset.", autocompletion=complete_asset)],
    place: Annotated[
        Path | None,
        typer.Argument(help="The folder to make; HOME/linked/NAME if not given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a folder of links to an asset; nothing that is there is overwritten.

    Example: kdgat assets link lab/can-2026 raw/can-2026
    """
    from kdgat.ops.assets import link_asset_here

    done = link_asset_here(Workspace.find(), name, place=place)
    if as_json:
        return print_json(done)
    return say(f"{done.place}: {counted(done.files, 'file')} of {done.name} ({done.outcome})")


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List the assets of the store, and where they are linked.

    Example: kdgat assets list
    """
    from kdgat.ops.assets import list_assets

    found = list_assets(Workspace.find())
    if as_json:
        return print_json(found)
    rows = (
        (each.name, each.kind, each.files, each.bytes, each.added_at[:10], each.origin, each.links)
        for each in found.items
    )
    columns = ("asset", "kind", "files", "bytes", "added", "origin", "linked at")
    print_table(f"{counted(len(found.items), 'asset')} in {found.store}", columns, rows)
    say(f"{found.bytes:,} bytes on disk, each content once")
    return warn(*found.broken)


@app.command()
def verify(
    names: Names = None,
    drop: Annotated[
        bool,
        typer.Option("--drop", help="Delete damaged contents, so that they can be brought anew."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every content again and name what is damaged or missing; then exits with 1.

    Example: kdgat assets verify
    """
    from kdgat.ops.assets import verify_assets

    with progress_bar() as listen:
        done = verify_assets(Workspace.find(), names or (), drop=drop, progress=listen)
    if as_json:
        print_json(done)
    else:
        say(*(_damage(each) for each in done.damaged), *(f"broken: {b}" for b in done.broken))
        wrong = len(done.damaged) + len(done.broken)
        say(f"{counted(done.contents, 'content')} read, {wrong} wrong")
        if done.dropped:
            say(f"deleted {counted(done.dropped, 'damaged content')}: add or pull them again")
    if not done.sound:
        raise typer.Exit(_NOT_SOUND)


@app.command()
def rm(
    names: Annotated[
        list[str], typer.Argument(help="Names of assets.", autocompletion=complete_asset)
    ],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Forget names; contents that nothing else uses go with the next `gc`.

    Example: kdgat assets rm lab/can-2025 --dry-run
    """
    from kdgat.ops.assets import remove_assets

    done = remove_assets(Workspace.find(), names, dry_run=dry_run)
    if as_json:
        return print_json(done)
    verb = "would forget" if dry_run else "forgot"
    return say(*(f"{verb} {name}" for name in done.names))


@app.command()
def gc(
    dry_run: DryRun = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Count links of workspaces that are gone as gone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take away contents that neither a name nor a link uses.

    Example: kdgat assets gc --dry-run
    """
    from kdgat.ops.assets import collect_assets

    done = collect_assets(Workspace.find(), forget=forget, dry_run=dry_run)
    if as_json:
        return print_json(done)
    found = done.unused
    verb = "would take away" if dry_run else "took away"
    say(
        f"{verb} {counted(found.contents, 'content')}, {found.bytes:,} bytes, and "
        f"{counted(found.leftovers, 'leftover')}"
    )
    say(*(f"no link any more: {place}" for place in found.users))
    say(*(f"kept for {place}, whose workspace is not there (--forget)"
          for place in found.unreachable))  # fmt: skip
    if found.too_new:
        say(f"kept {counted(found.too_new, 'content')} of the last hour")
    return None


def _print_brought(done: Brought) -> None:
    asset = done.asset
    say(
        f"{asset.name}: {asset.kind} of {counted(asset.files, 'file')}, {asset.bytes:,} bytes "
        f"({done.outcome})",
        f"next: kdgat assets link {asset.name}",
    )


def _damage(each: Damage) -> str:
    users = ", ".join(each.files) or "no asset"
    return f"{each.problem}: {each.sha256} of {users}"
