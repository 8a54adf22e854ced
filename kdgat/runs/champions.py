"""Gives a model version an alias: a challenger's freely, a champion's by the promotion rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdgat.configs.dataset import DATASETS
from kdgat.configs.promotion import PromotionConfig
from kdgat.errors import RunError, did_you_mean
from kdgat.ledger.journal import Journal
from kdgat.runs.promotion import Comparison, compare, judgement
from kdgat.runs.registry import ALIASES, ModelVersion, find_version, intact_folder, models
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class Promotion:
    """What the rule said of a version, and whether it has the alias now."""

    version: ModelVersion
    alias: str
    allowed: bool
    """Whether the rule, or force, lets it have the alias."""
    promoted: bool
    """Whether it was given the alias by this call."""
    dry_run: bool
    reason: str
    """Why, in one sentence."""
    replaced: ModelVersion | None
    """The version that has the alias, or had it until now."""
    comparison: Comparison | None
    rule: dict[str, Any]
    """Every field of the promotion rule."""


def promote(
    ws: Workspace,
    reference: str,
    rule: PromotionConfig,
    *,
    alias: str = "champion",
    force: bool = False,
    reason: str = "",
    dry_run: bool = False,
) -> Promotion:
    """Give a version an alias; a champion is replaced only by one that the rule finds better.

    The first champion needs an evaluation and nothing more. Whatever was forced or found is kept
    in the journal.

    Raises:
        RunError: there is no such version or alias, the version was never evaluated, `force` has no
            reason, or a simulated run would be champion of a real dataset (even with `force`).
        CheckpointError: the version's checkpoint is not the registered one any more.
    """
    fields = rule.model_dump(mode="json")
    version = _allowed(ws, reference, alias, force, reason)
    old = next((each for each in models(ws)[version.model].values() if alias in each.aliases), None)
    if old is not None and old.version == version.version:
        why = f"'{version.reference}' is the {alias} already"
        return Promotion(version, alias, True, False, dry_run, why, None, None, fields)
    comparison, better, why = None, True, reason or f"set as {alias}"
    if force:
        why = f"forced: {reason}"
    elif alias == "champion":
        comparison, better, why = _judged(ws, version, old, rule)
    if better and not dry_run:
        _write(ws, version, alias, why, fields if alias == "champion" else None)
        version = find_version(ws, version.reference)
    done = better and not dry_run
    return Promotion(version, alias, better, done, dry_run, why, old, comparison, fields)


def _allowed(ws: Workspace, reference: str, alias: str, force: bool, reason: str) -> ModelVersion:
    """The version, if it may have the alias at all."""
    if alias not in ALIASES:
        raise RunError(f"no alias is called '{alias}'", hint=did_you_mean(alias, ALIASES))
    if force and not reason.strip():
        raise RunError("--force without a reason", hint="say why: --reason '...'; it is kept")
    version = find_version(ws, reference)
    provenance, dataset = version.tags.get("provenance"), str(version.tags.get("dataset"))
    known = DATASETS.get(dataset)
    others = {
        each.tags.get("provenance")
        for each in models(ws)[version.model].values()
        if "champion" in each.aliases
    }
    expected = {known.provenance} if known else others
    if alias == "champion" and expected and provenance not in expected:
        raise RunError(
            f"'{version.reference}' was trained on {provenance} traffic, and '{dataset}' is "
            f"{' and '.join(sorted(map(str, expected)))}: it can't be its champion",
            hint="register a run that was trained on the dataset itself",
        )
    intact_folder(ws, version)
    return version


def _judged(
    ws: Workspace, version: ModelVersion, old: ModelVersion | None, rule: PromotionConfig
) -> tuple[Comparison | None, bool, str]:
    """The comparison, whether the version wins, and why."""
    dataset = str(version.tags.get("dataset"))
    mine = judgement(ws, version.run_id, dataset, rule)
    what = f"{rule.metric} on {rule.scenario} ({rule.attack_type})"
    if old is None:
        if mine.value is None:
            return None, False, f"{what} has no value for it"
        return None, True, f"first champion, {what} is {mine.value:.4f}"
    theirs = judgement(ws, old.run_id, dataset, rule)
    found = compare(ws, theirs, mine, rule)
    better = found.low > rule.margin
    why = (
        f"{what} is {found.challenger:.4f} against {found.champion:.4f} of '{old.reference}': "
        f"{found.difference:+.4f}, {100 * found.confidence:g} % interval {found.low:+.4f} to "
        f"{found.high:+.4f} ({found.method}), {'above' if better else 'not above'} the margin of "
        f"{rule.margin:+.4f}"
    )
    return found, better, why


def _write(
    ws: Workspace, version: ModelVersion, alias: str, reason: str, rule: dict[str, Any] | None
) -> None:
    """The alias first: killed in between, the version is champion and still challenger."""
    journal = Journal(ws.journal)
    details = {} if rule is None else {"rule": rule}
    journal.append(
        "alias_set",
        model=version.model,
        alias=alias,
        version=version.version,
        run_id=version.run_id,
        reason=reason,
        **details,
    )
    if alias == "champion" and "challenger" in version.aliases:
        journal.append("alias_removed", model=version.model, alias="challenger")
