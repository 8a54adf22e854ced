"""Operations on the documentation site: build it, show it. mkdocs does both, in this process.

What is made at build time (leaderboard, llms.txt) comes in through the hook that `mkdocs.yml`
names, so a plain `mkdocs build` gives the same site, and no made page lies in the checkout.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdgat.errors import KnowledgeError
from kdgat.ledger.files import storage_error
from kdgat.workspace import Workspace

_MARK = "search/search_index.json"
"""What every built site has: a folder without it was not written by a build."""


@dataclass(frozen=True)
class SiteBuild:
    """A site that was built."""

    folder: str
    pages: int
    size_bytes: int
    warnings: tuple[str, ...]
    seconds: float


def build_site(ws: Workspace, *, out: str | None = None, strict: bool = False) -> SiteBuild:
    """Build the site of `knowledge/`, whole or not at all.

    Args:
        ws: the workspace, whose history the leaderboard shows.
        out: the folder to write; `<home>/site` by default.
        strict: refuse a site with a warning.

    Raises:
        KnowledgeError: mkdocs is not installed, its settings are wrong, the folder holds something
            else, or there was a warning and `strict` is set.
        StorageError: the folder can't be written.
    """
    start = time.monotonic()
    config = _config_file(ws)
    folder = Path(out).expanduser().absolute() if out else ws.home / "site"
    _refuse_foreign(folder)
    aside = folder.with_name(f".partial-{folder.name}-{os.getpid()}")
    try:
        with _warnings() as warnings:
            _build(config, aside)
        if strict and warnings:
            raise KnowledgeError(
                f"the site has {len(warnings)} warnings, the first: {warnings[0]}",
                hint="mend them, or build without --strict",
            )
        pages = sum(1 for _ in aside.rglob("*.html"))
        size = sum(path.stat().st_size for path in aside.rglob("*") if path.is_file())
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return SiteBuild(ws.show(folder), pages, size, tuple(warnings), time.monotonic() - start)


def serve_site(ws: Workspace, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Show the site until it is interrupted, and build it again when a page changes.

    Raises:
        KnowledgeError: mkdocs is not installed, its settings are wrong, or the port is taken.
    """
    config = _config_file(ws)
    from mkdocs.commands.serve import serve
    from mkdocs.exceptions import Abort, MkDocsException

    try:
        serve(config_file=str(config), dev_addr=f"{host}:{port}", livereload=True)
    except (Abort, MkDocsException) as error:
        raise _wrong(config, error) from error
    except OSError as error:
        raise KnowledgeError(
            f"can't listen at {host}:{port}: {error.strerror or error}",
            hint=f"choose another one: kdgat docs serve --port {port + 1}",
        ) from error


def _config_file(ws: Workspace) -> Path:
    """The site's settings, when all that builds it is here."""
    for module, package in (("mkdocs", "mkdocs"), ("material", "mkdocs-material")):
        if find_spec(module) is None:
            raise KnowledgeError(
                f"{package}, which builds the site, is not installed",
                hint="uv sync --group docs",
            )
    path = ws.root / "mkdocs.yml"
    if not path.is_file():
        raise KnowledgeError(
            f"there is no '{path}'", hint="change into a kdgat checkout, which has one"
        )
    # mkdocs-material's notice about its successor is no warning about this site.
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    return path


def _build(config_file: Path, folder: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort, MkDocsException

    config = None
    try:
        config = load_config(str(config_file), site_dir=str(folder))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    except (Abort, MkDocsException) as error:
        raise _wrong(config_file, error) from error
    finally:
        if config is not None:
            config.plugins.on_shutdown()


def _refuse_foreign(folder: Path) -> None:
    """What is not a built site is never replaced by one."""
    if not folder.exists() or (folder.is_dir() and (folder / _MARK).is_file()):
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    raise KnowledgeError(
        f"'{folder}' is there and is no built site", hint="name an empty or a new folder"
    )


def _wrong(config: Path, error: BaseException) -> KnowledgeError:
    told = " ".join(str(error).split()) or type(error).__name__
    return KnowledgeError(f"mkdocs refused '{config}': {told}", hint="mend the file it names")


class _Keeper(logging.Handler):
    """Keeps what mkdocs warns of; said once, however many pages have it."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.found = found

    def emit(self, record: logging.LogRecord) -> None:
        if (text := " ".join(record.getMessage().split())) not in self.found:
            self.found.append(text)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    found: list[str] = []
    logger: Any = logging.getLogger("mkdocs")
    keeper, before = _Keeper(found), logger.propagate
    logger.addHandler(keeper)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(keeper)
        logger.propagate = before
