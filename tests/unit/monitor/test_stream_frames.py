from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

from monitor.stored import StoredEvent
from monitor.stream import Newest

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def stored(seq: int, run_id: str = "run", at: datetime = NOW) -> StoredEvent:
    return StoredEvent(run_id, seq, at, False, json.dumps({"run_id": run_id}))


async def frames(*parts: list[StoredEvent]) -> list[str]:
    newest = Newest()
    return [newest.frame(part) for part in parts]


def test_readers_who_are_as_far_are_sent_what_was_made_once() -> None:
    one, other = asyncio.run(frames([stored(1), stored(2)], [stored(1), stored(2)]))

    assert one is other
    assert [each["seq"] for each in json.loads(one)["events"]] == [1, 2]


def test_what_is_another_is_never_taken_for_it() -> None:
    first = [stored(1), stored(2)]
    others = [
        [stored(1)],
        [stored(2)],
        [stored(1, "another"), stored(2, "another")],
        [stored(1, at=NOW + timedelta(seconds=1)), stored(2)],  # the run was forgotten, and loaded again
    ]

    made = asyncio.run(frames(first, *others))

    assert len(set(made)) == len(made)


def test_however_many_there_are_the_right_one_comes() -> None:
    parts = [[stored(seq)] for seq in range(1, 40)] * 2

    made = asyncio.run(frames(*parts))

    assert [json.loads(each)["events"][0]["seq"] for each in made] == [part[0].seq for part in parts]
