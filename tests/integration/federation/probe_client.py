"""A ClientApp for the conformance suite: answers, raises, dies, or works long, as the message says.

The message's record `config` may hold:

- `behaviour`: `answer` (default), `raise`, `exit` and `kill` (the process ends), `work` (computes until told to end);
- `started`: a file to write the process id to before anything else;
- `wait_for`: a file that must exist before the site goes on; with `work`, the file that ends the work;
- `echo`: comes back in the answer.
"""

import os
import signal
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


class ProbeError(Exception):
    """What a site raises when it is told to."""


@app.query()
def query(message: Message, context: Context) -> Message:
    """Do as told and describe what the site knows of itself."""
    order = message.content.config_records.get("config", ConfigRecord())
    site = int(context.node_config["partition-id"])
    behaviour = str(order.get("behaviour", "answer"))
    if order.get("started"):
        _write_whole(Path(str(order["started"])), str(os.getpid()))
    if order.get("wait_for"):
        _wait(Path(str(order["wait_for"])), busy=behaviour == "work")
    if behaviour == "raise":
        raise ProbeError(f"site {site} was told to raise")
    if behaviour == "exit":
        os._exit(1)
    if behaviour == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    state = context.state.config_records.setdefault("calls", ConfigRecord({"count": 0}))
    state["count"] = int(state["count"]) + 1
    answer = ConfigRecord(
        {
            "partition-id": site,
            "num-partitions": int(context.node_config["num-partitions"]),
            "setting": str(context.run_config["setting"]),
            "echo": str(order.get("echo", "nothing")),
            "calls": int(state["count"]),
            "process": os.getpid(),
        }
    )
    return Message(RecordDict({"config": answer}), reply_to=message)


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    partial.rename(path)


def _wait(path: Path, *, busy: bool) -> None:
    while not path.exists():  # for ever: its process ends with its engine
        if busy:
            sum(number * number for number in range(20_000))
        else:
            time.sleep(0.005)
