"""A ClientApp for the conformance suite: answers, raises, dies, hangs or works long, as the message says."""

import os
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    order = dict(message.content.config_records.get("config", {}))
    site = int(context.node_config["partition-id"])
    behaviour = str(order.get("behaviour", "answer"))
    if order.get("started"):
        Path(str(order["started"])).write_text(str(os.getpid()))
    if behaviour == "raise":
        raise ValueError(f"site {site} was told to raise")
    if behaviour == "die":
        os._exit(1)
    if behaviour == "hang":
        time.sleep(600)
    state = context.state.config_records.setdefault("calls", ConfigRecord({"count": 0}))
    state["count"] = int(state["count"]) + 1
    answer = ConfigRecord(
        {
            "partition-id": site,
            "sites": int(context.node_config["num-partitions"]),
            "echo": str(order.get("echo", "")),
            "setting": str(context.run_config["setting"]),
            "calls": int(state["count"]),
        }
    )
    return Message(RecordDict({"config": answer}), reply_to=message)
