"""Flower's messages beside their public face: their ids, their bytes, and who this process is to them."""

from __future__ import annotations

from flwr.app import Message, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.constant import ErrorCode
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from flwr.supercore.task_identity import TaskIdentity

__all__ = [
    "ErrorCode",
    "TaskIdentity",
    "content_from_bytes",
    "content_to_bytes",
    "give_id",
    "identify_as",
    "make_message",
    "remove_content_from_message",
]


def identify_as(*, task_id: int, run_id: int, node_id: int) -> None:
    """Have this process make its messages as that node, in that run: a message cannot be made before."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = task_id, run_id, node_id


def give_id(message: Message, message_id: str) -> None:
    """Name a message, as whoever sends it does; an answer to it names the same id."""
    message.metadata.__dict__["_message_id"] = message_id


def content_to_bytes(content: RecordDict) -> bytes:
    """Flower's own encoding of a message's content, equal for equal contents."""
    return bytes(recorddict_to_proto(content).SerializeToString(deterministic=True))


def content_from_bytes(encoded: bytes) -> RecordDict:
    """What `content_to_bytes` was given.

    Raises:
        Exception: whatever the decoders make of bytes that somebody else has chosen.
    """
    return recorddict_from_proto(RecordDictProto.FromString(encoded))
