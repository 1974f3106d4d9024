"""What `superlink/flower.py` and `flower_grid.py` take from Flower's inside: a release that changed it fails here.

Whether the names are there is shown by the import.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from fedforge_runtime.federation.superlink import flower, flower_grid

METHODS = {
    flower.FleetHttpClient: [
        "RegisterNode", "ActivateNode", "DeactivateNode", "SendNodeHeartbeat", "PullMessages", "PushMessages",
        "GetRun", "PullObject", "PushObject", "ConfirmMessageReceived", "from_server_address",
    ],
    flower.ControlHttpClient: [
        "StartRun", "ListRuns", "ListNodes", "RegisterNode", "UnregisterNode", "from_server_address",
    ],
    flower.RuntimeHttpClient: [
        "AcquireTask", "PullTaskInput", "PushTaskOutput", "SendTaskHeartbeat", "PushMessages", "PullMessages",
        "PushObject", "PullObject", "ConfirmMessageReceived", "from_server_address",
    ],
    flower_grid.HttpGrid: ["get_node_ids", "push_messages", "pull_messages", "send_and_receive", "set_run", "close"],
}  # fmt: skip
PARAMETERS = {
    flower.FleetHttpClient.from_server_address: ["server_address", "insecure", "root_certificates", "interceptors"],
    flower.ControlHttpClient.from_server_address: ["server_address", "insecure", "root_certificates", "retry_invoker"],
    flower_grid.HttpGrid.__init__: ["runtime_api_address", "insecure", "root_certificates", "token"],
    flower.RetryInvoker.__init__: [
        "wait_gen_factory", "recoverable_exceptions", "max_tries", "max_time", "jitter", "should_giveup",
    ],
    flower.Fab.__init__: ["hash_str", "content", "verifications"],
    flower.NodeAuthHttpInterceptor.__init__: ["private_key", "public_key"],
    flower.RuntimeVersionHttpInterceptor.__init__: ["component_name"],
    flower.RuntimeTokenHttpInterceptor.__init__: ["token"],
    flower.inflate_object_from_contents: ["object_id", "object_contents"],
    flower_grid.build_fab_from_files: ["files"],
}  # fmt: skip
FIELDS = {
    flower.ActivateNodeRequest: ["public_key", "heartbeat_interval"],
    flower.SendNodeHeartbeatRequest: ["node", "heartbeat_interval"],
    flower.PushMessagesRequest: ["node", "messages_list", "message_object_trees", "clientapp_runtime_list"],
    flower.PullMessagesResponse: ["messages_list", "message_object_trees"],
    flower.PullAppMessagesRequest: ["message_ids"],
    flower.PullAppMessagesResponse: ["messages_list", "message_object_trees"],
    flower.PushAppMessagesRequest: ["messages_list", "message_object_trees"],
    flower.PushObjectRequest: ["node", "run_id", "object_id", "object_content", "session_id"],
    flower.PushObjectResponse: ["stored"],
    flower.PullObjectRequest: ["node", "run_id", "object_id"],
    flower.PullObjectResponse: ["object_found", "object_available", "object_content"],
    flower.ConfirmMessageReceivedRequest: ["node", "run_id", "message_object_id"],
    flower.StartRunRequest: ["fab", "override_config"],
    flower.AcquireTaskRequest: ["supported_task_types"],
    flower.PushTaskOutputRequest: ["sub_status", "details"],
    flower.ListRunsRequest: ["run_id", "limit"],
    flower.RegisterNodeRequest: ["public_key", "name"],
}


def test_a_grid_keeps_where_its_superlink_is_under_the_private_names_that_are_used() -> None:
    grid: Any = flower_grid.HttpGrid("127.0.0.1:1", True, None, token="a token")

    assert (grid._addr, grid._insecure, grid._cert) == ("127.0.0.1:1", True, None)


def test_an_answer_that_is_no_message_is_told_by_the_words_that_are_looked_for() -> None:
    bases = [inspect.getsource(base) for base in flower.FleetHttpClient.__mro__ if base is not object]

    assert any(flower.NO_MESSAGE in source for source in bases)


@pytest.mark.parametrize("client", METHODS, ids=lambda client: client.__name__)
def test_a_client_has_the_calls_that_are_made(client: type) -> None:
    missing = [name for name in METHODS[client] if not callable(getattr(client, name, None))]

    assert missing == []


@pytest.mark.parametrize("function", PARAMETERS, ids=lambda function: function.__qualname__)
def test_a_function_takes_what_it_is_given(function: Any) -> None:
    assert set(PARAMETERS[function]) <= inspect.signature(function).parameters.keys()


@pytest.mark.parametrize("message", FIELDS, ids=lambda message: message.__name__)
def test_a_request_has_the_fields_that_are_set(message: Any) -> None:
    assert set(FIELDS[message]) <= set(message.DESCRIPTOR.fields_by_name.keys())


def test_the_grids_patience_can_be_replaced_before_it_connects() -> None:
    grid = flower_grid.HttpGrid("127.0.0.1:1", True, None, token="a token")

    assert isinstance(grid._retry_invoker, flower.RetryInvoker)
    assert grid._client is None
    assert isinstance(inspect.getattr_static(flower_grid.HttpGrid, "_runtime_client"), property)


def test_a_superlink_takes_the_heartbeat_that_nodes_send() -> None:
    from flwr.common.constant import HEARTBEAT_MIN_INTERVAL, HEARTBEAT_PATIENCE

    from fedforge_runtime.federation.superlink.fleet import HEARTBEAT_SECONDS

    assert HEARTBEAT_SECONDS == HEARTBEAT_MIN_INTERVAL
    assert HEARTBEAT_PATIENCE == 2


def test_a_superlink_takes_middleware_from_the_place_where_the_guard_is_put() -> None:
    from flwr.superlink import extensions, main

    assert main.extensions is extensions
    assert "extensions.get_middleware()" in inspect.getsource(main._get_middleware)
