"""A small Hugging Face hub on loopback: listings, files with ranges, and breaks in mid-file."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """Repositories by kind and name, each with its files by commit, and what was asked."""

    url: str = ""
    repos: dict[tuple[str, str], dict[str, dict[str, bytes]]] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    """Paths in large storage, which the hub lists with their SHA-256."""
    cut: dict[str, int] = field(default_factory=dict)
    """Bytes after which a file's download is broken off, and refused from then on."""
    sent: list[tuple[str, int]] = field(default_factory=list)
    """Path and first byte of every file that was asked for."""
    other: dict[str, bytes] = field(default_factory=dict)
    """What is sent in place of a file's own bytes."""

    def commit(self, kind: str, repo: str, revision: str, files: dict[str, bytes]) -> str:
        """A commit that a revision, and `main`, mean from now on."""
        sha = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        commits = self.repos.setdefault((kind, repo), {})
        commits[sha] = commits[revision] = commits["main"] = files
        return sha

    def listing(self, kind: str, repo: str, revision: str) -> dict[str, Any] | None:
        commits = self.repos.get((kind, repo), {})
        if revision not in commits:
            return None
        files = commits[revision]
        sha = next(name for name, each in commits.items() if each is files and len(name) == 40)
        return {"id": repo, "sha": sha, "siblings": [self._file(*each) for each in files.items()]}

    def _file(self, path: str, content: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        listed: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git}
        if path in self.large:
            sha256 = hashlib.sha256(content).hexdigest()
            listed["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
        return listed


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub while the block lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: ARG002
            return None

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if match := re.fullmatch(r"/api/(dataset|model)s/(.+?)(?:/revision/(.+))?", path):
                kind, repo, revision = match.groups()
                found = hub.listing(kind, repo, revision or "main")
                code = "RevisionNotFound" if (kind, repo) in hub.repos else "RepoNotFound"
                return self._answer(404 if found is None else 200, found or {}, code)
            if match := re.fullmatch(r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)", path):
                kind = "dataset" if match[1] else "model"
                return self._file(match[4], hub.repos[kind, match[2]][match[3]][match[4]])
            return self._answer(404, {}, "EntryNotFound")

        def _answer(self, status: int, value: object, code: str) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            if status != 200:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _file(self, path: str, content: bytes) -> None:
            content = hub.other.get(path, content)
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            first = int(wanted[1]) if wanted else 0
            if hub.cut.get(path) == -1:
                return self._answer(503, {}, "Unavailable")
            hub.sent.append((path, first))
            self.send_response(206 if first else 200)
            if first:
                last = len(content) - 1
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            cut = hub.cut.get(path)
            self.wfile.write(content[first:cut])
            if cut is not None:
                hub.cut[path] = -1
                self.close_connection = True
            return None

    return Handler
