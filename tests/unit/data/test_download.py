"""The official archive, fetched from a host on this machine."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import medmnist
import pytest

from fedforge_runtime.data.sources import download
from fedforge_runtime.data.sources.catalogue import official_archive
from fedforge_runtime.data.sources.download import official_file, part_of, refuse_if_altered
from fedforge_runtime.errors import DataError, StorageError, UnreachableError
from fedforge_runtime.storage.home import Home
from tests.support.patience import PATIENCE_SECONDS


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


def test_a_transfer_that_breaks_off_goes_on_by_itself(publisher: Any, home: Home) -> None:
    half = len(publisher.body) // 2 + 1
    publisher.bytes_sent = half

    assert fetch(home).read_bytes() == publisher.body
    assert publisher.ranges == [(None, None), (f"bytes={half}-", publisher.etag)]
    assert files(home) == {"bloodmnist.npz"}


def break_off(publisher: Any, home: Home) -> int:
    """Have a download break off for good in the middle; how many bytes are there then."""
    there = len(publisher.body) // 2

    def give_nothing_more() -> None:
        publisher.bytes_sent = 0 if publisher.ranges[-1][0] else there

    publisher.on_transfer = give_nothing_more
    with pytest.raises(DataError, match=f"broke off after {there:,} bytes") as caught:
        fetch(home)
    assert not isinstance(caught.value, UnreachableError)
    assert "it goes on from there" in caught.value.remedy
    assert part_of(official_archive("bloodmnist", 28), home).bytes == there
    publisher.on_transfer = lambda: None
    publisher.bytes_sent = None
    publisher.ranges.clear()
    return there


def test_a_later_command_goes_on_with_what_is_there(publisher: Any, home: Home) -> None:
    there = break_off(publisher, home)
    notices: list[str] = []

    assert fetch(home, notices).read_bytes() == publisher.body
    assert publisher.ranges == [(f"bytes={there}-", publisher.etag)]
    assert f"of which {there:,} bytes are here" in notices[0]
    assert files(home) == {"bloodmnist.npz"}


def test_a_file_that_has_changed_at_the_host_begins_again(
    publisher: Any, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(publisher, home)
    part = part_of(official_archive("bloodmnist", 28), home)
    part.path.write_bytes(b"\0" * part.bytes)  # as of the file before
    publisher.etag = '"second"'

    assert fetch(home).read_bytes() == publisher.body
    assert len(publisher.ranges) == 1


def test_a_host_that_ignores_ranges_gives_the_file_from_its_beginning(publisher: Any, home: Home) -> None:
    break_off(publisher, home)
    publisher.takes_ranges = False

    assert fetch(home).read_bytes() == publisher.body


def test_a_part_that_is_longer_than_the_file_begins_again(publisher: Any, home: Home) -> None:
    break_off(publisher, home)
    part = part_of(official_archive("bloodmnist", 28), home)
    part.path.write_bytes(publisher.body + b"more")

    assert fetch(home).read_bytes() == publisher.body
    assert [wanted for wanted, _ in publisher.ranges] == [f"bytes={len(publisher.body) + 4}-", None]


def test_a_part_that_is_whole_already_is_not_asked_for(publisher: Any, home: Home) -> None:
    break_off(publisher, home)
    part_of(official_archive("bloodmnist", 28), home).path.write_bytes(publisher.body)

    assert fetch(home).read_bytes() == publisher.body
    assert publisher.ranges == []


def test_a_part_whose_sum_is_wrong_in_the_end_is_removed_and_the_next_command_begins_again(
    publisher: Any, home: Home
) -> None:
    there = break_off(publisher, home)
    part_of(official_archive("bloodmnist", 28), home).path.write_bytes(b"\0" * there)

    with pytest.raises(DataError, match="altered"):
        fetch(home)
    assert files(home) == set()
    assert fetch(home).read_bytes() == publisher.body


def test_a_part_of_another_address_or_checksum_is_left_alone(
    publisher: Any, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(publisher, home)
    monkeypatch.setitem(medmnist.INFO["bloodmnist"], "url", publisher.url + "&version=2")

    assert fetch(home).read_bytes() == publisher.body
    assert publisher.ranges == [(None, None)]


def test_a_part_outlives_kill_9(publisher: Any, home: Home) -> None:
    arrived, go_on = threading.Event(), threading.Event()
    publisher.bytes_sent = len(publisher.body) // 2

    def hold_the_second() -> None:
        if publisher.ranges[-1][0]:  # the first half is with the child then
            arrived.set()
            go_on.wait(PATIENCE_SECONDS)

    publisher.on_transfer = hold_the_second
    code = (
        "import sys, dataclasses, pathlib; from fedforge_runtime.storage.home import Home\n"
        "from fedforge_runtime.data.sources.download import official_file\n"
        "from fedforge_runtime.data.sources.catalogue import official_archive\n"
        "official = dataclasses.replace(official_archive('bloodmnist', 28), url=sys.argv[2], md5=sys.argv[3])\n"
        "official_file(official, home=Home(pathlib.Path(sys.argv[1])), notify=print)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, home.root, publisher.url, medmnist.INFO["bloodmnist"]["MD5"]],
        stdout=subprocess.DEVNULL,
    )
    assert arrived.wait(PATIENCE_SECONDS)
    child.kill()
    child.wait()
    go_on.set()
    publisher.on_transfer = lambda: None
    publisher.bytes_sent = None
    publisher.ranges.clear()

    assert fetch(home).read_bytes() == publisher.body
    assert publisher.ranges == [(f"bytes={len(publisher.body) // 2}-", publisher.etag)]


def test_a_transfer_that_stands_still_is_given_up(publisher: Any, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    publisher.on_transfer = lambda: released.wait(PATIENCE_SECONDS)
    monkeypatch.setattr(download, "SILENCE_SECONDS", 0.2)
    with pytest.raises(UnreachableError, match="timed out"):
        fetch(home)
    released.set()
    assert files(home) == set()


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
    # Where it comes just before the wait for the first byte, that byte wakes who waits: the transfer must go on.
    publisher.on_transfer = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fetch(home)
    assert "bloodmnist.npz" not in files(home)


def test_a_home_that_is_no_folder_is_a_storage_error(publisher: Any, home: Home) -> None:
    home.root.write_text("in the way")
    with pytest.raises(StorageError, match=str(home.data)):
        fetch(home)


def test_a_full_disk_is_a_storage_error(publisher: Any, home: Home) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(publisher.body) // 2, before[1]))
    try:
        with pytest.raises(StorageError, match="cannot write"):
            fetch(home)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert fetch(home).read_bytes() == publisher.body
    assert publisher.ranges[-1][0] is not None


def test_an_altered_file_is_moved_aside(publisher: Any, home: Home) -> None:
    path = fetch(home)
    official = official_archive("bloodmnist", 28)
    refuse_if_altered(path, official.md5, official)
    assert path.is_file()
    with pytest.raises(DataError, match="is not the published BloodMNIST") as caught:
        refuse_if_altered(path, "0" * 32, official)
    assert "Run the command again" in caught.value.remedy
    assert files(home) == {"bloodmnist.npz.broken"}
