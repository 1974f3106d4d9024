"""Small archives, and a local host that publishes one in the place of the official one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedforge_runtime.data.sources.phantom import generate
from fedforge_runtime.storage.artifacts import ArtifactStore
from fedforge_runtime.storage.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def store(home: Home) -> ArtifactStore:
    return ArtifactStore(home)


@pytest.fixture(scope="session")
def blood_arrays() -> dict[str, np.ndarray]:
    """The six arrays of a small, valid archive of 120 images."""
    return dict(generate("bloodmnist", 28, 120))


@pytest.fixture
def archive_folder(tmp_path: Path, blood_arrays: dict[str, np.ndarray]) -> Callable[..., Path]:
    """Make a folder with `bloodmnist.npz`, some of its arrays replaced, or left out where None is given."""

    def make(name: str = "bloodmnist.npz", **changes: Any) -> Path:
        folder = tmp_path / "archives"
        folder.mkdir(exist_ok=True)
        arrays = {key: array for key, array in {**blood_arrays, **changes}.items() if array is not None}
        np.savez_compressed(folder / name, **arrays)
        return folder

    return make


class Publisher:
    """A host on this machine that publishes one file, well or badly."""

    def __init__(self) -> None:
        self.body = b""
        self.bytes_sent: int | None = None
        self.status = 200
        self.requests = 0
        self.on_transfer: Callable[[], None] = lambda: None
        self.etag = '"first"'
        self.takes_ranges = True
        self.ranges: list[tuple[str | None, str | None]] = []
        """Of each transfer that was asked for, `Range` and `If-Range`."""
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                publisher.requests += 1
                self.send_response(200)
                self.end_headers()

            def do_GET(self) -> None:
                publisher.requests += 1
                wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
                publisher.ranges.append((wanted, condition))
                publisher.on_transfer()
                start, size = 0, len(publisher.body)
                if wanted and publisher.takes_ranges and condition in (None, publisher.etag):
                    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                status = publisher.status if not start else (206 if start < size else 416)
                self.send_response(status)
                if status == 206:
                    self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
                self.send_header("ETag", publisher.etag)
                self.send_header("Content-Length", str(max(0, size - start)))
                self.end_headers()
                try:
                    self.wfile.write(publisher.body[start:][: publisher.bytes_sent])
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/bloodmnist.npz?download=1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def publisher(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blood_arrays: dict[str, np.ndarray]
) -> Iterator[Publisher]:
    """A host with an archive that `medmnist.INFO` gives as BloodMNIST at 28 px."""
    import medmnist

    file = tmp_path / "published.npz"
    np.savez_compressed(file, **blood_arrays)
    host = Publisher()
    host.body = file.read_bytes()
    monkeypatch.setitem(medmnist.INFO["bloodmnist"], "url", host.url)
    monkeypatch.setitem(medmnist.INFO["bloodmnist"], "MD5", hashlib.md5(host.body).hexdigest())
    yield host
    host.close()
