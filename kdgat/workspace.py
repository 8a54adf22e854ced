"""Where things are: the one object that knows paths, passed to every operation.

The root holds what a researcher edits; `home` holds everything written at run time, so that one
ignored folder (or one folder on scratch) can be deleted or moved as a whole.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kdgat.errors import WorkspaceError


@dataclass(frozen=True)
class Workspace:
    """A checkout (`root`) and the folder of everything written at run time (`home`)."""

    root: Path
    home: Path

    @classmethod
    def find(cls, start: Path | None = None, environ: Mapping[str, str] | None = None) -> Workspace:
        """The workspace of `start` (default: the current folder).

        The root is `KDGAT_ROOT`, or the nearest folder upwards whose `pyproject.toml` has a
        `[tool.kdgat]` table. The home is `KDGAT_HOME`, or `home` of that table, or `.kdgat`.

        Raises:
            WorkspaceError: there is no such folder, its `pyproject.toml` can't be read, or
                `~name` in one of them is nobody's.
        """
        env = os.environ if environ is None else environ
        here = (start or Path.cwd()).resolve()
        if env.get("KDGAT_ROOT"):
            root = _expanded(env["KDGAT_ROOT"]).resolve()
            settings = _settings(root / "pyproject.toml")
            if settings is None:
                raise WorkspaceError(
                    f"KDGAT_ROOT is '{root}', where no pyproject.toml has a [tool.kdgat] table",
                    hint="unset KDGAT_ROOT, or set it to the folder of a kdgat checkout",
                )
        else:
            for root in (here, *here.parents):
                settings = _settings(root / "pyproject.toml")
                if settings is not None:
                    break
            else:
                raise WorkspaceError(
                    f"no pyproject.toml with a [tool.kdgat] table in '{here}' or above",
                    hint="change into a kdgat checkout, or set KDGAT_ROOT to one",
                )
        home = env.get("KDGAT_HOME") or settings.get("home") or ".kdgat"
        return cls(root=root, home=root / _expanded(home))

    @property
    def data(self) -> Path:
        """Ingested captures and graphs, one folder a dataset."""
        return self.home / "data"

    @property
    def runs(self) -> Path:
        """The run ledger: `<dataset>/<size>_<stage>[_kd]/<run_id>/`."""
        return self.home / "runs"

    @property
    def journal(self) -> Path:
        """Events about runs and models, one file each: archived, removed, registered, promoted."""
        return self.home / "journal"

    @property
    def history(self) -> Path:
        """The compacted run history; made again from the ledger when it is deleted."""
        return self.home / "history"

    @property
    def mlflow(self) -> Path:
        """The MLflow store; made again from the ledger when it is deleted."""
        return self.home / "mlflow"

    @property
    def memory(self) -> Path:
        """What memory plans are made from: traced steps, and calibrations of GPUs."""
        return self.home / "memory"

    @property
    def tune(self) -> Path:
        """Searches for better configs, one folder a study."""
        return self.home / "tune"

    @property
    def jobs(self) -> Path:
        """What was given to schedulers, one folder a job."""
        return self.home / "jobs"

    @property
    def snapshots(self) -> Path:
        """Frozen code that jobs run, one folder a state of the code."""
        return self.home / "snapshots"

    @property
    def knowledge(self) -> Path:
        """Indexes of documentation, and clones of sites; made again when they are deleted."""
        return self.home / "knowledge"

    @property
    def agent(self) -> Path:
        """What the agent's server and hooks keep: the mode, plans, calls, their log."""
        return self.home / "agent"

    @property
    def modes(self) -> Path:
        """Modes and open questions that a researcher edits."""
        return self.root / "modes"

    @property
    def clusters(self) -> Path:
        """Descriptions of clusters that a researcher edits."""
        return self.root / "slurm" / "clusters"

    def dataset(self, name: str) -> Path:
        """The folder of one dataset."""
        return self.data / name

    def show(self, path: Path) -> str:
        """`path` as a person reads it: relative to the root when it lies inside."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def _expanded(text: str) -> Path:
    """A folder whose `~` is spelt out."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise WorkspaceError(
            f"'{text}' starts with the home folder of somebody unknown here",
            hint="write the whole path",
        ) from error


def _settings(pyproject: Path) -> dict[str, str] | None:
    """The `[tool.kdgat]` table, or None when the file or the table is missing."""
    try:
        text = pyproject.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"can't read '{pyproject}': {error}", hint="mend the file") from error
    try:
        tool = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise WorkspaceError(
            f"'{pyproject}' is not valid TOML: {error}", hint="mend that line"
        ) from error
    table = tool.get("kdgat") if isinstance(tool, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise WorkspaceError(
            f"'{pyproject}': tool.kdgat is {table!r}, not a table",
            hint="write [tool.kdgat] on a line of its own",
        )
    unknown = sorted(set(table) - {"home"})
    if unknown or not isinstance(table.get("home", ""), str):
        what = f"unknown setting '{unknown[0]}'" if unknown else f"home = {table['home']!r}"
        raise WorkspaceError(
            f"'{pyproject}', [tool.kdgat]: {what}",
            hint='the only setting is home = "a folder"',
        )
    return table
