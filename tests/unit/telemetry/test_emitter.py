"""The event log: every line that was emitted is there, whole, whoever else writes and however they end."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from fedforge_runtime.telemetry.emitter import Emitter, EventLogReader, Heartbeat, read_events
from monitor.schema import Event, NodeError, NodeHeartbeat, RunStopped
from tests.support.patience import PATIENCE_SECONDS

# Emits argv[2] events to argv[1], or events without end, and reports each number once `emit` has returned.
EMITTING_PROGRAM = """
import itertools, sys
from pathlib import Path
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import NodeError

emitter = Emitter(Path(sys.argv[1]), run_id="run", role="client")
count = int(sys.argv[2])
for number in range(count) if count else itertools.count():
    emitter.emit(NodeError, round_number=1, node_id="client-0", reason="x" * (1 + number * 37 % 1500))
    print(emitter.emitter_id, number + 1, flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def emitter(log: Path) -> Emitter:
    return Emitter(log, run_id="run", role="server", attempt=2)


def beat(emitter: Emitter) -> NodeHeartbeat:
    return emitter.emit(NodeHeartbeat, round_number=0, node_id="server")


# Emitting


def test_what_is_emitted_is_read_back(emitter: Emitter, log: Path) -> None:
    emitted = [
        emitter.emit(NodeHeartbeat, round_number=1, node_id="server", status="busy"),
        emitter.emit(NodeError, round_number=2, node_id="client-3", task="train", reason="lost\n“connection”"),
        emitter.emit(RunStopped, round_number=2, node_id="server", reason="on request", metrics={"loss": 0.1 + 0.2}),
    ]

    assert read_events(log) == emitted
    assert len(log.read_bytes().splitlines()) == 3


def test_events_say_who_emitted_them_when_and_in_which_attempt(emitter: Emitter, log: Path) -> None:
    beat(emitter)
    beat(emitter)
    first, second = read_events(log)

    assert (first.run_id, first.role, first.attempt) == ("run", "server", 2)
    assert first.emitter_id == emitter.emitter_id
    assert str(os.getpid()) in first.emitter_id
    assert (first.emitter_seq, second.emitter_seq) == (1, 2)
    assert first.event_id.version == 7
    assert first.event_id < second.event_id
    assert first.ts <= second.ts
    assert first.ts.utcoffset().total_seconds() == 0  # type: ignore[union-attr]


def test_two_emitters_of_one_process_are_told_apart(log: Path) -> None:
    emitters = [Emitter(log, run_id="run", role="client") for _ in range(2)]
    for each in emitters:
        beat(each)

    assert len({event.emitter_id for event in read_events(log)}) == 2


def test_a_wrong_event_is_refused_and_takes_no_number(emitter: Emitter, log: Path) -> None:
    with pytest.raises(ValidationError, match="reason"):
        emitter.emit(NodeError, round_number=1, node_id="client-0", reason="")

    assert beat(emitter).emitter_seq == 1
    assert len(read_events(log)) == 1


def test_a_log_that_cannot_be_opened_raises(log: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Emitter(log.parent / "absent" / "events.jsonl", run_id="run", role="server")


def test_a_disk_that_is_full_raises_and_leaves_whole_lines(emitter: Emitter, log: Path) -> None:
    beat(emitter)
    before = log.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel then writes a part of the next line, as it does on a disk with a little room left.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match=r"no space left|File too large"):
            beat(emitter)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert log.read_bytes() == before
    beat(emitter)
    assert [event.emitter_seq for event in read_events(log)] == [1, 2]


def test_threads_of_one_emitter_count_without_gaps(emitter: Emitter, log: Path) -> None:
    threads = [threading.Thread(target=lambda: [beat(emitter) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [event.emitter_seq for event in read_events(log)] == list(range(1, 101))


def test_a_torn_last_line_stays_a_line_of_its_own(log: Path) -> None:
    whole = Emitter(log, run_id="run", role="server")
    beat(whole)
    with log.open("ab") as stream:
        stream.write(b'{"schema_version":1,"event_id":"0')

    beat(Emitter(log, run_id="run", role="client"))
    reader = EventLogReader(log)

    assert [event.role for event in reader.read_new()] == ["server", "client"]
    assert reader.malformed_lines == 1


# Several processes


def test_many_processes_append_at_once_and_every_line_is_whole(log: Path) -> None:
    programs = [start_emitting(log, 60) for _ in range(4)]
    for program in programs:
        program.communicate(timeout=PATIENCE_SECONDS)

    reader = EventLogReader(log)
    sequences = by_emitter(list(reader.read_new()))

    assert reader.malformed_lines == 0
    assert len(sequences) == 4
    assert all(numbers == list(range(1, 61)) for numbers in sequences.values())


def test_a_killed_process_loses_nothing_that_was_emitted(log: Path) -> None:
    reported: dict[str, int] = {}
    for kill_after in (1, 7, 23):
        programs = [start_emitting(log, 0) for _ in range(2)]
        for program in programs:
            assert program.stdout is not None
            for _ in range(kill_after):
                program.stdout.readline()
            program.kill()
            said = [line.split() for line in program.communicate()[0].splitlines()]
            for emitter_id, number in (words for words in said if len(words) == 2):
                reported[emitter_id.decode()] = int(number)

    reader = EventLogReader(log)
    sequences = by_emitter(list(reader.read_new()))

    assert reader.malformed_lines == 0
    assert len(sequences) == 6
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in sequences.values())
    assert all(len(sequences[emitter_id]) >= number for emitter_id, number in reported.items())


# Reading


def test_a_reader_goes_on_where_it_was(emitter: Emitter, log: Path) -> None:
    reader = EventLogReader(log)
    assert list(reader.read_new()) == []

    first = beat(emitter)
    assert list(reader.read_new()) == [first]
    assert list(reader.read_new()) == []

    following = [beat(emitter), beat(emitter)]
    assert list(reader.read_new()) == following


def test_a_reader_of_an_absent_log_finds_nothing_until_it_is_there(log: Path) -> None:
    reader = EventLogReader(log)
    assert list(reader.read_new()) == []

    event = beat(Emitter(log, run_id="run", role="server"))

    assert list(reader.read_new()) == [event]


def test_a_reader_that_stops_early_goes_on_after_what_it_took(emitter: Emitter, log: Path) -> None:
    events = [beat(emitter) for _ in range(3)]
    reader = EventLogReader(log)

    taken = next(reader.read_new())

    assert [taken, *reader.read_new()] == events


def test_half_a_line_is_never_read_wherever_it_is_cut(emitter: Emitter, tmp_path: Path, log: Path) -> None:
    events = [
        emitter.emit(NodeError, round_number=1, node_id="client-0", reason="ä“€") for _ in range(2)
    ]  # more than one byte a character
    content = log.read_bytes()
    growing = tmp_path / "growing.jsonl"
    reader, read = EventLogReader(growing), []

    for size in range(0, len(content) + 1, 7):
        growing.write_bytes(content[:size])
        read += list(reader.read_new())
    growing.write_bytes(content)
    read += list(reader.read_new())

    assert read == events
    assert reader.malformed_lines == 0


# Heartbeats


def test_a_heartbeat_beats_while_its_block_runs_and_not_after(emitter: Emitter, log: Path) -> None:
    reader, beats = EventLogReader(log), []
    with Heartbeat(emitter, node_id="client-4", round_number=3, interval=0.001) as heartbeat:
        while len(beats) < 3:
            beats += list(reader.read_new())
        heartbeat.round_number = 4
        while beats[-1].round != 4:
            beats += list(reader.read_new())

    beats += list(reader.read_new())
    assert {(event.type, event.node_id, event.status) for event in beats} == {("node_heartbeat", "client-4", "busy")}
    assert {event.round for event in beats} == {3, 4}
    assert not any(thread.name == "heartbeat-client-4" for thread in threading.enumerate())


def test_a_block_shorter_than_the_interval_has_no_beat(emitter: Emitter, log: Path) -> None:
    with Heartbeat(emitter, node_id="server", interval=3600):
        pass

    assert read_events(log) == []


def start_emitting(log: Path, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", EMITTING_PROGRAM, str(log), str(count)], stdout=subprocess.PIPE)


def by_emitter(events: list[Event]) -> dict[str, list[int]]:
    sequences: dict[str, list[int]] = defaultdict(list)
    for event in events:
        sequences[event.emitter_id].append(event.emitter_seq)
    return sequences
