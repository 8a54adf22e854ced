"""Frozen code: what git tracks, with the changes that are not committed, in a folder of its own.

    <home>/snapshots/<tree id>/code/           what a job runs
                               snapshot.json   the commit, the branch, and when it was made

A job may wait for days, and must run the code that it was submitted with. The folder is named by
git's hash of its content, so the same code is kept once. Git works on an index and objects of its
own in a temporary folder: the user's repository is read, and nothing in it changes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from kdgat.errors import SlurmError
from kdgat.ledger.files import storage_error, write_json
from kdgat.ledger.record import utc_now

CODE = "code"
"""Folder of the code in a snapshot's."""
RECORD = "snapshot.json"
"""File beside it that says what it is."""
_LIMIT_S = 300
# What a hook or an outer git may have set would lead ours to another repository.
_REDIRECTS = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)  # fmt: skip
_QUIET = ("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "advice.all=false")
_GITLINK, _SYMLINK = "160000", "120000"


@dataclass(frozen=True)
class Snapshot:
    """One state of the code."""

    name: str
    """Git's id of the tree, with the uncommitted changes."""
    path: Path
    """The frozen checkout, whether or not it is written yet."""
    commit: str | None
    """None in a repository without a commit."""
    branch: str | None
    """None when detached."""
    dirty: bool
    """Whether tracked files differ from the commit."""
    untracked: tuple[str, ...]
    """Python files that git does not track: they are not in the snapshot."""
    left_out: tuple[str, ...]
    """Submodules, and links that lead out of the repository: they are not frozen either."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before a job runs this code, one sentence each."""
        told = []
        if self.untracked:
            told.append(f"not tracked by git, so not in the job's code: {_listed(self.untracked)}")
        if self.left_out:
            told.append(f"not frozen with the job's code: {_listed(self.left_out)}")
        return tuple(told)


def look(root: Path, snapshots: Path) -> Snapshot:
    """What `freeze` would make, without making it.

    Raises:
        SlurmError: as `freeze`.
    """
    with _index(root) as git:
        return _snapshot(git, snapshots)


def freeze(root: Path, snapshots: Path) -> Snapshot:
    """Freeze a checkout; the same content is frozen once.

    Args:
        root: the top of a git repository; untracked files are left out.
        snapshots: folder of all snapshots.

    Raises:
        SlurmError: there is no git, `root` is no repository's top, or nothing is tracked.
        StorageError: the file system refused.
    """
    with _index(root) as git:
        snapshot = _snapshot(git, snapshots)
        folder = snapshots / snapshot.name
        if not _whole(git, folder):
            _write(git, snapshot, folder)
    return snapshot


@dataclass(frozen=True)
class _Git:
    """Git with an index and objects of its own, at the top of one repository."""

    top: Path
    environ: dict[str, str]

    def answer(self, *arguments: str) -> str:
        return _git(self.top, *arguments, environ=self.environ)

    def names(self, *arguments: str) -> tuple[str, ...]:
        """A list that git prints with a NUL after each item."""
        return tuple(filter(None, self.answer(*arguments).split("\0")))


@contextmanager
def _index(root: Path) -> Iterator[_Git]:
    """Git with a copy of the index that has every change of a tracked file."""
    plain = {name: value for name, value in os.environ.items() if name not in _REDIRECTS}
    plain = {**plain, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    top = Path(_git(root, "rev-parse", "--show-toplevel", environ=plain).rstrip("\n"))
    if top.resolve() != root.resolve():
        raise SlurmError(
            f"'{root}' is a folder in the git repository '{top}', not a repository of its own",
            hint="clone kdgat with git, outside of other repositories, and submit from there",
        )
    index, objects = (
        top / _git(top, "rev-parse", "--git-path", name, environ=plain).rstrip("\n")
        for name in ("index", "objects")
    )
    if not index.is_file():
        raise SlurmError(
            f"git tracks no file in '{top}', so there is no code to freeze for a job",
            hint="`git add` the code; a commit is not needed",
        )
    with tempfile.TemporaryDirectory(prefix="kdgat-") as own:
        environ = {
            **plain,
            "GIT_INDEX_FILE": f"{own}/index",
            "GIT_OBJECT_DIRECTORY": f"{own}/objects",
            # Quoted as git reads it: a path may hold a colon.
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": json.dumps(str(objects), ensure_ascii=False),
        }
        Path(own, "objects").mkdir()
        shutil.copy(index, environ["GIT_INDEX_FILE"])
        git = _Git(top, environ)
        git.answer("add", "--update", "--", ":/")
        yield git


def _snapshot(git: _Git, snapshots: Path) -> Snapshot:
    name = git.answer("write-tree").strip()
    commit = _maybe(git, "rev-parse", "--verify", "--quiet", "HEAD")
    committed = _maybe(git, "rev-parse", "--verify", "--quiet", "HEAD^{tree}")
    return Snapshot(
        name=name,
        path=snapshots / name / CODE,
        commit=commit,
        branch=_maybe(git, "symbolic-ref", "--quiet", "--short", "HEAD"),
        dirty=committed != name,
        untracked=git.names("ls-files", "-z", "--others", "--exclude-standard", "--", "*.py"),
        left_out=tuple(_left_out(git)),
    )


def _write(git: _Git, snapshot: Snapshot, folder: Path) -> None:
    """Write a snapshot aside and rename it; not fsynced, because each submission looks at it."""
    aside = folder.with_name(f".partial-{uuid.uuid4().hex[:8]}-{folder.name}")
    about = {name: value for name, value in asdict(snapshot).items() if name != "path"}
    try:
        (aside / CODE).mkdir(parents=True)
        # With the repository's own filters and line ends, as in the user's checkout.
        git.answer("checkout-index", "--all", f"--prefix={aside / CODE}/")
        write_json(aside / RECORD, {**about, "created_at": utc_now()})
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _left_out(git: _Git) -> Iterator[str]:
    """Submodules, and links that lead out of the repository."""
    for entry in git.names("ls-files", "-z", "--stage"):
        about, _, path = entry.partition("\t")
        mode = about.partition(" ")[0]
        if mode == _GITLINK:
            yield path
        elif mode == _SYMLINK and (git.top / path).is_symlink():
            target = os.path.normpath(Path(path).parent / (git.top / path).readlink())
            if Path(target).is_absolute() or target.startswith(".."):
                yield path


def _whole(git: _Git, folder: Path) -> bool:
    """Whether a snapshot that was made before still is what it was: scratch disks get purged."""
    if not (folder / RECORD).is_file():
        return False
    # Git compares the folder with the index, file by file, as if it were the work tree.
    environ = {
        **git.environ,
        "GIT_DIR": git.answer("rev-parse", "--absolute-git-dir").rstrip("\n"),
        "GIT_WORK_TREE": str(folder / CODE),
    }
    return _run(folder, "update-index", "--refresh", environ=environ).returncode == 0


def _maybe(git: _Git, *arguments: str) -> str | None:
    """Git's answer, or None where it has none."""
    done = _run(git.top, *arguments, environ=git.environ)
    return done.stdout.strip() if done.returncode == 0 else None


def _git(folder: Path, *arguments: str, environ: dict[str, str]) -> str:
    done = _run(folder, *arguments, environ=environ)
    if done.returncode == 0:
        return done.stdout
    said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
    raise SlurmError(
        f"the code in '{folder}' can't be frozen for a job: git {arguments[0]} says '{said}'",
        hint="a job runs a copy of a git checkout: clone kdgat with git and submit from there",
    )


def _run(
    folder: Path, *arguments: str, environ: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *_QUIET, *arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            timeout=_LIMIT_S,
        )
    except FileNotFoundError as error:
        raise SlurmError(
            "'git' is not on PATH here, and a job runs a copy of a git checkout",
            hint="load or install git",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SlurmError(
            f"git {arguments[0]} took more than {_LIMIT_S} s in '{folder}'",
            hint="look whether that disk answers, and try again",
        ) from error


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
