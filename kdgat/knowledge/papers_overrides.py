"""The config that a paper's runs have in common: `overrides.txt` in the paper's folder.

`paper=NAME` among the overrides of a command stands for its lines, which come first, so that what
is written beside it wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kdgat.errors import ConfigError, did_you_mean

PAPERS = Path("knowledge") / "papers"
"""Where papers of the workspace lie, a folder each, beside the notes on what was read."""
OVERRIDES_FILE = "overrides.txt"
_KEY = "paper"


def with_paper(root: Path, overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides with each `paper=NAME` replaced by that paper's own.

    Args:
        root: the folder of the workspace.
        overrides: Hydra overrides.

    Raises:
        ConfigError: there is no such paper, or its overrides can't be read.
    """
    named: list[str] = []
    rest: list[str] = []
    for text in overrides:
        key, _, name = text.partition("=")
        if key == _KEY:
            named += _read(root / PAPERS, name)
        else:
            rest.append(text)
    return (*named, *rest)


def _read(papers: Path, name: str) -> list[str]:
    known = sorted(path.parent.name for path in papers.glob(f"*/{OVERRIDES_FILE}"))
    if name not in known:
        raise ConfigError(
            f"there is no paper '{name}' with an {OVERRIDES_FILE} in '{PAPERS}'",
            hint=did_you_mean(name, known) if known else "`kdgat new paper NAME` makes one",
        )
    path = papers / name / OVERRIDES_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        shown = PAPERS / name / OVERRIDES_FILE
        raise ConfigError(f"'{shown}' can't be read: {error}", hint="mend the file") from error
    stripped = (line.strip() for line in lines)
    return [line for line in stripped if line and not line.startswith("#")]
