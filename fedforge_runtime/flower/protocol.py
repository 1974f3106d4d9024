"""Flower's protocol between a SuperLink, its nodes and its runs: clients, requests, and what is sent in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flwr.common.constant import SUPERLINK_NODE_ID, TIMESTAMP_HEADER, Status, SubStatus
from flwr.common.serde import (
    context_from_proto,
    fab_to_proto,
    message_from_proto,
    message_to_proto,
    run_from_proto,
    user_config_to_proto,
)
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.proto.run_pb2 import GetRunRequest
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    GetNodesRequest,
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PullTaskInputRequest,
    PushAppMessagesRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER as NODE_KEY_HEADER
from flwr.supercore.constant import TASK_TOKEN_HEADER, TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.retry import RetryInvoker, constant
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

NO_MESSAGE = "Invalid protobuf response payload"
"""What Flower's clients raise as `ValueError` where an answer is no message of theirs."""

NOT_AUTHENTIC = "Invalid SuperNode authentication"
"""What a SuperLink says of a request that it does not take for the node's."""

__all__ = [
    "NODE_KEY_HEADER",
    "NOT_AUTHENTIC",
    "NO_MESSAGE",
    "SUPERLINK_NODE_ID",
    "TASK_TOKEN_HEADER",
    "TIMESTAMP_HEADER",
    "AcquireTaskRequest",
    "ActivateNodeRequest",
    "ApiErrorCode",
    "ConfirmMessageReceivedRequest",
    "ControlHttpClient",
    "DeactivateNodeRequest",
    "Fab",
    "FleetHttpClient",
    "FlowerError",
    "GetNodesRequest",
    "GetRunRequest",
    "ListNodesRequest",
    "ListRunsRequest",
    "MessageProto",
    "NodeAuthHttpInterceptor",
    "NodeProto",
    "ObjectTree",
    "PullAppMessagesRequest",
    "PullAppMessagesResponse",
    "PullMessagesRequest",
    "PullMessagesResponse",
    "PullObjectRequest",
    "PullObjectResponse",
    "PullTaskInputRequest",
    "PushAppMessagesRequest",
    "PushMessagesRequest",
    "PushObjectRequest",
    "PushObjectResponse",
    "PushTaskOutputRequest",
    "RegisterNodeFleetRequest",
    "RegisterNodeRequest",
    "RetryInvoker",
    "RuntimeHttpClient",
    "RuntimeTokenHttpInterceptor",
    "RuntimeVersionHttpInterceptor",
    "SendNodeHeartbeatRequest",
    "SendTaskHeartbeatRequest",
    "StartRunRequest",
    "Status",
    "SubStatus",
    "TaskType",
    "UnregisterNodeRequest",
    "build_bundle",
    "constant",
    "context_from_proto",
    "fab_to_proto",
    "get_all_nested_objects",
    "get_object_tree",
    "inflate_object_from_contents",
    "iterate_object_tree",
    "message_from_proto",
    "message_to_proto",
    "no_object_id_recompute",
    "public_key_to_bytes",
    "run_from_proto",
    "superlink_of",
    "user_config_to_proto",
]


def superlink_of(grid: Any) -> tuple[str, bool, bytes | None]:
    """Address, whether without TLS, and root certificates of the SuperLink that Flower's own Grid is of."""
    return grid._addr, grid._insecure, grid._cert


def build_bundle(files: Mapping[str, bytes]) -> bytes:
    """A Flower app bundle (FAB) of these files; `pyproject.toml` is one of them."""
    from flwr.cli.build import build_fab_from_files  # all of Flower's command line

    return build_fab_from_files(files)[0]
