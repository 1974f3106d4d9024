"""What every engine is held to; see `fedforge_runtime.engines.base.Engine`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest
from running_engine import SETTING, SITES, Ending, RunningEngine, is_alive

from fedforge_runtime.engines import ENGINES, open_engine
from fedforge_runtime.errors import ConfigError, RunStoppedError
from fedforge_runtime.federation.grid import Answer
from tests.support.engines import RAY_TOO, needs_ray
from tests.support.hurried_clock import NO_ANSWER
from tests.support.patience import PATIENCE_SECONDS


class Engines:
    """The engine that is at work; a fresh one after a test has ended the one before."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._numbers = count()
        self._engine: RunningEngine | None = None

    def running(self) -> RunningEngine:
        if self._engine is None or self._engine.has_ended:
            self._engine = RunningEngine(self.name, self._folder / str(next(self._numbers)))
        return self._engine

    def close(self) -> None:
        if self._engine and not self._engine.has_ended:
            assert self._engine.end().error is None


@pytest.fixture(scope="module", params=[RAY_TOO if name == "ray" else name for name in ENGINES])
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    engines = Engines(request.param, tmp_path_factory.mktemp(request.param))
    yield engines
    engines.close()


@pytest.fixture
def engine(engines: Engines) -> RunningEngine:
    return engines.running()


@pytest.fixture
def inprocess(tmp_path: Path) -> Iterator[RunningEngine]:
    engine = RunningEngine("inprocess", tmp_path / "engine")
    yield engine
    if not engine.has_ended:
        engine.end()


def test_answers_come_in_the_order_of_partitions_whatever_the_order_of_arrival(engine: RunningEngine) -> None:
    engine.exchange([{}] * SITES)
    arrived = [str(engine.arrivals.arrival(site)) for site in range(SITES)]
    later_ones_first = [{"wait_for": arrived[site + 1]} for site in range(SITES - 1)]

    answers = engine.exchange([*later_ones_first, {}])

    assert engine.arrivals.order == [2, 1, 0]
    assert [answer.client for answer in answers] == [0, 1, 2]
    assert [config(answer)["partition-id"] for answer in answers] == [0, 1, 2]


def test_each_site_gets_its_own_message(engine: RunningEngine) -> None:
    answers = engine.exchange([{"echo": word} for word in ("one", "two", "three")])

    assert [config(answer)["echo"] for answer in answers] == ["one", "two", "three"]


def test_a_site_knows_its_partition_the_number_of_sites_and_the_run_config(engine: RunningEngine) -> None:
    for site, answer in enumerate(engine.exchange([{}] * SITES)):
        assert config(answer)["partition-id"] == site
        assert config(answer)["num-partitions"] == SITES
        assert config(answer)["setting"] == SETTING


def test_the_state_of_a_site_outlives_a_message(engine: RunningEngine) -> None:
    before = [config(answer)["calls"] for answer in engine.exchange([{}] * SITES)]
    after = [config(answer)["calls"] for answer in engine.exchange([{}] * SITES)]

    assert after == [calls + 1 for calls in before]


def test_the_bytes_of_both_directions_are_counted(engine: RunningEngine) -> None:
    short, long, _ = engine.exchange([{"echo": "x"}, {"echo": "x" * 1000}, {}])

    assert long.bytes_sent - short.bytes_sent == 999
    assert long.bytes_received - short.bytes_received == 999
    assert long.round_trip_seconds > 0


def test_a_site_that_raises_answers_with_the_name_of_its_error(engine: RunningEngine) -> None:
    failed, *others = engine.exchange([{"behaviour": "raise"}, {}, {}])

    assert failed.message is None
    assert "ProbeError: site 0 was told to raise" in failed.failure
    assert not any(answer.failure for answer in others)
    assert not any(answer.failure for answer in engine.exchange([{}] * SITES))


@pytest.mark.parametrize(
    ("end", "death"), [("exit", "exit code 1$"), ("kill", r"killed by SIGKILL, .* memory .*runtime\.workers=1")]
)
def test_a_site_whose_process_ends_says_how_and_serves_again(engine: RunningEngine, end: str, death: str) -> None:
    engine.exchange([{}] * SITES)
    after_the_death = {"wait_for": str(engine.arrivals.arrival(0))}

    failed, *others = engine.exchange([{"behaviour": end}, after_the_death, after_the_death])

    assert failed.message is None
    assert re.match(rf"the client's process died before it answered: {death}", failed.failure), failed.failure
    assert [config(answer)["partition-id"] for answer in others] == [1, 2]
    assert len(engine.exchange_until_all_answer()) == SITES


def test_a_site_that_hangs_is_left_out_at_the_time_out_and_the_others_go_on(engine: RunningEngine) -> None:
    engine.exchange([{}] * SITES)
    release = engine.folder / "release"
    hanging = {"wait_for": str(release)}

    failed, *others = engine.exchange([hanging, {}, {}], time_out=lambda: engine.have_answered(1, 2))
    answers = engine.exchange([{}] * SITES)
    release.touch()

    assert failed.message is None
    assert failed.failure == NO_ANSWER
    assert [config(answer)["partition-id"] for answer in others] == [1, 2]
    assert [config(answer)["partition-id"] for answer in answers] == [0, 1, 2]


def test_a_late_answer_is_not_taken_for_the_answer_to_a_later_message(engine: RunningEngine) -> None:
    release = engine.folder / "release-late"

    engine.exchange([{"wait_for": str(release), "echo": "late"}, {}, {}], time_out=lambda: engine.have_answered(1, 2))
    release.touch()
    answers = engine.exchange([{"echo": "present"}] * SITES)

    assert [config(answer)["echo"] for answer in answers] == ["present"] * SITES


def test_a_time_out_frees_the_workers_of_the_inprocess_engine(inprocess: RunningEngine) -> None:
    inprocess.exchange([{}] * SITES)
    started = [inprocess.folder / f"started-{site}" for site in range(SITES)]
    never = str(inprocess.folder / "never")

    hung = inprocess.exchange(
        [{"started": str(path), "wait_for": never} for path in started],
        time_out=lambda: all(path.exists() for path in started),
    )
    answers = inprocess.exchange([{}] * SITES)

    assert [answer.failure for answer in hung] == [NO_ANSWER] * SITES
    assert [config(answer)["partition-id"] for answer in answers] == list(range(SITES))
    replaced = {int(path.read_text()) for path in started}
    assert len(replaced) == SITES
    assert replaced.isdisjoint(config(answer)["process"] for answer in answers)


@pytest.mark.parametrize("error", [ValueError("the reason"), KeyboardInterrupt("the reason")])
def test_what_the_server_app_raises_is_raised_by_the_inprocess_engine(
    inprocess: RunningEngine, error: BaseException
) -> None:
    ending = inprocess.end(error)

    assert ending.error is error
    assert_none_is_left(ending)


def test_a_stop_in_the_middle_of_work_that_never_ends_is_raised_and_leaves_no_process(engines: Engines) -> None:
    engine = engines.running()
    engine.exchange([{}] * SITES)
    started = [engine.folder / f"working-{site}" for site in range(SITES)]
    never = str(engine.folder / "never")

    ending = engine.end_by_stop(
        [{"behaviour": "work", "started": str(path), "wait_for": never} for path in started],
        when=lambda: all(path.exists() for path in started),
    )

    assert isinstance(ending.error, RunStoppedError)  # raised by the ServerApp, and so by the engine
    assert_none_is_left(ending)
    workers = [int(path.read_text()) for path in started]
    assert not any(psutil.pid_exists(worker) and is_alive(psutil.Process(worker)) for worker in workers)


@pytest.mark.parametrize("name", ["inprocess", pytest.param("ray", marks=needs_ray)])  # elsewhere each site has its own
def test_a_process_that_dies_costs_none_of_the_sites_that_wait_for_it(tmp_path: Path, name: str) -> None:
    engine = RunningEngine(name, tmp_path / "engine", workers=1)
    try:
        engine.exchange([{}] * SITES)

        failed, *others = engine.exchange([{"behaviour": "kill"}, {}, {}])

        assert [config(answer)["partition-id"] for answer in others] == [1, 2]
        assert "killed by SIGKILL" in failed.failure
        idle = int(str(config(others[0])["process"]))
        psutil.Process(idle).kill()
        assert len(engine.exchange_until_all_answer()) == SITES
    finally:
        ending = engine.end()
    assert_none_is_left(ending)


def test_an_unknown_engine_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'inprocess'"):
        open_engine("in-process")


def assert_none_is_left(ending: Ending) -> None:
    psutil.wait_procs(ending.processes_left, timeout=PATIENCE_SECONDS)
    assert not [(process, process.cmdline()) for process in ending.processes_left if is_alive(process)]


def config(answer: Answer) -> dict[str, object]:
    assert answer.message is not None, answer.failure
    return dict(answer.message.content.config_records["config"])
