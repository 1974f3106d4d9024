"""Flower's internals that the product relies on: an upgrade that changes one fails here, by name."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import Strategy

import fedforge_runtime
from fedforge_runtime.config import StrategyConfig
from fedforge_runtime.federation.strategies import STRATEGIES, build_strategy
from tests.engines import needs_ray

PUBLIC_MODULES = {"flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy"}
CHECKED_BY_THEMSELVES = {"superlink/flower.py", "superlink/flower_grid.py", "superlink/guarded_link.py"}
"""Below `federation`; see `test_superlink_contract`."""
INTERNAL_NAMES = {
    ("flwr.app.message", "make_message"),
    ("flwr.app.message", "remove_content_from_message"),
    ("flwr.clientapp.typing", "ClientAppCallable"),
    ("flwr.common.constant", "ErrorCode"),
    ("flwr.common.serde", "recorddict_from_proto"),
    ("flwr.common.serde", "recorddict_to_proto"),
    ("flwr.proto.recorddict_pb2", "RecordDict"),
    ("flwr.server.superlink.fleet.vce.backend", "raybackend"),
    ("flwr.simulation.ray_transport.ray_actor", "BasicActorPool"),
    ("flwr.simulation.ray_transport.ray_actor", "VirtualClientEngineActor"),
    ("flwr.simulation.run_simulation", "_run_simulation"),
    ("flwr.supercore.task_identity", "TaskIdentity"),
    ("flwr.supercore.telemetry", "EventType"),
}


def test_flower_is_the_version_that_was_checked() -> None:
    assert importlib.metadata.version("flwr").startswith("1.41.")


def test_every_internal_name_that_the_product_uses_is_checked_here() -> None:
    package = Path(fedforge_runtime.__file__).parent
    elsewhere = {package / "federation" / file for file in CHECKED_BY_THEMSELVES}
    used = {
        (module, name)
        for path in sorted(set(package.rglob("*.py")) - elsewhere)
        for module, name in imported_names(path)
        if module.split(".")[0] == "flwr" and module not in PUBLIC_MODULES and f"{module}.{name}" not in PUBLIC_MODULES
    }

    assert used == INTERNAL_NAMES


def test_the_task_identity_can_be_set_and_numbers_messages() -> None:
    from flwr.supercore.task_identity import TaskIdentity

    before = (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)
    try:
        TaskIdentity.task_id = TaskIdentity.run_id = 7
        TaskIdentity.node_id = 1
        message = Message(RecordDict(), 42, "query")
        assert (TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id) == (7, 7, 1)
        assert (message.metadata.run_id, message.metadata.src_node_id, message.metadata.dst_node_id) == (7, 1, 42)
    finally:
        TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = before


def test_a_message_takes_the_id_that_a_grid_gives_it_and_replies_name_it(message: Message) -> None:
    message.metadata.__dict__["_message_id"] = "an id"

    reply = Message(RecordDict(), reply_to=message)
    error = Message(Error(0, "the reason"), reply_to=message)

    assert message.metadata.message_id == "an id"
    assert reply.metadata.reply_to_message_id == error.metadata.reply_to_message_id == "an id"
    assert reply.has_content()
    assert not reply.has_error()
    assert error.has_error()
    assert not error.has_content()
    assert error.error.reason == "the reason"


def test_errors_of_clients_have_their_codes() -> None:
    from flwr.common.constant import ErrorCode

    assert ErrorCode.CLIENT_APP_CRASHED != ErrorCode.CLIENT_APP_RAISED_EXCEPTION


def test_a_context_is_made_and_read_by_name() -> None:
    context = Context(run_id=1, node_id=2, node_config={"partition-id": 3}, state=RecordDict(), run_config={"a": "b"})

    assert (context.run_id, context.node_id) == (1, 2)
    assert context.node_config["partition-id"] == 3
    assert context.run_config["a"] == "b"


def test_records_count_their_bytes_and_arrays_keep_dtype_and_shape() -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    record = ArrayRecord({"weight": Array(value)})

    assert record["weight"].numpy().dtype == np.float32
    assert tuple(record["weight"].shape) == (2, 3)
    assert record.count_bytes() >= value.nbytes
    assert MetricRecord({"rows": 3}).count_bytes() > 0
    assert ConfigRecord({"name": "text"}).count_bytes() > 0


@needs_ray
def test_the_simulation_takes_what_the_ray_engine_passes() -> None:
    from flwr.simulation.run_simulation import _run_simulation
    from flwr.supercore.telemetry import EventType

    passed = {
        "num_supernodes", "exit_event", "server_app", "client_app", "server_app_context", "backend_config",
    }  # fmt: skip
    assert passed <= inspect.signature(_run_simulation).parameters.keys()
    assert EventType.FLWR_SIMULATION_RUN_LEAVE


@needs_ray
def test_the_simulation_takes_its_ray_backend_from_where_the_ray_engine_puts_its_own() -> None:
    from flwr.server.superlink.fleet.vce import vce_api
    from flwr.server.superlink.fleet.vce.backend.raybackend import RayBackend

    from fedforge_runtime.federation.engines.ray_backend import SiteBackend

    assert "from .backend.raybackend import RayBackend" in inspect.getsource(vce_api.start_vce)
    for name in ("init_ray", "build", "process_message"):
        ours, theirs = (inspect.signature(getattr(each, name)).parameters for each in (SiteBackend, RayBackend))
        assert list(ours) == list(theirs)


@needs_ray
def test_an_actor_has_the_title_by_which_the_ray_engine_finds_it() -> None:
    from fedforge_runtime.federation.engines import ray
    from fedforge_runtime.federation.engines.ray_backend import SiteActor

    assert f"ray::{SiteActor.__ray_metadata__.class_name}" == ray._ACTOR_TITLE


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_has_the_parts_that_the_round_loop_calls(name: str) -> None:
    strategy = build_strategy(StrategyConfig(name=name))

    assert isinstance(strategy, Strategy)
    for part, parameters in {
        "configure_train": ["server_round", "arrays", "config", "grid"],
        "aggregate_train": ["server_round", "replies"],
        "configure_evaluate": ["server_round", "arrays", "config", "grid"],
    }.items():
        assert list(inspect.signature(getattr(strategy, part)).parameters) == parameters
    # What the product names itself must be what the strategy reads and writes.
    assert strategy.arrayrecord_key == "arrays"
    assert strategy.configrecord_key == "config"
    assert strategy.weighted_by_key == "num-examples"


def test_the_state_of_the_server_optimisers_is_where_checkpoints_look_for_it() -> None:
    momentum = flower.FedAvgM(server_momentum=0.9)
    adaptive = [flower.FedAdam(), flower.FedYogi(), flower.FedAdagrad()]

    assert momentum.momentum_vector is None
    assert momentum.current_arrays is None
    assert all(strategy.m_t is None and strategy.v_t is None for strategy in adaptive)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_carries_no_state_that_checkpoints_do_not_know(name: str) -> None:
    known = {"m_t", "v_t", "momentum_vector", "current_arrays"}

    empty = {attribute for attribute, value in vars(build_strategy(StrategyConfig(name=name))).items() if value is None}

    assert empty <= known | {"train_metrics_aggr_fn", "evaluate_metrics_aggr_fn"}


@pytest.fixture
def message() -> Message:
    from flwr.supercore.task_identity import TaskIdentity

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_task_id", "_run_id", "_node_id"):
            patch.setattr(TaskIdentity, name, 1)
        return Message(RecordDict(), 42, "query")


def imported_names(path: Path) -> list[tuple[str, str]]:
    """(module, name) of every import of a file, wherever in the file it is."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names if alias.name not in PUBLIC_MODULES]
    return found
