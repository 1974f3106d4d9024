"""A packed message is the same message in one record."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from fedforge_runtime.federation.packing import is_packed, pack, packing_mod, unpack
from fedforge_runtime.flower import protocol
from fedforge_runtime.flower.messages import TaskIdentity

VALUES = hn.arrays(st.sampled_from(["<f4", "<f8", "<i8"]), hn.array_shapes(max_dims=3, max_side=4), elements=st.just(3))


@pytest.fixture(autouse=True, scope="module")
def identity() -> Iterator[None]:
    """Who sends; Flower keeps it by process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_task_id", "_run_id", "_node_id"):
            patch.setattr(TaskIdentity, name, 1)
        yield


def message(content: RecordDict) -> Message:
    return Message(content, 7, "train", group_id="3")


def everything(value: np.ndarray) -> RecordDict:
    return RecordDict(
        {
            "arrays": ArrayRecord({"weight": Array(value), "bias": Array(value[..., :1])}),
            "metrics": MetricRecord({"rows": 3, "loss": 1 / 3, "many": [1.5, -0.0]}),
            "config": ConfigRecord({"text": "ä", "flag": True, "bytes": b"\0\1"}),
        }
    )


@given(VALUES)
def test_unpacking_gives_back_every_record_to_the_bit(value: np.ndarray) -> None:
    original = message(everything(value))

    received = unpack(pack(original)).content

    assert received.metric_records == original.content.metric_records
    assert received.config_records == original.content.config_records
    for name, array in original.content.array_records["arrays"].items():
        same = received.array_records["arrays"][name].numpy()
        assert same.dtype == array.numpy().dtype
        np.testing.assert_array_equal(same, array.numpy())
    assert list(received.array_records["arrays"]) == list(original.content.array_records["arrays"])


def test_a_packed_message_is_three_objects_whatever_it_holds() -> None:
    original = message(everything(np.ones((2, 3), np.float32)))

    assert len(protocol.get_all_nested_objects(original)) > 6
    assert len(protocol.get_all_nested_objects(pack(original))) == 3


def test_what_a_message_is_about_stays() -> None:
    original = message(RecordDict())

    packed = pack(original)

    assert packed.metadata.message_type == unpack(packed).metadata.message_type == "train"
    assert (packed.metadata.dst_node_id, packed.metadata.group_id) == (7, "3")


def test_an_error_and_a_plain_message_stay_as_they_are() -> None:
    plain = message(everything(np.zeros((1, 1))))
    error = Message(Error(3, "a reason"), reply_to=plain)

    assert pack(error) is error
    assert unpack(error) is error
    assert unpack(plain) is plain
    assert not is_packed(plain)


@pytest.mark.parametrize("packed", [True, False])
def test_a_client_answers_in_the_way_in_which_it_was_asked(packed: bool) -> None:
    question = message(everything(np.ones((2, 2))))
    context = Context(run_id=1, node_id=7, node_config={}, state=RecordDict(), run_config={})

    def client(asked: Message, _: Context) -> Message:
        assert asked.content.keys() == {"arrays", "metrics", "config"}
        return Message(RecordDict({"answer": ConfigRecord({"text": "here"})}), reply_to=asked)

    reply = packing_mod(pack(question) if packed else question, context, client)

    assert is_packed(reply) == packed
    assert unpack(reply).content.config_records["answer"]["text"] == "here"


def test_an_error_of_a_client_is_not_packed() -> None:
    question = message(RecordDict())
    context = Context(run_id=1, node_id=7, node_config={}, state=RecordDict(), run_config={})

    reply = packing_mod(pack(question), context, lambda asked, _: Message(Error(3, "a reason"), reply_to=asked))

    assert reply.error.reason == "a reason"
