"""The ClientApp: one site's part in statistics, training and evaluation, the same in every engine.

What takes seconds to import is imported inside the handlers: engines load this module in the server's process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedforge_runtime.clock import monotonic
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.federation import messages
from fedforge_runtime.federation.grid import node_name
from fedforge_runtime.federation.packing import packing_mod
from fedforge_runtime.learning.sums import FeatureMoments, FeatureSums
from fedforge_runtime.seeds import derive_seed
from fedforge_runtime.sites.class_counts import said_counts
from fedforge_runtime.sites.node_data import SiteRows, events_log, site_rows
from fedforge_runtime.sites.settings import PARTITION_ID, SiteSettings
from fedforge_runtime.telemetry.carried import CarriedEvents
from fedforge_runtime.telemetry.emitter import Emitter, EventSource, Heartbeat
from monitor.schema import ClientEvaluated, ClientTrainCompleted, ClientTrainStarted, EventBase, SiteDescribed

if TYPE_CHECKING:
    from fedforge_runtime.learning.model import Head
    from fedforge_runtime.sites.site import Site

app = ClientApp(mods=[packing_mod])


@app.query()
def identify(message: Message, context: Context) -> Message:
    """Say which site this node is, and why it cannot take part in the run, where it cannot."""
    identity: dict[str, int | str] = {PARTITION_ID: _client(context)}
    try:
        site_rows(SiteSettings.of(message.content), context.node_config)
    except FedForgeError as error:
        identity[messages.MISFIT] = str(error)
    return Message(RecordDict({messages.CONFIG: ConfigRecord(dict(identity))}), reply_to=message)


@app.query("statistics")
def statistics(message: Message, context: Context) -> Message:
    """Sums over the site's features, for the federated standardisation."""
    from fedforge_runtime.sites.site import class_features

    site = _site(message, context)
    features, _ = class_features(site.inputs, site.number)
    return Message(messages.sums_content(FeatureSums.of(features)), reply_to=message)


@app.query("moments")
def moments(message: Message, context: Context) -> Message:
    """Second moments of the site's raw features and labels, for a warm start and its standardisation."""
    from fedforge_runtime.sites.site import class_features

    site = _site(message, context)
    features, labels = class_features(site.inputs, site.number)
    share = FeatureMoments.of(features, labels, len(site.inputs.class_names))
    return Message(messages.moments_content(share), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the model that came with the message on the site's rows and send the result back."""
    from fedforge_runtime.learning.training import train_model

    with _work(message, context) as work:
        work.emit(ClientTrainStarted)
        outcome = train_model(
            work.model,
            training_rows=work.site.train,
            validation_rows=work.site.validation,
            learning=work.settings.learning,
            seed=derive_seed(work.settings.seed, "train", work.round, work.client),
            proximal_mu=float(message.content.config_records[messages.CONFIG].get("proximal-mu", 0.0)),  # type: ignore[arg-type]
        )
        return work.update(
            messages.to_arrays(outcome.parameters), outcome.rows, outcome.training_loss, outcome.validation_metrics
        )


@app.train("closed_form")
def closed_form(message: Message, context: Context) -> Message:
    """Send back the moments of the site's standardised features; its local model is the head that they alone give."""
    from fedforge_runtime.learning.training import evaluate_model
    from fedforge_runtime.sites.site import class_features

    with _work(message, context) as work:
        work.emit(ClientTrainStarted)
        inputs = work.rows.inputs
        features, labels = class_features(inputs, work.rows.number)
        standardisation = messages.read_standardisation(message.content)
        share = FeatureMoments.of(features, labels, len(inputs.class_names)).standardised(standardisation)
        work.model.load_trainable(share.solve(*messages.read_factors(message.content)))
        return work.update(
            messages.moments_arrays(share),
            share.count,
            evaluate_model(work.model, work.site.train, work.settings.learning)["loss"],
            evaluate_model(work.model, work.site.validation, work.settings.learning),
        )


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the model that came with the message on the site's validation rows."""
    from fedforge_runtime.learning.training import evaluate_model

    with _work(message, context) as work:
        metrics = evaluate_model(work.model, work.site.validation, work.settings.learning)
        work.emit(ClientEvaluated, latency_ms=(monotonic() - work.started) * 1000, metrics=metrics)
    return work.reply(
        RecordDict(
            {
                messages.METRICS: MetricRecord({messages.ROWS: len(work.site.validation)}),
                messages.EVALUATION: messages.evaluation_record(metrics),
            }
        )
    )


@dataclass(frozen=True)
class _Work:
    """One message's work at one site."""

    message: Message
    settings: SiteSettings
    rows: SiteRows
    client: int
    round: int
    site: Site
    model: Head
    """With the parameters that came with the message."""
    started: float
    emitter: EventSource

    def emit(self, event_type: type[EventBase], **fields: object) -> None:
        self.emitter.emit(event_type, round_number=self.round, node_id=node_name(self.client), **fields)

    def update(
        self, arrays: ArrayRecord, rows: int, training_loss: float, local_metrics: Mapping[str, float]
    ) -> Message:
        """The answer to a train message, once what the site has to give is there."""
        seconds = monotonic() - self.started
        self._describe()
        self.emit(
            ClientTrainCompleted,
            latency_ms=seconds * 1000,
            metrics={"training_loss": training_loss, **local_metrics},
        )
        content = RecordDict(
            {
                messages.ARRAYS: arrays,
                messages.METRICS: MetricRecord(
                    {
                        messages.ROWS: rows,
                        messages.VALIDATION_ROWS: len(self.site.validation),
                        messages.TRAINING_LOSS: training_loss,
                        messages.SECONDS: seconds,
                    }
                ),
                messages.EVALUATION: messages.evaluation_record(local_metrics),
            }
        )
        return self.reply(content)

    def _describe(self) -> None:
        """Say what the site holds, once in an attempt, where that is known to nobody else."""
        from fedforge_runtime.sites.site import rows_per_class

        if self.settings.own_data is None or _latest.described:
            return
        counts = rows_per_class(self.rows.inputs, self.rows.number, self.settings.learning.mode_in(self.round))
        self.emit(
            SiteDescribed,
            rows=len(self.site.train),
            validation_rows=len(self.site.validation),
            rows_per_class=said_counts(counts),
        )
        _latest.described = True

    def reply(self, content: RecordDict) -> Message:
        """The answer to the message, with what happened meanwhile where it has no other way."""
        if isinstance(self.emitter, CarriedEvents):
            content[messages.EVENTS] = messages.events_record(self.emitter.take())
        return Message(content, reply_to=self.message)


@contextmanager
def _work(message: Message, context: Context) -> Iterator[_Work]:
    """Open the site and the model, with heartbeats until the work is done."""
    from fedforge_runtime.sites.site import build_model, open_site

    started = monotonic()
    settings, client, rows = SiteSettings.of(message.content), _client(context), _site(message, context)
    round_number = int(message.content.config_records[messages.CONFIG][messages.ROUND])  # type: ignore[arg-type]
    emitter = _latest.of(events_log(context.node_config), settings.run_id, settings.attempt)
    with _heartbeat(emitter, client, round_number):
        mode = settings.learning.mode_in(round_number)
        parameters = messages.from_arrays(message.content.array_records[messages.ARRAYS])
        model = build_model(rows.inputs, mode, messages.read_standardisation(message.content), parameters)
        site = open_site(rows.inputs, rows.number, mode)
        yield _Work(message, settings, rows, client, round_number, site, model, started, emitter)


def _heartbeat(emitter: EventSource, client: int, round_number: int) -> AbstractContextManager[object]:
    """While a site is at work; in an answer that it gives at the end, heartbeats would be of no use."""
    if isinstance(emitter, CarriedEvents):
        emitter.take()  # of a task that raised, whose answer was an error
        return nullcontext()
    return Heartbeat(emitter, node_id=node_name(client), round_number=round_number)


def _client(context: Context) -> int:
    return int(context.node_config[PARTITION_ID])


def _site(message: Message, context: Context) -> SiteRows:
    """Where the site's rows are, with this process set to the run's number of threads."""
    import torch

    settings = SiteSettings.of(message.content)
    if torch.get_num_threads() != settings.threads:
        torch.set_num_threads(settings.threads)
    return site_rows(settings, context.node_config)


@dataclass
class _LatestEmitter:
    """The emitter of the attempt that this process works for; that of the former, and its file, are closed."""

    key: tuple[Path | None, str, int] | None = None
    emitter: EventSource | None = None
    described: bool = False
    """Whether the site of this process has said in the attempt what it holds."""

    def of(self, log: Path | None, run_id: str, attempt: int) -> EventSource:
        if self.emitter is None or self.key != (log, run_id, attempt):
            if isinstance(self.emitter, Emitter):
                self.emitter.close()
            if log:
                log.parent.mkdir(parents=True, exist_ok=True)
                self.emitter = Emitter(log, run_id=run_id, role="client", attempt=attempt)
            else:
                self.emitter = CarriedEvents(run_id=run_id, attempt=attempt)
            self.key, self.described = (log, run_id, attempt), False
        return self.emitter


_latest = _LatestEmitter()
