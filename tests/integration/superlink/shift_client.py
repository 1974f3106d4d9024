"""A ClientApp that shifts the model it is given, so that a message that is lost, doubled or torn changes its hash."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    """Which site it is."""
    identity = ConfigRecord({"partition-id": int(context.node_config["partition-id"])})
    return Message(RecordDict({"config": identity}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """The model, half as large and shifted by what the site is and how often it was asked."""
    calls = context.state.config_records.setdefault("calls", ConfigRecord({"count": 0}))
    calls["count"] = int(calls["count"]) + 1
    shift = np.float32(int(context.node_config["partition-id"]) + 0.125 * int(calls["count"]))
    weights = message.content.array_records["model"]["weights"].numpy()
    shifted = ArrayRecord({"weights": Array(weights * np.float32(0.5) + shift)})
    return Message(RecordDict({"model": shifted}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """The mean of the model."""
    mean = float(message.content.array_records["model"]["weights"].numpy().mean())
    return Message(RecordDict({"metrics": MetricRecord({"mean": mean})}), reply_to=message)
