"""What crosses the wire between a federation's nodes and its SuperLink: recorded, decoded, and searched for rows."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse, PushObjectRequest
from numpy.typing import NDArray

from fedforge_runtime.data.sources.datasets import SPLITS
from fedforge_runtime.federation import messages
from fedforge_runtime.federation.packing import unpack
from fedforge_runtime.flower import protocol
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.sites.settings import PARTITION_ID, SETTINGS
from fedforge_runtime.sites.shards import Shard
from monitor.schema import ClientEvaluated, ClientTrainCompleted, ClientTrainStarted, SiteDescribed, event_adapter
from tests.support.patience import PATIENCE_SECONDS

WINDOW = 12
"""So many consecutive bytes of a row are found again wherever they stand: three numbers of a float32 array."""
_LEAST_DISTINCT = 6
"""Windows of fewer different bytes, as of a plain background, mean nothing."""
_FLEET = "/v1/fleet/"
_WITHOUT_CONTENT = ("register-node", "activate-node", "deactivate-node", "send-node-heartbeat", "get-run")
_WITHOUT_CONTENT += ("confirm-message-received",)


@dataclass(frozen=True)
class Exchange:
    """A request of a node and the SuperLink's answer."""

    path: str
    request: bytes
    response: bytes
    taken: bool = True
    """The SuperLink did as asked; else the response says why not, as of a run that was stopped meanwhile."""


class RecordingProxy(ThreadingHTTPServer):
    """A SuperLink's address for nodes, which passes everything on and keeps it; 503 until it knows where to."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.superlink: str | None = None
        self._exchanges: list[Exchange] = []
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def exchanges(self) -> list[Exchange]:
        with self._lock:
            return list(self._exchanges)

    def record(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges.append(exchange)


@contextmanager
def recording_proxy() -> Iterator[RecordingProxy]:
    """A proxy that listens while the block runs."""
    proxy = RecordingProxy()
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RecordingProxy

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.superlink is None:
            self._answer(503, "text/plain", b"not yet")
            return
        connection = http.client.HTTPConnection(self.server.superlink, timeout=PATIENCE_SECONDS)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
            connection.request("POST", self.path, request, headers)
            response = connection.getresponse()
            content = response.read()
        except OSError:
            self._answer(503, "text/plain", b"away")
            return
        finally:
            connection.close()
        self.server.record(Exchange(self.path, request, content, taken=response.status == http.client.OK))
        self._answer(response.status, response.headers.get_content_type(), content)

    def _answer(self, status: int, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@dataclass
class Conversation:
    """What nodes and SuperLink told each other, as the apps at both ends understand it."""

    said: list[RecordDict] = field(default_factory=list)
    """By nodes."""
    failures: list[str] = field(default_factory=list)
    """By nodes, in place of an answer."""
    heard: list[RecordDict] = field(default_factory=list)
    """By nodes."""


def decode(exchanges: Iterable[Exchange]) -> Conversation:
    """Every message, whole; fails on a request that carries something that this does not know to read."""
    sent_objects: dict[str, bytes] = {}
    received_objects: dict[str, bytes] = {}
    sent: dict[str, Any] = {}
    received: dict[str, Any] = {}
    for exchange in exchanges:
        kind = exchange.path.removeprefix(_FLEET)
        if kind == "push-messages":
            for proto in PushMessagesRequest.FromString(exchange.request).messages_list:
                sent[proto.metadata.message_id] = proto
        elif kind == "push-object":
            pushed = PushObjectRequest.FromString(exchange.request)
            sent_objects[pushed.object_id] = pushed.object_content
        elif kind in ("pull-messages", "pull-object") and not exchange.taken:
            continue
        elif kind == "pull-messages":
            for proto in PullMessagesResponse.FromString(exchange.response).messages_list:
                received[proto.metadata.message_id] = proto
        elif kind == "pull-object":
            asked = PullObjectRequest.FromString(exchange.request)
            if content := PullObjectResponse.FromString(exchange.response).object_content:  # none: not there just then
                received_objects[asked.object_id] = content
        else:
            assert kind in _WITHOUT_CONTENT, f"a node asked for {exchange.path}"
    talk = Conversation()
    for message in _whole(sent, sent_objects):
        if message.has_error():
            talk.failures.append(str(message.error.reason))
        else:
            talk.said.append(message.content)
    talk.heard += [message.content for message in _whole(received, received_objects) if message.has_content()]
    return talk


def _whole(protos: Mapping[str, Any], objects: Mapping[str, bytes]) -> Iterator[Message]:
    for message_id in protos:
        if message_id in objects:  # else it was never fetched, or its sender broke off
            message = protocol.inflate_object_from_contents(message_id, dict(objects))
            assert isinstance(message, Message)
            yield unpack(message)


@dataclass(frozen=True)
class ModelShapes:
    """The arrays that a federation may exchange."""

    parameters: Mapping[str, tuple[int, ...]]
    feature_size: int
    classes: int

    @property
    def sums(self) -> dict[str, tuple[int, ...]]:
        return {"total": (self.feature_size,), "total_of_squares": (self.feature_size,)}

    @property
    def moments(self) -> dict[str, tuple[int, ...]]:
        size = self.feature_size + 1
        return {"gram": (size * (size + 1) // 2,), "targets": (size, self.classes)}

    @property
    def standardisation(self) -> dict[str, tuple[int, ...]]:
        return {"mean": (self.feature_size,), "scale": (self.feature_size,)}

    @property
    def dimensions(self) -> set[int]:
        """Every length that these arrays have."""
        every = [self.parameters, self.sums, self.moments, self.standardisation]
        return {length for shapes in every for shape in shapes.values() for length in shape}


def kind_of_answer(content: RecordDict, shapes: ModelShapes) -> str:
    """What a node said: `identity`, `misfit`, `sums`, `moments`, `update` or `evaluation`; fails on anything else."""
    arrays = {name: _shapes(record) for name, record in content.array_records.items()}
    metrics = {name: _numbers(record) for name, record in content.metric_records.items()}
    configs = dict(content.config_records)
    if messages.EVALUATION in configs:
        if messages.EVENTS in configs:
            _check_events(configs.pop(messages.EVENTS))
        assert _numbers(configs.pop(messages.EVALUATION)) <= set(METRIC_NAMES)
        assert not configs, f"unknown records {sorted(configs)}"
        if not arrays:
            assert metrics == {messages.METRICS: {messages.ROWS}}, metrics
            return "evaluation"
        of_training = {messages.ROWS, messages.VALIDATION_ROWS, messages.TRAINING_LOSS, messages.SECONDS}
        assert metrics == {messages.METRICS: of_training}, metrics
        assert arrays in ({messages.ARRAYS: shapes.parameters}, {messages.ARRAYS: shapes.moments}), arrays
        return "update"
    if arrays:
        assert not configs, f"unknown records {sorted(configs)}"
        assert metrics == {messages.METRICS: {messages.ROWS}}, metrics
        if messages.SUMS in arrays:
            assert arrays == {messages.SUMS: shapes.sums}, arrays
            return "sums"
        assert arrays == {messages.MOMENTS: shapes.moments}, arrays
        return "moments"
    assert not metrics, metrics
    assert set(configs) == {messages.CONFIG}, f"unknown records {sorted(configs)}"
    identity = dict(configs[messages.CONFIG])
    assert isinstance(identity.pop(PARTITION_ID), int)
    if not identity:
        return "identity"
    assert isinstance(identity.pop(messages.MISFIT, None), str)
    assert not identity, f"unknown entries {sorted(identity)}"
    return "misfit"


def _check_events(record: ConfigRecord) -> None:
    """Fail unless a node said of its work when it began and ended, and the metrics that its answer has as well; and,
    of data of its own, what it holds without a small count."""
    [lines] = record.values()
    assert isinstance(lines, bytes)
    for line in lines.splitlines():
        event = event_adapter.validate_json(line)
        assert isinstance(event, (ClientTrainStarted, ClientTrainCompleted, ClientEvaluated, SiteDescribed)), event
        if isinstance(event, SiteDescribed):
            assert not set(event.rows_per_class or ()) & {1, 2, 3, 4}, event
            assert event.scanner is None, event
        assert set(event.metrics) <= {"training_loss", *METRIC_NAMES}, event
        assert event.payload_bytes is None, event


def check_question(content: RecordDict, shapes: ModelShapes) -> None:
    """Fail unless a node was told of settings, parameters and standardisation alone."""
    allowed = {messages.ARRAYS: shapes.parameters, messages.STANDARDISATION: shapes.standardisation}
    for name, record in content.array_records.items():
        assert _shapes(record) == allowed[name], name
    assert not content.metric_records
    assert set(content.config_records) <= {SETTINGS, messages.CONFIG}
    assert all(isinstance(value, (int, float)) for value in content.config_records.get(messages.CONFIG, {}).values())
    assert set(content.config_records.get(SETTINGS, {"json": ""})) == {"json"}


def _shapes(record: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: array.numpy().shape for name, array in record.items()}


def _numbers(record: Mapping[str, Any]) -> set[str]:
    """The names in a record of single numbers."""
    assert all(isinstance(value, (int, float)) for value in record.values()), record
    return set(record)


@dataclass(frozen=True)
class Secrets:
    """What nobody but a site may learn of its data."""

    row_counts: frozenset[int]
    """As lengths of an array: one number a row would be told."""
    windows: frozenset[bytes]
    """Consecutive bytes of its features in the usual types, of its pixels and of its image files."""

    @classmethod
    def of(cls, shard: Shard) -> Secrets:
        """Of every row that lies at a site, whether it takes part or not."""
        from fedforge_runtime.data.features.caches import load_features
        from fedforge_runtime.data.sources.datasets import load_dataset, pixel_blocks
        from fedforge_runtime.storage.artifacts import Artifact

        assert shard.inputs.features
        dataset = load_dataset(Artifact("dataset", "", Path(shard.inputs.dataset), created=False))
        counts, windows = {shard.train_rows, shard.validation_rows}, set[bytes]()
        pixels, files = [], []
        for split in SPLITS:
            features, _ = load_features(Path(shard.inputs.features), split)
            counts.add(len(features))
            windows |= windows_of_features(features)
            pixels += list(pixel_blocks(dataset[split]))
            files += dataset[split].with_format("arrow")[:]["image"].combine_chunks().field("bytes").to_pylist()
        return cls(frozenset(counts), frozenset(windows)).with_images(np.concatenate(pixels), files)

    def with_images(self, pixels: NDArray[np.uint8], files: Iterable[bytes]) -> Secrets:
        """These, and images (rows, height, width, channels) with the files that they are in."""
        windows = _windows(pixels.reshape(len(pixels), -1), WINDOW)
        for file in files:
            windows |= _windows(np.frombuffer(file, np.uint8)[np.newaxis], WINDOW)
        return replace(self, windows=self.windows | windows)

    def found_in(self, content: bytes) -> bool:
        """Whether a part of a row stands somewhere in these bytes."""
        return any(content[start : start + WINDOW] in self.windows for start in range(len(content) - WINDOW + 1))

    def dimensions_in(self, content: RecordDict) -> set[int]:
        """The lengths of arrays that are those of the site's rows."""
        lengths = {
            length for record in content.array_records.values() for each in record.values() for length in each.shape
        }
        return lengths & self.row_counts


def windows_of_features(features: NDArray[np.floating[Any]]) -> set[bytes]:
    """The windows of rows (rows, feature_size) as float16, float32 and float64."""
    kinds = (np.float16, np.float32, np.float64)
    return {window for kind in kinds for window in _windows(features.astype(kind), np.dtype(kind).itemsize)}


def _windows(rows: NDArray[Any], step: int) -> set[bytes]:
    found = set[bytes]()
    for row in rows:
        content = row.tobytes()
        found |= {content[start : start + WINDOW] for start in range(0, len(content) - WINDOW + 1, step)}
    return {window for window in found if len(set(window)) >= _LEAST_DISTINCT}


def leaks(exchanges: Sequence[Exchange], secrets: Mapping[int, Secrets]) -> list[str]:
    """Where a site's rows stand in what was sent, in either direction, and arrays as long as its rows."""
    found = [
        f"{exchange.path} {part} holds a row of site {site}"
        for exchange in exchanges
        for part in ("request", "response")
        for site, secret in secrets.items()
        if secret.found_in(getattr(exchange, part))
    ]
    for content in decode(exchanges).said:
        for site, secret in secrets.items():
            lengths = sorted(secret.dimensions_in(content))
            found += [f"an array has length {length}, as the rows of site {site}" for length in lengths]
    return found
