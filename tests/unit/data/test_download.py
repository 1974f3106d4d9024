"""The official archive, fetched from a host on this machine."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import medmnist
import pytest

from fedforge_runtime.data import download
from fedforge_runtime.data.catalogue import official_archive
from fedforge_runtime.data.download import UnreachableError, official_file, refuse_if_altered
from fedforge_runtime.errors import DataError, StorageError
from fedforge_runtime.home import Home


def fetch(home: Home, notices: list[str] | None = None) -> Path:
    notify = notices.append if notices is not None else lambda sentence: None
    return official_file(official_archive("bloodmnist", 28), home=home, notify=notify)


def files(home: Home) -> set[str]:
    """What lies in the data folder, locks aside."""
    return {path.name for path in home.data.rglob("*") if not path.name.endswith(".lock")}


def test_the_archive_is_downloaded_once(publisher: Any, home: Home) -> None:
    notices: list[str] = []
    path = fetch(home, notices)
    assert path == home.data / "bloodmnist.npz"
    assert path.read_bytes() == publisher.body
    assert files(home) == {"bloodmnist.npz"}
    assert len(notices) == 1
    assert notices[0].startswith("Downloading BloodMNIST (28 px) from 127.0.0.1")

    requests = publisher.requests
    assert fetch(home, notices) == path
    assert publisher.requests == requests
    assert len(notices) == 1


def test_two_at_once_download_once(publisher: Any, home: Home) -> None:
    transfers: list[None] = []
    publisher.on_transfer = lambda: transfers.append(None)
    threads = [threading.Thread(target=fetch, args=(home,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(transfers) == 1
    assert files(home) == {"bloodmnist.npz"}


def test_other_bytes_than_the_published_ones_are_not_kept(publisher: Any, home: Home) -> None:
    publisher.body = publisher.body[:-1] + b"!"
    with pytest.raises(DataError, match="altered") as caught:
        fetch(home)
    assert not isinstance(caught.value, UnreachableError)
    assert hashlib.md5(publisher.body).hexdigest() in caught.value.message
    assert medmnist.INFO["bloodmnist"]["MD5"] in caught.value.message
    assert files(home) == set()


def test_a_transfer_cut_short_leaves_nothing(publisher: Any, home: Home) -> None:
    publisher.bytes_sent = len(publisher.body) // 2
    with pytest.raises(DataError, match=f"{len(publisher.body) // 2:,} bytes") as caught:
        fetch(home)
    assert not isinstance(caught.value, UnreachableError)
    assert files(home) == set()


def test_a_transfer_that_stands_still_is_given_up(publisher: Any, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    publisher.on_transfer = lambda: released.wait(30)
    monkeypatch.setattr(download, "SILENCE_SECONDS", 0.2)
    with pytest.raises(UnreachableError, match="timed out"):
        fetch(home)
    released.set()
    assert files(home) == set()
    assert socket.getdefaulttimeout() is None


def test_a_closed_port_is_reported_at_once_and_touches_nothing(publisher: Any, home: Home) -> None:
    publisher.close()
    with pytest.raises(UnreachableError, match=r"BloodMNIST.*127\.0\.0\.1: Connection refused") as caught:
        fetch(home)
    assert "--data DIR with bloodmnist.npz" in caught.value.remedy
    assert "--data phantom" in caught.value.remedy
    assert not home.root.exists()


def test_a_host_that_never_answers_is_given_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/bloodmnist.npz"
        monkeypatch.setitem(medmnist.INFO["bloodmnist"], "url", url)
        with pytest.raises(UnreachableError, match=r"no answer within 0\.2 seconds|timed out"):
            fetch(home)
    assert not home.root.exists()


def test_a_refusal_of_the_host_is_told(publisher: Any, home: Home) -> None:
    publisher.status = 503
    with pytest.raises(UnreachableError, match="it answered HTTP 503"):
        fetch(home)
    assert files(home) == set()


def test_an_interrupt_stays_an_interrupt(publisher: Any, home: Home) -> None:
    released = threading.Event()

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        released.wait(30)  # so that it comes in the middle of the transfer

    publisher.on_transfer = interrupt
    with pytest.raises(KeyboardInterrupt):
        fetch(home)
    released.set()
    assert files(home) == set()


def test_a_home_that_is_no_folder_is_a_storage_error(publisher: Any, home: Home) -> None:
    home.root.write_text("in the way")
    with pytest.raises(StorageError, match=str(home.data)):
        fetch(home)


def test_a_full_disk_is_a_storage_error(publisher: Any, home: Home) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(publisher.body) // 2, before[1]))
    try:
        with pytest.raises(StorageError, match="cannot write below"):
            fetch(home)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(home) == set()


def test_what_a_killed_download_left_is_cleared(publisher: Any, home: Home) -> None:
    left = home.data / ".bloodmnist.npz.download" / "bloodmnist.npz"
    left.parent.mkdir(parents=True)
    left.write_bytes(publisher.body[:100])
    assert fetch(home).read_bytes() == publisher.body
    assert files(home) == {"bloodmnist.npz"}


def test_an_altered_file_is_moved_aside(publisher: Any, home: Home) -> None:
    path = fetch(home)
    official = official_archive("bloodmnist", 28)
    refuse_if_altered(path, official.md5, official)
    assert path.is_file()
    with pytest.raises(DataError, match="is not the published BloodMNIST") as caught:
        refuse_if_altered(path, "0" * 32, official)
    assert "Run the command again" in caught.value.remedy
    assert files(home) == {"bloodmnist.npz.broken"}
