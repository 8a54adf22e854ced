"""Python, uv and conda: does the code of this checkout run, in the environment of this checkout?"""

from __future__ import annotations

import platform
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdgat.ops.checkup.finding import Found, Surroundings, problem

_UV = "curl -LsSf https://astral.sh/uv/install.sh | sh"


def look_at_python(here: Surroundings) -> Iterator[Found]:
    """The interpreter, its environment, and whose code runs in it."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    root = here.ws.root
    wanted = pyproject(root).get("project", {}).get("requires-python", "")
    try:
        fits = SpecifierSet(wanted).contains(platform.python_version())
    except InvalidSpecifier:
        what = f"requires-python is {wanted!r}, which is no range of versions"
        yield problem("python", what, 'write requires-python = ">=3.11"', where="pyproject.toml")
        fits = True
    if not fits:
        what = f"this is Python {platform.python_version()}, and pyproject.toml wants {wanted}"
        yield problem("python", what, "uv sync", where=sys.executable)
    own = root / ".venv"
    if (own / "pyvenv.cfg").is_file() and Path(sys.prefix).resolve() != own.resolve():
        what = f"kdgat runs in '{sys.prefix}', and this checkout has an environment in .venv"
        yield problem("python", what, "uv run kdgat doctor", where=str(own))
    code = Path(__file__).parents[3]
    if (root / "kdgat" / "workspace.py").is_file() and code.resolve() != root.resolve():
        what = f"the code that runs is that of '{code}', and not this checkout's"
        yield problem("python", what, "unset PYTHONPATH, then uv sync", where=str(root))


def look_at_uv(here: Surroundings) -> Iterator[Found]:
    """Whether uv is there for a checkout that has its lock."""
    lock = here.ws.root / "uv.lock"
    if lock.is_file() and shutil.which("uv", path=here.environ.get("PATH", "")) is None:
        yield problem("uv", "uv, which makes the environment, is not on PATH", _UV)


def look_at_conda(here: Surroundings) -> Iterator[Found]:
    """An environment of conda's beside or below this one."""
    prefix = here.environ.get("CONDA_PREFIX", "")
    if prefix and (not Path(sys.prefix).is_relative_to(prefix) or sys.prefix != sys.base_prefix):
        name = here.environ.get("CONDA_DEFAULT_ENV") or prefix
        what = f"the conda environment '{name}' is active: its programs and libraries come first"
        fix = "conda deactivate (for good: conda config --set auto_activate_base false)"
        yield problem("conda", what, fix, where=prefix)
    elif (Path(sys.prefix) / "conda-meta").is_dir() and (here.ws.root / "uv.lock").is_file():
        what = f"kdgat runs in the conda environment '{sys.prefix}', which uv.lock knows nothing of"
        yield problem("conda", what, "conda deactivate, then uv sync", where=sys.prefix)


def pyproject(root: Path) -> dict[str, Any]:
    """The checkout's pyproject.toml; empty where it is no TOML, which another check tells."""
    try:
        return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
