"""The ClientApp: one site's part in statistics, training and evaluation, the same in every engine.

What takes seconds to import is imported inside the handlers: engines load this module in the server's process.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedforge_runtime.clock import monotonic
from fedforge_runtime.federation import messages
from fedforge_runtime.federation.settings import RunSettings
from fedforge_runtime.seeds import derive_seed
from fedforge_runtime.telemetry.emitter import Emitter, Heartbeat
from monitor.schema import ClientEvaluated, ClientTrainCompleted, ClientTrainStarted

app = ClientApp()


@app.query()
def identify(message: Message, context: Context) -> Message:
    """Say which partition this node holds."""
    identity = ConfigRecord({messages.PARTITION_ID: _client(context)})
    return Message(RecordDict({messages.CONFIG: identity}), reply_to=message)


@app.query("statistics")
def statistics(message: Message, context: Context) -> Message:
    """Sums over the site's features, for the federated standardisation."""
    from fedforge_runtime.federation.site import feature_sums, open_site

    settings = _use(context)
    site = open_site(settings.inputs, _client(context))
    return Message(messages.sums_content(feature_sums(settings.inputs, site)), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the model that came with the message on the site's rows and send the result back."""
    from fedforge_runtime.federation.site import build_model, open_site
    from fedforge_runtime.learning.training import train_model

    settings, client = _use(context), _client(context)
    config = message.content.config_records[messages.CONFIG]
    round_number = int(config[messages.ROUND])  # type: ignore[arg-type]
    emitter, node = (
        _emitter(str(settings.folder.events), settings.folder.run_id, settings.attempt),
        f"client-{client}",
    )
    emitter.emit(ClientTrainStarted, round_number=round_number, node_id=node)
    started = monotonic()
    with Heartbeat(emitter, node_id=node, round_number=round_number):
        site = open_site(settings.inputs, client)
        model = build_model(settings.inputs, messages.read_standardisation(message.content))
        model.load_trainable(messages.from_arrays(message.content.array_records[messages.ARRAYS]))
        outcome = train_model(
            model,
            training_rows=site.train,
            validation_rows=site.validation,
            learning=settings.config.learning,
            seed=derive_seed(settings.config.seed, "train", round_number, client),
            proximal_mu=float(config.get("proximal-mu", 0.0)),  # type: ignore[arg-type]
        )
    seconds = monotonic() - started
    emitter.emit(
        ClientTrainCompleted,
        round_number=round_number,
        node_id=node,
        latency_ms=seconds * 1000,
        metrics={"training_loss": outcome.training_loss, **outcome.validation_metrics},
    )
    content = RecordDict(
        {
            messages.ARRAYS: messages.to_arrays(outcome.parameters),
            messages.METRICS: MetricRecord(
                {
                    messages.ROWS: outcome.rows,
                    "validation-rows": len(site.validation),
                    "training-loss": outcome.training_loss,
                    "seconds": seconds,
                }
            ),
            messages.EVALUATION: messages.evaluation_record(outcome.validation_metrics),
        }
    )
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the model that came with the message on the site's validation rows."""
    from fedforge_runtime.federation.site import build_model, open_site
    from fedforge_runtime.learning.training import evaluate_model

    settings, client = _use(context), _client(context)
    round_number = int(message.content.config_records[messages.CONFIG][messages.ROUND])  # type: ignore[arg-type]
    emitter, node = (
        _emitter(str(settings.folder.events), settings.folder.run_id, settings.attempt),
        f"client-{client}",
    )
    started = monotonic()
    with Heartbeat(emitter, node_id=node, round_number=round_number):
        site = open_site(settings.inputs, client)
        model = build_model(settings.inputs, messages.read_standardisation(message.content))
        model.load_trainable(messages.from_arrays(message.content.array_records[messages.ARRAYS]))
        metrics = evaluate_model(model, site.validation, settings.config.learning)
    emitter.emit(
        ClientEvaluated,
        round_number=round_number,
        node_id=node,
        latency_ms=(monotonic() - started) * 1000,
        metrics=metrics,
    )
    content = RecordDict(
        {
            messages.METRICS: MetricRecord({messages.ROWS: len(site.validation)}),
            messages.EVALUATION: messages.evaluation_record(metrics),
        }
    )
    return Message(content, reply_to=message)


def _client(context: Context) -> int:
    return int(context.node_config[messages.PARTITION_ID])


def _use(context: Context) -> RunSettings:
    """The run's settings, with this process set to the run's number of threads."""
    import torch

    settings = RunSettings.from_run_config(context.run_config)
    if torch.get_num_threads() != settings.config.runtime.threads_per_worker:
        torch.set_num_threads(settings.config.runtime.threads_per_worker)
    return settings


@lru_cache(maxsize=4)
def _emitter(log: str, run_id: str, attempt: int) -> Emitter:
    return Emitter(Path(log), run_id=run_id, role="client", attempt=attempt)
