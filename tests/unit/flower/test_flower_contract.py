"""What is relied on of Flower's private parts: an upgrade that changes one fails here, by name.

They are behind one door, `fedforge_runtime/engines/flower`, and known nowhere else.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import Strategy

import fedforge_pipelines
import fedforge_runtime
import monitor
from fedforge_runtime import flower as door
from fedforge_runtime.config import StrategyConfig
from fedforge_runtime.federation.strategies import STRATEGIES, build_strategy
from fedforge_runtime.flower import messages, protocol
from tests.support.engines import needs_ray

CHECKED_VERSION = "1.41."
DOOR = Path(door.__file__).parent
PUBLIC_MODULES = {"flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy"}
PRIVATE_ATTRIBUTES = {"_message_id", "_addr", "_insecure", "_cert", "_runtime_client", "_retry_invoker"}
"""Names with an underscore that Flower's objects have, and that it would be easy to reach for."""

METHODS = {
    protocol.FleetHttpClient: [
        "RegisterNode", "ActivateNode", "DeactivateNode", "SendNodeHeartbeat", "PullMessages", "PushMessages",
        "GetRun", "PullObject", "PushObject", "ConfirmMessageReceived", "from_server_address", "close",
    ],
    protocol.ControlHttpClient: [
        "StartRun", "ListRuns", "ListNodes", "RegisterNode", "UnregisterNode", "from_server_address",
    ],
    protocol.RuntimeHttpClient: [
        "AcquireTask", "PullTaskInput", "PushTaskOutput", "SendTaskHeartbeat", "GetNodes", "PushMessages",
        "PullMessages", "PushObject", "PullObject", "ConfirmMessageReceived", "from_server_address", "close",
    ],
    protocol.FlowerError: ["from_json"],
}  # fmt: skip
_CLIENT = ["server_address", "insecure", "root_certificates", "interceptors", "retry_invoker"]
PARAMETERS = {
    "ControlHttpClient.from_server_address": _CLIENT,
    "Fab": ["hash_str", "content", "verifications"],
    "FleetHttpClient.from_server_address": _CLIENT[:-1],
    "NodeAuthHttpInterceptor": ["private_key", "public_key"],
    "RetryInvoker": [
        "wait_gen_factory", "recoverable_exceptions", "max_tries", "max_time", "jitter", "should_giveup",
    ],
    "RuntimeHttpClient.from_server_address": _CLIENT,
    "RuntimeTokenHttpInterceptor": ["token"],
    "RuntimeVersionHttpInterceptor": ["component_name"],
    "constant": ["interval"],
    "context_from_proto": ["context_proto"],
    "fab_to_proto": ["fab"],
    "get_all_nested_objects": ["obj"],
    "get_object_tree": ["obj"],
    "inflate_object_from_contents": ["object_id", "object_contents"],
    "iterate_object_tree": ["tree"],
    "make_message": ["metadata", "content", "error"],
    "message_from_proto": ["message_proto"],
    "message_to_proto": ["message"],
    "no_object_id_recompute": [],
    "public_key_to_bytes": ["public_key"],
    "recorddict_from_proto": ["recorddict_proto"],
    "recorddict_to_proto": ["recorddict"],
    "remove_content_from_message": ["message"],
    "run_from_proto": ["run_proto"],
    "user_config_to_proto": ["user_config"],
}  # fmt: skip
FIELDS = {
    "AcquireTaskRequest": ["supported_task_types"],
    "ActivateNodeRequest": ["public_key", "heartbeat_interval"],
    "ConfirmMessageReceivedRequest": ["node", "run_id", "message_object_id"],
    "DeactivateNodeRequest": ["node_id"],
    "GetNodesRequest": [],
    "GetRunRequest": ["node", "run_id"],
    "ListNodesRequest": [],
    "ListRunsRequest": ["run_id", "limit"],
    "MessageProto": ["metadata", "content", "error"],
    "NodeProto": ["node_id"],
    "ObjectTree": ["object_id", "children"],
    "PullAppMessagesRequest": ["message_ids"],
    "PullAppMessagesResponse": ["messages_list", "message_object_trees"],
    "PullMessagesRequest": ["node"],
    "PullMessagesResponse": ["messages_list", "message_object_trees"],
    "PullObjectRequest": ["node", "run_id", "object_id"],
    "PullObjectResponse": ["object_found", "object_available", "object_content"],
    "PullTaskInputRequest": [],
    "PushAppMessagesRequest": ["messages_list", "message_object_trees"],
    "PushMessagesRequest": ["node", "messages_list", "message_object_trees", "clientapp_runtime_list"],
    "PushObjectRequest": ["node", "run_id", "object_id", "object_content", "session_id"],
    "PushObjectResponse": ["stored"],
    "PushTaskOutputRequest": ["sub_status", "details"],
    "RecordDictProto": [],
    "RegisterNodeFleetRequest": ["public_key"],
    "RegisterNodeRequest": ["public_key", "name"],
    "SendNodeHeartbeatRequest": ["node", "heartbeat_interval"],
    "SendTaskHeartbeatRequest": [],
    "StartRunRequest": ["fab", "override_config"],
    "UnregisterNodeRequest": ["node_id"],
}  # fmt: skip
VALUES = {
    "ApiErrorCode": [
        "FLEET_NODE_ACTIVATION_FAILED", "FLEET_RUN_STATUS_NOT_ALLOWED", "FLEET_SUPERNODE_REGISTRATION_DISABLED",
        "PUBLIC_KEY_ALREADY_IN_USE",
    ],
    "ErrorCode": [
        "CLIENT_APP_CRASHED", "CLIENT_APP_RAISED_EXCEPTION", "MESSAGE_UNAVAILABLE", "NODE_UNAVAILABLE",
    ],
    "Status": ["PENDING"],
    "SubStatus": ["COMPLETED", "FAILED", "STOPPED"],
    "TaskIdentity": ["task_id", "run_id", "node_id"],
    "TaskType": ["SERVER_APP"],
}  # fmt: skip
CONSTANTS = {
    "NODE_KEY_HEADER": str, "SUPERLINK_NODE_ID": int, "TASK_TOKEN_HEADER": str, "TIMESTAMP_HEADER": str,
}  # fmt: skip


def test_flower_is_the_version_that_was_checked() -> None:
    assert importlib.metadata.version("flwr").startswith(CHECKED_VERSION)


@pytest.mark.parametrize("package", [fedforge_pipelines, fedforge_runtime, monitor], ids=lambda each: each.__name__)
def test_nothing_but_the_door_imports_private_parts_of_flower_or_names_them(package: Any) -> None:
    files = [path for path in Path(package.__file__).parent.rglob("*.py") if DOOR not in path.parents]

    found = {path.name: private_imports(path) | (names_in(path) & PRIVATE_ATTRIBUTES) for path in files}

    assert files
    assert {name: what for name, what in found.items() if what} == {}


def test_everything_private_that_is_sent_or_received_with_is_checked_here() -> None:
    taken = {name for module in (messages, protocol) for name in names_taken(Path(module.__file__))}
    checked = {client.__name__ for client in METHODS} | {name.split(".")[0] for name in PARAMETERS}

    assert taken == checked | FIELDS.keys() | VALUES.keys() | CONSTANTS.keys()


@pytest.mark.parametrize("owner", METHODS, ids=lambda owner: owner.__name__)
def test_what_is_called_is_there(owner: type) -> None:
    assert [name for name in METHODS[owner] if not callable(getattr(owner, name, None))] == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_function_takes_what_it_is_given(name: str) -> None:
    owner, _, method = name.partition(".")
    function = getattr(of_the_door(owner), method) if method else of_the_door(owner)

    assert set(PARAMETERS[name]) <= inspect.signature(function).parameters.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_a_request_has_the_fields_that_are_set(name: str) -> None:
    assert set(FIELDS[name]) <= set(of_the_door(name).DESCRIPTOR.fields_by_name.keys())


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_looked_for_is_there(name: str) -> None:
    assert set(VALUES[name]) <= set(dir(of_the_door(name))) | set(dir(type(of_the_door(name))))


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_is_of_its_kind(name: str) -> None:
    assert isinstance(of_the_door(name), CONSTANTS[name])


# Over a SuperLink


def test_flowers_own_grid_says_where_its_superlink_is() -> None:
    from flwr.superlink.grid import HttpGrid

    grid = HttpGrid("127.0.0.1:1", True, None, token="a token")

    assert protocol.superlink_of(grid) == ("127.0.0.1:1", True, None)


def test_a_bundle_is_made_of_files_in_memory() -> None:
    from flwr.cli.build import build_fab_from_files

    assert "files" in inspect.signature(build_fab_from_files).parameters


def test_an_answer_that_is_no_message_is_told_by_the_words_that_are_looked_for() -> None:
    bases = [inspect.getsource(base) for base in protocol.FleetHttpClient.__mro__ if base is not object]

    assert any(protocol.NO_MESSAGE in source for source in bases)


def test_a_superlink_takes_the_heartbeat_that_nodes_send() -> None:
    from flwr.common.constant import HEARTBEAT_MIN_INTERVAL, HEARTBEAT_PATIENCE

    from fedforge_runtime.engines.superlink.node.fleet import HEARTBEAT_SECONDS

    assert HEARTBEAT_SECONDS == HEARTBEAT_MIN_INTERVAL
    assert HEARTBEAT_PATIENCE == 2


def test_a_superlink_takes_middleware_from_the_place_where_ours_is_put() -> None:
    from flwr.supercore.logger import update_console_handler
    from flwr.superlink import extensions, main
    from flwr.superlink.cli import flower_superlink

    assert main.extensions is extensions
    assert "extensions.get_middleware()" in inspect.getsource(main._get_middleware)
    assert {"timestamps", "colored"} <= inspect.signature(update_console_handler).parameters.keys()
    assert callable(flower_superlink)


# Messages


def test_the_task_identity_can_be_set_and_numbers_messages() -> None:
    before = (messages.TaskIdentity._task_id, messages.TaskIdentity._run_id, messages.TaskIdentity._node_id)
    try:
        messages.identify_as(task_id=7, run_id=7, node_id=1)
        message = Message(RecordDict(), 42, "query")
        assert (messages.TaskIdentity.task_id, messages.TaskIdentity.run_id, messages.TaskIdentity.node_id) == (7, 7, 1)
        assert (message.metadata.run_id, message.metadata.src_node_id, message.metadata.dst_node_id) == (7, 1, 42)
    finally:
        messages.TaskIdentity._task_id, messages.TaskIdentity._run_id, messages.TaskIdentity._node_id = before


def test_a_message_takes_the_id_that_a_grid_gives_it_and_replies_name_it(message: Message) -> None:
    messages.give_id(message, "an id")

    reply = Message(RecordDict(), reply_to=message)
    error = Message(Error(0, "the reason"), reply_to=message)

    assert message.metadata.message_id == "an id"
    assert reply.metadata.reply_to_message_id == error.metadata.reply_to_message_id == "an id"
    assert reply.has_content()
    assert not reply.has_error()
    assert error.has_error()
    assert not error.has_content()
    assert error.error.reason == "the reason"


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


# Over Ray


@needs_ray
def test_the_simulation_takes_what_the_ray_engine_passes() -> None:
    from fedforge_runtime.flower.simulation import EventType, _run_simulation

    passed = {
        "num_supernodes", "exit_event", "server_app", "client_app", "server_app_context", "backend_config",
    }  # fmt: skip
    assert passed <= inspect.signature(_run_simulation).parameters.keys()
    assert EventType.FLWR_SIMULATION_RUN_LEAVE


@needs_ray
def test_the_simulation_takes_its_ray_backend_from_where_the_ray_engine_puts_its_own() -> None:
    from flwr.server.superlink.fleet.vce import vce_api

    from fedforge_runtime.engines.ray_backend import SiteActor, SiteBackend
    from fedforge_runtime.flower.simulation import BasicActorPool, RayBackend

    assert "from .backend.raybackend import RayBackend" in inspect.getsource(vce_api.start_vce)
    for name in ("init_ray", "build", "process_message"):
        ours, theirs = (inspect.signature(getattr(each, name)).parameters for each in (SiteBackend, RayBackend))
        assert list(ours) == list(theirs)
    inside = inspect.getsource(RayBackend) + inspect.getsource(BasicActorPool)
    for name in ("client_resources", "actor_kwargs", "init_args_key", "actors_capacity", "create_actor_fn", "pool"):
        assert name in inside
    assert callable(BasicActorPool.add_actors_to_pool)
    assert callable(SiteActor.__ray_metadata__.modified_class.run)


@needs_ray
def test_an_actor_has_the_title_by_which_the_ray_engine_finds_it() -> None:
    from fedforge_runtime.engines import ray
    from fedforge_runtime.engines.ray_backend import SiteActor

    assert f"ray::{SiteActor.__ray_metadata__.class_name}" == ray._ACTOR_TITLE


# Strategies


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
def message() -> Iterator[Message]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_task_id", "_run_id", "_node_id"):
            patch.setattr(messages.TaskIdentity, name, 1)
        yield Message(RecordDict(), 42, "query")


def of_the_door(name: str) -> Any:
    return getattr(messages, name) if hasattr(messages, name) else getattr(protocol, name)


def private_imports(path: Path) -> set[str]:
    """What a file imports of Flower beside its public face, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {(node.module, f"{node.module}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name, alias.name) for alias in node.names}
    return {name for module, name in found if module.split(".")[0] == "flwr" and not PUBLIC_MODULES & {module, name}}


def names_in(path: Path) -> set[str]:
    """Attributes of other objects than itself, and texts."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    attributes = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }
    return texts | attributes


def names_taken(path: Path) -> set[str]:
    """The names under which a module of the door has what it imports of Flower's inside."""
    return {
        alias.asname or alias.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module not in PUBLIC_MODULES and "flwr." in str(node.module)
        for alias in node.names
    }
