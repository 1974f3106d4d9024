"""The search of recorded traffic finds rows that were sent, however they were hidden; see `tests.e2e.test_own_data`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MessageType, MetricRecord, RecordDict
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import PushObjectRequest
from PIL import Image

from fedforge_runtime.federation import messages
from fedforge_runtime.federation.packing import pack
from fedforge_runtime.flower import protocol
from fedforge_runtime.flower.messages import TaskIdentity, give_id, remove_content_from_message
from fedforge_runtime.learning.sums import FeatureMoments, FeatureSums
from fedforge_runtime.sites.settings import PARTITION_ID
from tests.support.wire import (
    Exchange,
    ModelShapes,
    Secrets,
    check_question,
    decode,
    kind_of_answer,
    leaks,
    windows_of_features,
)

ROWS, FEATURE_SIZE, CLASSES = 37, 12, 3
RANDOM = np.random.default_rng(5)
FEATURES = RANDOM.normal(size=(ROWS, FEATURE_SIZE)).astype(np.float32)
LABELS = RANDOM.integers(0, CLASSES, ROWS)
PIXELS = RANDOM.integers(0, 255, (28, 28, 3), dtype=np.uint8)
PARAMETERS = {
    "classifier.weight": RANDOM.normal(size=(CLASSES, FEATURE_SIZE)).astype(np.float32),
    "classifier.bias": np.zeros(CLASSES, np.float32),
}
SHAPES = ModelShapes({name: value.shape for name, value in PARAMETERS.items()}, FEATURE_SIZE, CLASSES)


@pytest.fixture(autouse=True)
def sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower wants to know who makes a message."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@pytest.fixture
def secrets() -> dict[int, Secrets]:
    secret = Secrets(frozenset({ROWS}), frozenset(windows_of_features(FEATURES)))
    return {2: secret.with_images(PIXELS[np.newaxis], [png(PIXELS)])}


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def update(**more: np.ndarray) -> RecordDict:
    """A site's answer to a train message, with further arrays."""
    arrays = {name: Array(value) for name, value in (PARAMETERS | more).items()}
    numbers: dict[str, int | float] = {"num-examples": 33, "validation-rows": 4, "training-loss": 0.5, "seconds": 1.0}
    return RecordDict(
        {
            messages.ARRAYS: ArrayRecord(arrays),
            messages.METRICS: MetricRecord(dict(numbers)),
            messages.EVALUATION: messages.evaluation_record({"accuracy": 0.5, "loss": 1.0}),
        }
    )


def with_config(**entries: str | bytes) -> RecordDict:
    content = update()
    content["more"] = ConfigRecord(dict(entries))
    return content


def spoken(content: RecordDict, *, packed: bool) -> list[Exchange]:
    """The requests by which a node gives this answer."""
    question = Message(RecordDict(), 7, MessageType.TRAIN)
    give_id(question, "the question")
    reply = Message(content, reply_to=question)
    return sent(pack(reply) if packed else reply)


def sent(reply: Message) -> list[Exchange]:
    give_id(reply, reply.object_id)
    whole = PushMessagesRequest(messages_list=[protocol.message_to_proto(remove_content_from_message(reply))])
    objects = [
        PushObjectRequest(object_id=object_id, object_content=each.deflate())
        for object_id, each in protocol.get_all_nested_objects(reply).items()
    ]
    return [
        Exchange("/v1/fleet/push-messages", whole.SerializeToString(), b""),
        *(Exchange("/v1/fleet/push-object", each.SerializeToString(), b"") for each in objects),
    ]


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "as Flower sends it"])
def test_what_a_node_says_is_read_back_and_has_a_kind(packed: bool, secrets: dict[int, Secrets]) -> None:
    answers = {
        "update": update(),
        "sums": messages.sums_content(FeatureSums.of(FEATURES)),
        "moments": messages.moments_content(FeatureMoments.of(FEATURES, LABELS, CLASSES)),
        "identity": RecordDict({messages.CONFIG: ConfigRecord({PARTITION_ID: 2})}),
        "misfit": RecordDict({messages.CONFIG: ConfigRecord({PARTITION_ID: 2, messages.MISFIT: "no"})}),
        "evaluation": RecordDict(
            {
                messages.METRICS: MetricRecord({messages.ROWS: 4}),
                messages.EVALUATION: messages.evaluation_record({"accuracy": 0.5}),
            }
        ),
    }
    for kind, content in answers.items():
        exchanges = spoken(content, packed=packed)
        [said] = decode(exchanges).said
        assert kind_of_answer(said, SHAPES) == kind
        assert leaks(exchanges, secrets) == []


def test_an_error_is_read_with_its_reason() -> None:
    question = Message(RecordDict(), 7, MessageType.TRAIN)
    give_id(question, "the question")
    talk = decode(sent(Message(Error(1, "out of memory"), reply_to=question)))
    assert (talk.said, talk.failures) == ([], ["out of memory"])


LEAKS: dict[str, Callable[[], RecordDict]] = {
    "features": lambda: update(features=FEATURES),
    "one row of them": lambda: update(extra=FEATURES[11]),
    "some of a row": lambda: update(extra=FEATURES[11, 3:8]),
    "in double precision": lambda: update(extra=FEATURES[4:6].astype(np.float64)),
    "in half precision": lambda: update(extra=FEATURES[4:6].astype(np.float16)),
    "in place of the weights": lambda: update(**{"classifier.weight": FEATURES[:CLASSES]}),
    "bytes in a config": lambda: with_config(notes=FEATURES[0].tobytes()),
    "pixels": lambda: update(extra=PIXELS),
    "a part of an image": lambda: update(extra=PIXELS[5:7]),
    "an image file": lambda: with_config(notes=png(PIXELS)),
    "the sums of a single row": lambda: messages.sums_content(FeatureSums.of(FEATURES[:1])),
}


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "as Flower sends it"])
@pytest.mark.parametrize("leak", LEAKS)
def test_a_row_that_leaves_a_site_is_found(leak: str, packed: bool, secrets: dict[int, Secrets]) -> None:
    assert any(
        "request holds a row of site 2" in found for found in leaks(spoken(LEAKS[leak](), packed=packed), secrets)
    )


def test_a_row_that_another_site_is_told_is_found(secrets: dict[int, Secrets]) -> None:
    heard = Exchange("/v1/fleet/get-run", b"", b"...." + FEATURES[3].tobytes())
    assert leaks([heard], secrets) == ["/v1/fleet/get-run response holds a row of site 2"]


@pytest.mark.parametrize("values", [LABELS, np.zeros((ROWS, 2)), np.zeros((5, ROWS), np.float32)])
def test_a_number_for_each_row_is_found_by_the_length(values: np.ndarray, secrets: dict[int, Secrets]) -> None:
    found = leaks(spoken(update(extra=values), packed=True), secrets)
    assert f"an array has length {ROWS}, as the rows of site 2" in found


@pytest.mark.parametrize(
    "content",
    [
        update(extra=np.zeros(2)),
        update(**{"classifier.weight": np.zeros((ROWS, FEATURE_SIZE), np.float32)}),
        with_config(notes="a diagnosis"),
        RecordDict({messages.CONFIG: ConfigRecord({PARTITION_ID: 2, "name": "Jane"})}),
        RecordDict({messages.METRICS: MetricRecord({messages.ROWS: [1.0, 0.0]}), messages.EVALUATION: ConfigRecord()}),
        RecordDict(
            {"labels": ArrayRecord({"labels": Array(LABELS)}), messages.METRICS: MetricRecord({messages.ROWS: 3})}
        ),
    ],
)
def test_an_answer_of_no_known_kind_is_refused(content: RecordDict) -> None:
    with pytest.raises(AssertionError):
        kind_of_answer(content, SHAPES)


def test_a_site_is_told_of_settings_and_parameters_alone() -> None:
    question = RecordDict(
        {
            messages.ARRAYS: messages.to_arrays(PARAMETERS),
            messages.CONFIG: ConfigRecord({messages.ROUND: 1}),
            "settings": ConfigRecord({"json": "{}"}),
        }
    )
    check_question(question, SHAPES)
    other = replace(SHAPES, parameters={"classifier.weight": (1, 1)})
    with pytest.raises(AssertionError):
        check_question(question, other)
    question["features"] = ArrayRecord({"features": Array(FEATURES)})
    with pytest.raises((AssertionError, KeyError)):
        check_question(question, SHAPES)


def test_a_request_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(AssertionError, match="a node asked for /v1/fleet/upload"):
        decode([Exchange("/v1/fleet/upload", b"", b"")])
