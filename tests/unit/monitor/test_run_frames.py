from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import Session

from monitor.control import Command
from monitor.run_frames import BETWEEN_RUN_FRAMES_SECONDS, MadeFrame, RunFrames
from monitor.shapes import RunView
from monitor.stored import StoredEvent
from monitor.stream import Newest
from tests.support.monitor_in_hand import MonitorInHand, in_hand

SERVER = {"engine": "inprocess", "rounds_total": 3, "clients": 3}


class Readers:
    """Who asks for frames of a monitor's runs; how often the database was read for them."""

    def __init__(self, monitor: MonitorInHand) -> None:
        self._monitor = monitor
        self.newest = Newest()
        self.seconds = 0.0
        self.reads = 0
        self._frames = RunFrames(self.newest, self._read, lambda: monitor.now, lambda: self.seconds)

    async def _read(self, query: Callable[[Session], list[RunView]]) -> list[RunView]:
        self.reads += 1
        await asyncio.sleep(0)  # as one in a thread: others come meanwhile
        with self._monitor.database.reading() as session:
            return query(session)

    async def ask(self, *run_ids: str, seq: int = 0) -> list[MadeFrame]:
        return await self._frames.of(run_ids, seq)

    async def announce(self, run_id: str, seq: int) -> None:
        self.newest.announce([StoredEvent(run_id, seq, self._monitor.now, False, "{}")])
        await asyncio.sleep(0)


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[MonitorInHand]:
    with in_hand(tmp_path) as monitor:
        monitor.say("run", "run_started", **SERVER)
        yield monitor


def test_a_frame_is_made_once_for_all_who_ask_at_the_same_time(monitor: MonitorInHand) -> None:
    async def ask() -> None:
        readers = Readers(monitor)

        found = await asyncio.gather(*(readers.ask("run", seq=1) for _ in range(10)))

        assert readers.reads == 1
        assert all(frames == found[0] for frames in found)
        frame = json.loads(found[0][0].text)
        assert (frame["type"], frame["run"]["run_id"], frame["run"]["state"]) == ("run", "run", "running")

    asyncio.run(ask())


def test_a_frame_is_never_older_than_what_its_reader_has_seen(monitor: MonitorInHand) -> None:
    async def ask() -> None:
        readers = Readers(monitor)
        (early,) = await readers.ask("run")
        monitor.give("run", Command.PAUSE)

        (late,) = await readers.ask("run", seq=early.last_seq + 1)  # read from the database, before it was announced

        assert (early.facts["state"], late.facts["state"]) == ("running", "pausing")

    asyncio.run(ask())


def test_news_of_a_run_make_its_frame_anew_and_no_other(monitor: MonitorInHand) -> None:
    async def ask() -> None:
        monitor.say("other", "run_started", **SERVER)
        readers = Readers(monitor)
        run, other = await readers.ask("run", "other")
        monitor.give("run", Command.PAUSE)
        await readers.announce("run", run.last_seq + 1)

        changed, same = await readers.ask("run", "other")

        assert changed.facts["state"] == "pausing"
        assert same is other

    asyncio.run(ask())


def test_what_moves_with_the_clock_is_seen_though_nothing_comes(monitor: MonitorInHand) -> None:
    async def ask() -> None:
        readers = Readers(monitor)
        (before,) = await readers.ask("run")
        monitor.seconds = 3600
        readers.seconds = BETWEEN_RUN_FRAMES_SECONDS

        (after,) = await readers.ask("run")

        assert (before.facts["stalled"], after.facts["stalled"]) == (False, True)

    asyncio.run(ask())


def test_a_run_that_is_not_there_has_no_frame(monitor: MonitorInHand) -> None:
    assert asyncio.run(_ask(monitor, "run", "gone")) == ["run"]


def test_many_runs_are_shown_whole_however_few_are_kept(monitor: MonitorInHand) -> None:
    names = [f"run-{number:03}" for number in range(250)]
    for name in names:
        monitor.ask_for(name)

    assert asyncio.run(_ask(monitor, *names)) == names


async def _ask(monitor: MonitorInHand, *run_ids: str) -> list[str]:
    return [frame.run_id for frame in await Readers(monitor).ask(*run_ids)]
