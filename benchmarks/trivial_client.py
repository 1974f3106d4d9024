"""A ClientApp that costs next to nothing, with the events and messages of the real one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedforge_runtime.clock import monotonic
from fedforge_runtime.federation import messages
from fedforge_runtime.sites.settings import PARTITION_ID
from fedforge_runtime.telemetry.emitter import Emitter, Heartbeat
from monitor.schema import ClientEvaluated, ClientTrainCompleted, ClientTrainStarted

EVENTS = "events"
_ROWS = 100

app = ClientApp()


@app.query()
def identify(message: Message, context: Context) -> Message:
    """Say which partition this node holds."""
    identity = ConfigRecord({PARTITION_ID: _client(context)})
    return Message(RecordDict({messages.CONFIG: identity}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Add the client's number to every weight."""
    client, emitter, round_number = _client(context), _emitter(str(context.run_config[EVENTS])), _round(message)
    node = f"client-{client}"
    emitter.emit(ClientTrainStarted, round_number=round_number, node_id=node)
    started = monotonic()
    with Heartbeat(emitter, node_id=node, round_number=round_number):
        model = messages.from_arrays(message.content.array_records[messages.ARRAYS])
        update = {name: value + np.float32(client) for name, value in model.items()}
    seconds = monotonic() - started
    emitter.emit(ClientTrainCompleted, round_number=round_number, node_id=node, latency_ms=seconds * 1000)
    content = RecordDict(
        {
            messages.ARRAYS: messages.to_arrays(update),
            messages.METRICS: MetricRecord(
                {messages.ROWS: _ROWS, "validation-rows": _ROWS, "training-loss": 1.0, "seconds": seconds}
            ),
            messages.EVALUATION: messages.evaluation_record({}),
        }
    )
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Answer with a constant."""
    client, emitter, round_number = _client(context), _emitter(str(context.run_config[EVENTS])), _round(message)
    metrics = {"accuracy": 0.5}
    with Heartbeat(emitter, node_id=f"client-{client}", round_number=round_number):
        messages.from_arrays(message.content.array_records[messages.ARRAYS])
    emitter.emit(ClientEvaluated, round_number=round_number, node_id=f"client-{client}", metrics=metrics)
    content = RecordDict(
        {
            messages.METRICS: MetricRecord({messages.ROWS: _ROWS}),
            messages.EVALUATION: messages.evaluation_record(metrics),
        }
    )
    return Message(content, reply_to=message)


def _client(context: Context) -> int:
    return int(context.node_config[PARTITION_ID])


def _round(message: Message) -> int:
    return int(message.content.config_records[messages.CONFIG][messages.ROUND])  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _emitter(log: str) -> Emitter:
    return Emitter(Path(log), run_id="overhead", role="client")
