"""Datasets and models of the Hugging Face Hub, file by file into the store.

The listing comes from `HfApi`, the bytes from the library's own `http_get`, which resumes. What
`hf_hub_download` does on top is a cache of its own, and since version 1 it begins a broken download
anew in the next process; here the file that was broken off stays, under the name of its content.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdgat.assets.adding import commit_brought
from kdgat.assets.blobs import remove_tree
from kdgat.assets.record import File, check_path, is_sha256
from kdgat.assets.store import AssetStore
from kdgat.errors import AssetError, KdgatError, StorageError
from kdgat.ledger.files import content_hash
from kdgat.progress import Progress, quiet

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

_REFERENCE = re.compile(r"hf:(dataset|model)/([^/@\s]+(?:/[^/@\s]+)?)(?:@(\S+))?")
_AGAIN = "the same command goes on where this one stopped"


@dataclass(frozen=True)
class HubReference:
    """A repository of the Hub."""

    kind: str
    repo: str
    revision: str | None

    def __str__(self) -> str:
        return f"hf:{self.kind}/{self.repo}{f'@{self.revision}' if self.revision else ''}"


@dataclass(frozen=True)
class Listed:
    """One file of a repository, as the Hub lists it."""

    path: str
    size: int | None
    sha256: str | None
    """Of files in large storage."""
    git_sha1: str | None
    """Of the others."""

    @property
    def key(self) -> str:
        """Names its content."""
        return self.sha256 or self.git_sha1 or hashlib.sha256(self.path.encode()).hexdigest()


def parse_reference(text: str) -> HubReference:
    """The repository that a text such as `hf:dataset/lab/can@v1` means.

    Raises:
        AssetError: it means none.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise AssetError(
            f"'{text}' means no repository of the Hub",
            hint="write hf:dataset/NAME or hf:model/NAME, and @REVISION where it matters",
        )
    return HubReference(match[1], match[2], match[3])


def pull_repository(
    store: AssetStore,
    reference: HubReference,
    name: str,
    *,
    replace: bool = False,
    progress: Progress = quiet,
) -> tuple[str, str]:
    """Bring a repository into the store: what `AssetStore.commit` did, and the exact origin.

    Contents that are there are not downloaded; the others are checked against the Hub's hashes.

    Raises:
        AssetError: the Hub refuses or does not answer, or sends something else than it listed.
        StorageError: another process downloads the same, or the file system refused.
    """
    commit, files = _listing(reference)
    origin = f"hf:{reference.kind}/{reference.repo}@{commit}"
    with store.pulling(origin) as folder:

        def bring() -> dict[str, File]:
            brought = {}
            for number, each in enumerate(files):
                progress(f"pulling {each.path}", number, len(files))
                brought[each.path] = _bring(store, reference, commit, each, folder)
            progress(f"pulled {name}", len(files), len(files))
            return brought

        outcome = commit_brought(store, name, reference.kind, origin, bring, replace=replace)
        remove_tree(folder)
    return outcome, origin


def _listing(reference: HubReference) -> tuple[str, list[Listed]]:
    """The commit that a revision means, and its files."""
    with _told(str(reference)):
        from huggingface_hub import HfApi

        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
        look = api.dataset_info if reference.kind == "dataset" else api.model_info
        info = look(reference.repo, revision=reference.revision, files_metadata=True)
    if not info.sha or not info.siblings:
        raise AssetError(f"'{reference}' has no file", hint="look at it on the Hub")
    return info.sha, [_listed(each) for each in info.siblings]


def _listed(each: RepoSibling) -> Listed:
    """A file of the listing, whose path and hash are sound."""
    sha256 = each.lfs.sha256 if each.lfs else None
    if sha256 is not None and not is_sha256(sha256):
        raise AssetError(f"the Hub gives {sha256!r} as a hash of '{each.rfilename}'", hint=_AGAIN)
    git = each.blob_id if sha256 is None else None
    sound = git is None or re.fullmatch(r"[0-9a-f]{40}", git)
    return Listed(check_path(each.rfilename), each.size, sha256, git if sound else None)


def _bring(
    store: AssetStore, reference: HubReference, commit: str, each: Listed, folder: Path
) -> File:
    """One file's content, downloaded where the store has not got it."""
    note = folder / f"{each.key}.sha256"
    sha256 = each.sha256 or (note.read_text() if note.is_file() else None)
    if sha256 is not None and is_sha256(sha256):
        path = store.blobs.path(sha256)
        known = File(sha256, each.size if each.size is not None else _size(path))
        if store.blobs.has(known):
            return known
    part = folder / f"{each.key}.part"
    resumed = part.is_file() and part.stat().st_size > 0
    _download(reference, commit, each, part)
    if resumed and not _fits(part, each):
        # What was broken off may have been of something else.
        part.unlink()
        _download(reference, commit, each, part)
    if not _fits(part, each):
        part.unlink()
        raise AssetError(
            f"'{each.path}' of '{reference}' did not come as the Hub lists it", hint="try again"
        )
    file = store.blobs.take(part, File(content_hash(part), part.stat().st_size))
    note.write_text(file.sha256)
    return file


def _download(reference: HubReference, commit: str, each: Listed, part: Path) -> None:
    """Go on with a file where it was broken off."""
    with _told(f"{each.path} of {reference}"):
        from huggingface_hub import hf_hub_url
        from huggingface_hub import logging as hub_logging
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers, disable_progress_bars

        # What goes wrong is told by an exception, and how far it is by `progress`.
        hub_logging.set_verbosity_error()
        disable_progress_bars()
        url = hf_hub_url(
            reference.repo, each.path, repo_type=reference.kind, revision=commit,
            endpoint=os.environ.get("HF_ENDPOINT") or None,
        )  # fmt: skip
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        part.touch()
        with part.open("r+b") as file:
            have = file.seek(0, os.SEEK_END)
            if each.size is not None and have > each.size:
                have = file.seek(0)
                file.truncate()
            http_get(url, file, resume_size=have, headers=headers, expected_size=each.size)


def _fits(part: Path, each: Listed) -> bool:
    """Whether a downloaded file is what the Hub listed."""
    if each.size is not None and part.stat().st_size != each.size:
        return False
    if each.sha256 is not None:
        return content_hash(part) == each.sha256
    return each.git_sha1 is None or _git_sha1(part) == each.git_sha1


def _git_sha1(path: Path) -> str:
    """A file's hash as git has it."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


@contextmanager
def _told(what: str) -> Iterator[None]:
    """What the Hub, or the way to it, refuses, as one sentence."""
    try:
        yield
    except KdgatError:
        raise
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(f"can't keep '{what}': {said}", hint="free some space") from error
        raise AssetError(
            f"'{what}' can't be pulled: {said[:300]}",
            hint=f"check name, access (HF_TOKEN) and network; {_AGAIN}",
        ) from error
