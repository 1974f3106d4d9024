"""The round loop over real worker processes: reproducible, resumable, and clear about what fails."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from round_client import CLASSES, FEATURES, features_of, rows_of
from round_runs import RoundRun

from fedforge_runtime.errors import RunFailedError, RunStoppedError
from fedforge_runtime.federation.forwarding import ForwardingGrid
from fedforge_runtime.federation.grid import RunGrid
from fedforge_runtime.federation.strategies import STRATEGIES
from fedforge_runtime.record.checkpoint import Checkpoint
from fedforge_runtime.record.participants import ParticipantRecord, ReplayedSelection, read_participants
from fedforge_runtime.telemetry.control import Desired
from fedforge_runtime.telemetry.emitter import Emitter
from tests.support.hurried_clock import NO_ANSWER, time_out_once
from tests.support.patience import PATIENCE_SECONDS

FLAWS = {
    "not a number": "the update's classifier.weight has values that are not finite",
    "infinite": "the update's classifier.weight has values that are not finite",
    "wrong shape": "the update's classifier.weight has shape (3, 6), not (4, 6)",
    "wrong name": "the update does not hold the tensors that were asked for",
    "missing tensor": "the update does not hold the tensors that were asked for",
    "additional tensor": "the update does not hold the tensors that were asked for",
    "no model": "the update does not hold the tensors that were asked for",
    "zero rows": "the update counts no rows",
    "text": "the update's classifier.weight has type <U32, not float32",
    "rows not a number": "the update's num-examples is missing or not a finite number",
    "no metrics": "the update's num-examples is missing or not a finite number",
    "no loss": "the update's training-loss is missing or not a finite number",
}
STATEFUL = {"fedavgm": {"momentum_vector"}, "fedadam": {"m_t", "v_t"}, "fedyogi": {"m_t", "v_t"}}


class RepliesReversed(ForwardingGrid):
    """Keeps the replies back until all are there and hands them over last first."""

    def __init__(self, inner: Grid) -> None:
        super().__init__(inner)
        self._held: list[Message] = []

    def get_node_ids(self) -> Iterable[int]:
        return reversed(list(self._inner.get_node_ids()))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        wanted = list(message_ids)
        self._held += self._inner.pull_messages(wanted)
        if len(self._held) < len(wanted):
            return []
        held, self._held = self._held, []
        return sorted(held, key=lambda reply: reply.metadata.src_node_id, reverse=True)


# Reproducible


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "closed_form"])
def test_two_rounds_and_two_more_after_a_resume_give_the_model_and_state_of_four(strategy: str, tmp_path: Path) -> None:
    straight = RoundRun(tmp_path / "straight", strategy=strategy).rounds(4)
    interrupted = RoundRun(tmp_path / "interrupted", strategy=strategy)
    interrupted.rounds(2)
    resumed = interrupted.rounds(4)

    assert_same_state(resumed, straight)
    assert [record.model_sha256 for record in resumed.records] == [record.model_sha256 for record in straight.records]
    assert len({record.model_sha256 for record in straight.records}) == 4
    assert all(value.dtype == np.float32 for value in straight.parameters.values())
    assert {name.split(".")[0].split("#")[0] for name in straight.server_state} >= STATEFUL.get(strategy, set())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_in_which_answers_arrive_does_not_change_the_model(strategy: str, tmp_path: Path) -> None:
    in_order = RoundRun(tmp_path / "in-order", strategy=strategy).rounds(1)
    reversed_run = RoundRun(tmp_path / "reversed", strategy=strategy, around_grid=RepliesReversed).rounds(1)

    assert_same_state(reversed_run, in_order)


def test_clients_per_round_are_drawn_anew_and_alike_in_each_run(tmp_path: Path) -> None:
    first = RoundRun(tmp_path / "first", clients_per_round=3).rounds(4)
    second = RoundRun(tmp_path / "second", clients_per_round=3, around_grid=RepliesReversed).rounds(4)

    assert [len(record.participants) for record in first.records] == [3] * 4
    assert len({tuple(record.participants) for record in first.records}) > 1
    assert [record.participants for record in second.records] == [record.participants for record in first.records]
    assert second.model_sha256 == first.model_sha256


def test_updates_in_double_precision_leave_the_model_in_single(tmp_path: Path) -> None:
    run = RoundRun(tmp_path, behaviours={"1/0/train": "double precision"})

    assert {value.dtype for value in run.rounds(1).parameters.values()} == {np.dtype(np.float32)}


def test_fedavg_is_the_mean_weighted_by_rows(tmp_path: Path) -> None:
    alone = [
        RoundRun(tmp_path / str(site), clients=2, minimum_clients=1, selection=ReplayedSelection({1: [site]}))
        for site in range(2)
    ]
    first, second = (run.rounds(1).parameters["classifier.weight"].astype(np.float64) for run in alone)

    together = RoundRun(tmp_path / "together", clients=2).rounds(1).parameters["classifier.weight"]

    expected = np.average([first, second], axis=0, weights=[rows_of(0), rows_of(1)])
    np.testing.assert_allclose(together, expected, atol=1e-6)


# Records and events


def test_a_round_is_recorded_with_its_clients_and_their_metrics(tmp_path: Path) -> None:
    record = RoundRun(tmp_path, clients=3).rounds(1).records[0]

    assert record.participants == [0, 1, 2]
    assert record.failures == {}
    assert record.training_loss == pytest.approx(np.average([1, 2, 3], weights=[rows_of(site) for site in range(3)]))
    assert [client.rows for client in record.clients] == [rows_of(site) for site in range(3)]
    assert [client.global_metrics["accuracy"] for client in record.clients] == [1.0, 1.1, 1.2]
    assert record.bytes_sent == sum(client.bytes_sent for client in record.clients)
    assert record.bytes_received == sum(client.bytes_received for client in record.clients)
    assert min(client.bytes_sent for client in record.clients) > 2 * 4 * (CLASSES * FEATURES + CLASSES)


def test_a_round_tells_its_story_in_order(tmp_path: Path) -> None:
    run = RoundRun(tmp_path, clients=2)
    run.rounds(1)

    story = [event.type for event in run.events if event.round == 1 and event.node_id == "server"]

    assert story == [
        "round_started",
        "aggregation_started",
        "aggregation_completed",
        "checkpoint_saved",
        "round_completed",
    ]
    for site in range(2):
        about_site = [(event.type, event.task) for event in run.events if event.node_id == f"client-{site}"]
        assert about_site == [
            ("model_dispatched", "train"),
            ("client_update_uploaded", "train"),
            ("model_dispatched", "evaluate"),
            ("client_update_uploaded", "evaluate"),
        ]


# Failures


@pytest.mark.parametrize("behaviour", ["raise", "exit", "hang"])
def test_a_client_that_fails_is_left_out_and_the_reason_is_recorded(behaviour: str, tmp_path: Path) -> None:
    reasons = {
        "raise": "SiteError: site 1 was told to raise",
        "exit": "the client's process died before it answered: exit code 1",
        "hang": NO_ANSWER,
    }
    run = RoundRun(tmp_path, clients=3, behaviours={"1/1/train": behaviour})

    def only_who_hangs_is_left() -> bool:
        arrived = {event.node_id for event in run.events if event.type == "client_update_uploaded"}
        return behaviour == "hang" and arrived >= {"client-0", "client-2"}

    with time_out_once(only_who_hangs_is_left):
        record, following = run.rounds(2).records

    assert record.participants == [0, 2]
    assert record.failures.keys() == {1}
    assert reasons[behaviour] in record.failures[1]
    assert following.participants == [0, 1, 2]
    assert [(event.node_id, event.task, event.reason) for event in errors(run)] == [
        ("client-1", "train", record.failures[1].removeprefix("train: "))
    ]


@pytest.mark.parametrize("flaw", FLAWS)
def test_an_update_that_cannot_be_aggregated_is_left_out(flaw: str, tmp_path: Path) -> None:
    run = RoundRun(tmp_path / "flawed", clients=3, behaviours={"1/2/train": flaw})
    without = RoundRun(tmp_path / "without", clients=3, selection=ReplayedSelection({1: [0, 1]}))

    final = run.rounds(1)

    assert final.records[0].participants == [0, 1]
    assert final.records[0].failures == {2: f"train: {FLAWS[flaw]}"}
    assert [(event.node_id, event.reason) for event in errors(run)] == [("client-2", FLAWS[flaw])]
    assert final.model_sha256 == without.rounds(1).model_sha256


def test_a_client_that_fails_to_evaluate_keeps_its_part_in_the_model(tmp_path: Path) -> None:
    undisturbed = RoundRun(tmp_path / "undisturbed", clients=3).rounds(1)

    disturbed = RoundRun(tmp_path / "disturbed", clients=3, behaviours={"1/0/evaluate": "raise"})
    record = disturbed.rounds(1).records[0]

    assert record.model_sha256 == undisturbed.model_sha256
    assert record.participants == [0, 1, 2]
    assert record.failures[0].startswith("evaluate: SiteError")
    assert record.clients[0].global_metrics == {}
    assert [(event.node_id, event.task) for event in errors(disturbed)] == [("client-0", "evaluate")]


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ("text", "evaluate: the metric accuracy is 'n/a', which is no finite number"),
        ("not a number", "evaluate: the metric accuracy is 'nan', which is no finite number"),
        ("no metrics", "evaluate: the update's num-examples is missing or not a finite number"),
    ],
)
def test_an_evaluation_that_is_none_is_that_clients_error_and_not_the_runs_end(
    flaw: str, reason: str, tmp_path: Path
) -> None:
    run = RoundRun(tmp_path, clients=3, behaviours={"1/0/evaluate": flaw})

    record = run.rounds(1).records[0]

    assert record.failures == {0: reason}
    assert record.clients[0].global_metrics == {}
    assert [(event.node_id, event.task) for event in errors(run)] == [("client-0", "evaluate")]


class EverybodyLeaves(ForwardingGrid):
    """After the updates of a round are there no node is connected any more, for so many looks."""

    def __init__(self, inner: Grid, *, looks: int) -> None:
        super().__init__(inner)
        self._looks = looks
        self.away = False

    def get_node_ids(self) -> Iterable[int]:
        if self.away:
            self._looks -= 1
            self.away = self._looks > 0
        return [] if self.away else self._inner.get_node_ids()

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = list(self._inner.pull_messages(message_ids))
        if self._looks and any(reply.metadata.message_type.startswith("train") for reply in replies):
            self.away = True
        return replies


def test_clients_that_are_away_after_training_are_waited_for_and_evaluate(tmp_path: Path) -> None:
    undisturbed = RoundRun(tmp_path / "undisturbed", clients=3).rounds(2)

    run = RoundRun(tmp_path / "left", clients=3, around_grid=lambda grid: EverybodyLeaves(grid, looks=3))
    state = run.rounds(2)

    assert state.model_sha256 == undisturbed.model_sha256
    assert [record.failures for record in state.records] == [{}, {}]
    assert [client.global_metrics for client in state.records[0].clients] == [
        client.global_metrics for client in undisturbed.records[0].clients
    ]


def test_a_round_whose_clients_all_stay_away_after_training_ends_without_their_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedforge_runtime.federation.grid._RETURN_SECONDS", 0.05)
    undisturbed = RoundRun(tmp_path / "undisturbed", clients=3).rounds(1)

    run = RoundRun(tmp_path / "left", clients=3, around_grid=lambda grid: EverybodyLeaves(grid, looks=10**9))
    record = run.rounds(1).records[0]

    assert record.model_sha256 == undisturbed.model_sha256
    assert record.failures == dict.fromkeys(range(3), "evaluate: the site's node is not connected any more")
    assert {(event.node_id, event.task) for event in errors(run)} == {(f"client-{n}", "evaluate") for n in range(3)}


def test_a_stop_is_heard_while_all_clients_are_away_after_training(tmp_path: Path) -> None:
    leaving: list[EverybodyLeaves] = []

    class StopOnceTheyHaveLeft:
        def desired(self) -> Desired:
            return "stop" if leaving and leaving[0].away else "run"

    def around(grid: Grid) -> Grid:
        leaving.append(EverybodyLeaves(grid, looks=10**9))
        return leaving[0]

    run = RoundRun(tmp_path, clients=3, around_grid=around, control=StopOnceTheyHaveLeft())

    with pytest.raises(RunStoppedError):
        run.rounds(1)


def test_a_round_in_which_all_fail_ends_the_run_with_their_reasons(tmp_path: Path) -> None:
    run = RoundRun(
        tmp_path,
        clients=5,
        behaviours={"2/0/train": "exit"} | {f"2/{site}/train": "raise" for site in range(1, 5)},
    )

    with pytest.raises(RunFailedError) as raised:
        run.rounds(3)

    text = str(raised.value)
    assert text.startswith("round 2: only 0 of the 2 clients needed gave a usable answer")
    assert "client 0: train: the client's process died before it answered" in text
    assert "client 1: train: SiteError: site 1 was told to raise" in text
    assert "and 2 more" in text
    last = run.checkpoints.latest()
    assert last is not None
    assert last.round == 1


def test_fewer_answers_than_the_minimum_end_the_run(tmp_path: Path) -> None:
    run = RoundRun(tmp_path, clients=3, minimum_clients=2, behaviours={"1/0/train": "raise", "1/1/train": "raise"})

    with pytest.raises(RunFailedError, match="round 1: only 1 of the 2 clients needed"):
        run.rounds(1)


def test_a_stop_discards_the_round_in_flight(tmp_path: Path) -> None:
    class StopInTheSecondRound:
        def desired(self) -> Desired:
            return "stop" if any(event.round == 2 for event in stopped.events) else "run"

    stopped = RoundRun(tmp_path / "stopped", clients=3, behaviours={"2/1/train": "hang"})
    stopped.control = StopInTheSecondRound()

    with pytest.raises(RunStoppedError):
        stopped.rounds(3)

    last = stopped.checkpoints.latest()
    assert last is not None
    assert last.round == 1
    resumed = RoundRun(tmp_path / "stopped", clients=3).rounds(3)
    assert_same_state(resumed, RoundRun(tmp_path / "undisturbed", clients=3).rounds(3))


def test_a_pause_between_rounds_does_not_change_the_model(tmp_path: Path) -> None:
    class PauseBeforeTheSecondRound:
        asked_since = 0

        def desired(self) -> Desired:
            if not any(event.type == "round_completed" for event in paused.events) or self.asked_since == 2:
                return "run"
            self.asked_since += 1
            return "pause"

    paused = RoundRun(tmp_path / "paused", clients=3, control=PauseBeforeTheSecondRound())
    resumed = paused.rounds(3)

    assert [event.type for event in paused.events if event.type.startswith("run_")] == ["run_paused", "run_resumed"]
    assert_same_state(resumed, RoundRun(tmp_path / "undisturbed", clients=3).rounds(3))


# Replay


def test_replayed_participants_give_the_model_of_a_run_in_which_a_client_failed(tmp_path: Path) -> None:
    disturbed = RoundRun(tmp_path / "disturbed", behaviours={"2/3/train": "exit"}).rounds(3)
    undisturbed = RoundRun(tmp_path / "undisturbed").rounds(3)
    file = tmp_path / "participants.json"
    ParticipantRecord(rounds={record.round: record.participants for record in disturbed.records}).write(file)
    participants = read_participants(file, rounds=3, sites=range(5))

    replayed = RoundRun(tmp_path / "replayed", selection=ReplayedSelection(participants.rounds)).rounds(3)

    assert json.loads(file.read_text())["rounds"]["2"] == [0, 1, 2, 4]
    assert_same_state(replayed, disturbed)
    assert replayed.model_sha256 != undisturbed.model_sha256


def test_a_replay_in_which_a_client_fails_ends_the_run(tmp_path: Path) -> None:
    run = RoundRun(
        tmp_path,
        behaviours={"1/2/train": "raise"},
        selection=ReplayedSelection({1: [0, 1, 2, 3]}),
    )

    with pytest.raises(RunFailedError, match=r"round 1: only 3 of the 4 clients needed .*client 2: train: SiteError"):
        run.rounds(1)


# Standardisation


def test_the_federated_standardisation_is_that_of_all_rows_together(tmp_path: Path) -> None:
    standardisation, asked = RoundRun(tmp_path, clients=4).standardise()

    rows = np.concatenate([features_of(site) for site in range(4)])
    assert asked == [0, 1, 2, 3]
    np.testing.assert_allclose(standardisation.mean, rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(standardisation.scale, rows.std(axis=0), rtol=1e-5)


def test_a_client_that_gives_no_statistics_is_left_out_of_them(tmp_path: Path) -> None:
    behaviours = {"0/1/statistics": "raise"}
    standardisation, asked = RoundRun(tmp_path / "disturbed", clients=4, behaviours=behaviours).standardise()
    replayed, _ = RoundRun(tmp_path / "replayed", clients=4).standardise(participants=asked)

    assert asked == [0, 2, 3]
    np.testing.assert_array_equal(replayed.mean, standardisation.mean)
    np.testing.assert_array_equal(replayed.scale, standardisation.scale)


@pytest.mark.parametrize("flaw", ["wrong shape", "not a number", "no sums"])
def test_statistics_that_are_none_are_that_clients_error(flaw: str, tmp_path: Path) -> None:
    run = RoundRun(tmp_path, clients=4, behaviours={"0/1/statistics": flaw})

    standardisation, asked = run.standardise()

    assert asked == [0, 2, 3]
    assert np.isfinite(standardisation.scale).all()
    assert [(event.node_id, event.task) for event in errors(run)] == [("client-1", "statistics")]


def test_statistics_of_too_few_clients_end_the_run(tmp_path: Path) -> None:
    behaviours = {f"0/{site}/statistics": "raise" for site in range(3)}

    with pytest.raises(RunFailedError, match="the exchange of statistics: only 1 of the 2 clients needed"):
        RoundRun(tmp_path / "all", clients=4, behaviours=behaviours).standardise()
    with pytest.raises(RunFailedError, match="the exchange of statistics: only 1 of the 2 clients needed"):
        RoundRun(tmp_path / "replay", clients=4, behaviours=behaviours).standardise(participants=[2, 3])


def test_a_grid_can_be_asked_in_flowers_own_way(tmp_path: Path) -> None:
    def ask(grid: RunGrid, emitter: Emitter) -> list[Message]:
        requests = [grid.create_message(RecordDict(), node, "query") for node in grid.get_node_ids()]
        return list(grid.send_and_receive(requests, timeout=PATIENCE_SECONDS))

    replies = RoundRun(tmp_path, clients=3).in_server_app(ask)

    assert sorted(int(reply.content.config_records["config"]["partition-id"]) for reply in replies) == [0, 1, 2]


def assert_same_state(one: Checkpoint, other: Checkpoint) -> None:
    assert one.model_sha256 == other.model_sha256
    assert one.server_state.keys() == other.server_state.keys()
    for name, value in one.server_state.items():
        assert value.dtype == other.server_state[name].dtype
        np.testing.assert_array_equal(value, other.server_state[name], err_msg=name)


def errors(run: RoundRun) -> list:
    return [event for event in run.events if event.type == "node_error"]
