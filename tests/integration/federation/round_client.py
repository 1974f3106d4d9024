"""A ClientApp for the round loop: pseudo-updates that depend only on model, round and site; needs numpy alone.

The run config's `behaviours` is a JSON object from `<round>/<site>/<task>` to what the site does there instead of
answering well: `raise`, `exit`, `hang`, or one of the flawed updates below.
"""

import json
import os
import signal

import numpy as np
from flwr.app import Array, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedforge_runtime.federation import messages
from fedforge_runtime.learning.parameters import Parameters
from fedforge_runtime.learning.sums import FeatureMoments, FeatureSums
from fedforge_runtime.seeds import derive_seed
from fedforge_runtime.sites.settings import PARTITION_ID

app = ClientApp()

FEATURES, CLASSES = 6, 4


class SiteError(Exception):
    """What a site raises when it is told to."""


def rows_of(site: int) -> int:
    """Training rows of a site."""
    return 10 + 3 * site


def features_of(site: int) -> np.ndarray:
    """The rows (rows, FEATURES) over which a site sums for the standardisation."""
    return np.random.default_rng(derive_seed(5, "features", site)).normal(3.0, 2.0, size=(rows_of(site), FEATURES))


def labels_of(site: int) -> np.ndarray:
    """The class ids (rows,) of a site's rows; no site has all classes."""
    return np.arange(rows_of(site)) % (CLASSES - 1) + site % 2


def moments_of(site: int) -> FeatureMoments:
    """What a site shares for the closed form."""
    return FeatureMoments.of(features_of(site), labels_of(site), CLASSES)


@app.query()
def identify(message: Message, context: Context) -> Message:
    """Say which partition this node holds."""
    identity = ConfigRecord({PARTITION_ID: int(context.node_config["partition-id"])})
    return Message(RecordDict({messages.CONFIG: identity}), reply_to=message)


@app.query("statistics")
def statistics(message: Message, context: Context) -> Message:
    """Sums over the site's pseudo-features."""
    behaviour = _behave(context, 0, "statistics")
    sums = FeatureSums.of(features_of(int(context.node_config["partition-id"])))
    content = messages.sums_content(sums)
    if behaviour == "wrong shape":
        content.array_records[messages.SUMS]["total"] = Array(sums.total[:-1])
    if behaviour == "not a number":
        content.array_records[messages.SUMS]["total"] = Array(np.full(FEATURES, np.nan))
    if behaviour == "no sums":
        del content[messages.SUMS]
    return Message(content, reply_to=message)


@app.query("moments")
def moments(message: Message, context: Context) -> Message:
    """Moments of the site's pseudo-features."""
    behaviour = _behave(context, 0, "moments")
    content = messages.moments_content(moments_of(int(context.node_config["partition-id"])))
    if behaviour == "wrong shape":
        del content.array_records[messages.MOMENTS]["targets"]
    return Message(content, reply_to=message)


@app.train("closed_form")
def closed_form(message: Message, context: Context) -> Message:
    """Moments of the site's pseudo-features, as an update."""
    site = int(context.node_config["partition-id"])
    behaviour = _behave(context, _round(message), "train")
    arrays = messages.moments_arrays(moments_of(site))
    if behaviour == "not a number":
        arrays["targets"] = Array(np.full((FEATURES + 1, CLASSES), np.nan))
    if behaviour == "the model":
        arrays = message.content.array_records[messages.ARRAYS]
    content = RecordDict(
        {
            messages.ARRAYS: arrays,
            messages.METRICS: MetricRecord(
                {
                    messages.ROWS: rows_of(site),
                    messages.VALIDATION_ROWS: 2,
                    messages.TRAINING_LOSS: 1.0,
                    messages.SECONDS: 0.0,
                }
            ),
        }
    )
    return Message(content, reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """The model that came, moved a little way in a direction that (round, site) names."""
    site, round_number = int(context.node_config["partition-id"]), _round(message)
    behaviour = _behave(context, round_number, "train")
    before = messages.from_arrays(message.content.array_records[messages.ARRAYS])
    after = {name: value + _step(round_number, site, name, value.shape) for name, value in before.items()}
    rows = {"zero rows": 0, "rows not a number": float("nan")}.get(behaviour, rows_of(site))
    content = RecordDict(
        {
            messages.ARRAYS: messages.to_arrays(_flawed(after, behaviour)),
            messages.METRICS: MetricRecord(
                {
                    messages.ROWS: rows,
                    messages.VALIDATION_ROWS: 2,
                    messages.TRAINING_LOSS: 1.0 + site,
                    messages.SECONDS: 0.0,
                }
            ),
            messages.EVALUATION: messages.evaluation_record({"accuracy": 0.5}),
        }
    )
    if behaviour == "no model":
        del content[messages.ARRAYS]
    if behaviour == "no metrics":
        del content[messages.METRICS]
    if behaviour == "no loss":
        del content.metric_records[messages.METRICS][messages.TRAINING_LOSS]
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """A metric that names the round and the site."""
    site, round_number = int(context.node_config["partition-id"]), _round(message)
    behaviour = _behave(context, round_number, "evaluate")
    content = RecordDict(
        {
            messages.METRICS: MetricRecord({messages.ROWS: 2}),
            messages.EVALUATION: messages.evaluation_record({"accuracy": round_number + site / 10}),
        }
    )
    if behaviour == "text":
        content[messages.EVALUATION] = ConfigRecord({"accuracy": "n/a"})
    if behaviour == "not a number":
        content[messages.EVALUATION] = ConfigRecord({"accuracy": float("nan")})
    if behaviour == "no metrics":
        del content[messages.METRICS]
    return Message(content, reply_to=message)


def _step(round_number: int, site: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng(derive_seed(7, "update", round_number, site, name))
    return generator.normal(0.0, 0.1, size=shape).astype(np.float32)


def _round(message: Message) -> int:
    return int(message.content.config_records[messages.CONFIG][messages.ROUND])


def _behave(context: Context, round_number: int, task: str) -> str:
    site = int(context.node_config["partition-id"])
    behaviour = str(json.loads(str(context.run_config["behaviours"])).get(f"{round_number}/{site}/{task}", ""))
    if behaviour == "raise":
        raise SiteError(f"site {site} was told to raise")
    if behaviour == "exit":
        os._exit(1)
    if behaviour == "hang":
        signal.pause()
    return behaviour


def _flawed(update: Parameters, behaviour: str) -> Parameters:
    weight = update["classifier.weight"]
    if behaviour == "not a number":
        weight[0, 0] = np.nan
    if behaviour == "infinite":
        weight[0, 0] = np.inf
    if behaviour == "wrong shape":
        return {**update, "classifier.weight": weight[:-1]}
    if behaviour == "wrong name":
        return {"head.weight": weight, "classifier.bias": update["classifier.bias"]}
    if behaviour == "missing tensor":
        return {"classifier.weight": weight}
    if behaviour == "additional tensor":
        return {**update, "classifier.scale": weight}
    if behaviour == "double precision":
        return {name: value.astype(np.float64) for name, value in update.items()}
    if behaviour == "text":
        return {**update, "classifier.weight": weight.astype(str)}
    return update
