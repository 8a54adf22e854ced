"""The next version of a manifest: runs added, runs gone, parts merged. Values in, values out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from kdgat.runs.manifest import Kept, Manifest, Part

_LARGEST_MERGE_RUNS = 50_000
"""Parts of more runs than this are not merged again."""

Place = tuple[str, str]
"""A parent folder `<dataset>/<kind>`, and a run id in it."""


def with_runs(manifest: Manifest, part: Part, kept: Mapping[Place, Kept]) -> Manifest:
    """The manifest with one more part; rows of these runs in earlier parts no longer count."""
    added = {run_id for _, run_id in kept}
    before = [(p, r) for p, runs in manifest.folders.items() for r in added & runs.keys()]
    manifest = without_runs(manifest, before)
    folders = {parent: dict(runs) for parent, runs in manifest.folders.items()}
    for (parent, run_id), each in kept.items():
        folders.setdefault(parent, {})[run_id] = each
    return replace(manifest, parts=(*manifest.parts, part), folders=folders)


def without_runs(manifest: Manifest, places: Iterable[Place]) -> Manifest:
    """The manifest without some runs, whose rows no longer count."""
    dead: dict[str, list[str]] = defaultdict(list)
    folders = {parent: dict(runs) for parent, runs in manifest.folders.items()}
    for parent, run_id in places:
        dead[folders[parent].pop(run_id).part].append(run_id)
    parts = tuple(
        replace(part, dead=(*part.dead, *sorted(dead[part.id]))) if part.id in dead else part
        for part in manifest.parts
    )
    return replace(manifest, parts=parts, folders={p: runs for p, runs in folders.items() if runs})


def with_merged(manifest: Manifest, old: tuple[Part, ...], new: Part | None) -> Manifest:
    """The manifest with one part in place of several; none where no run of theirs was alive."""
    ids = {part.id for part in old}
    parts = tuple(part for part in manifest.parts if part.id not in ids)
    if new is None:
        return replace(manifest, parts=parts)
    folders = {
        parent: {
            run_id: kept._replace(part=new.id) if kept.part in ids else kept
            for run_id, kept in runs.items()
        }
        for parent, runs in manifest.folders.items()
    }
    return replace(manifest, parts=(*parts, new), folders=folders)


def worth_merging(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts to merge now: the newest while they are not much smaller than the one before, and
    those that are mostly dead.

    So there are about as many parts as the number of runs has binary digits, and a row is
    written about as many times.
    """
    tail = list(parts[-1:])
    for part in reversed(parts[:-1]):
        newer = sum(map(_alive, tail))
        if _alive(part) > 2 * newer or _alive(part) + newer > _LARGEST_MERGE_RUNS:
            break
        tail.append(part)
    rotten = [part for part in parts if 2 * len(part.dead) > part.runs and part not in tail]
    alone = len(tail) == 1 and 2 * len(tail[0].dead) <= tail[0].runs
    chosen = {part.id for part in (*rotten, *(() if alone else tail))}
    return tuple(part for part in parts if part.id in chosen)


def _alive(part: Part) -> int:
    return part.runs - len(part.dead)
