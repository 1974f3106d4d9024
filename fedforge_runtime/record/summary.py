"""A run as one JSON object: what `--json` prints and the tables show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

from fedforge_runtime.config import Mode, SiteData, read_run_config
from fedforge_runtime.record.comparison import Bounds
from fedforge_runtime.record.documents import Data, RunDocuments, read_documents
from fedforge_runtime.record.records import RoundRecord
from fedforge_runtime.record.stages import carried_over
from fedforge_runtime.record.state import State
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import latest_sentence
from monitor.schema import STAND_INS, StandIn, stand_ins


class RoundSummary(TypedDict):
    """`RoundRecord` without its clients."""

    round: int
    mode: Mode
    model_sha256: str
    participants: list[int]
    failures: dict[int, str]
    seconds: float
    bytes_sent: int
    bytes_received: int
    training_loss: float
    validation_metrics: dict[str, float]


class ClientSummary(TypedDict):
    """The last `ClientRecord` of a client; its bytes are those of all rounds."""

    client: int
    rows: int
    validation_rows: int
    training_loss: float
    seconds: float
    round_trip_seconds: float
    bytes_sent: int
    bytes_received: int
    local_metrics: dict[str, float]
    global_metrics: dict[str, float]
    rounds: int
    """In how many it took part."""
    last_round: int


class BackboneSummary(TypedDict):
    """What the features are of."""

    name: str
    trained: bool


class Origin(TypedDict):
    """What stands beside every score, where it is known."""

    site_data: SiteData
    data: Data | None
    """Where the sites bring their own data, those that the model is scored on."""
    backbone: BackboneSummary | None


class RunSummary(Origin):
    """What an unfinished run does not have yet, or is damaged, is `None` or empty; `damaged` names the latter."""

    run_id: str
    phase: str
    state: State
    attempt: int
    reason: str
    """Why it stopped or failed."""
    latest: str | None
    """The newest event in a sentence."""
    engine: str
    strategy: str
    seed: int
    mode: Mode
    head_rounds: int
    block_from: str | None
    carried_over: str
    rounds_completed: int
    rounds_total: int
    model_sha256: str | None
    metrics: dict[str, float]
    """On the test split."""
    bounds: Bounds
    clients: list[ClientSummary]
    rounds: list[RoundSummary]
    seconds: dict[str, float]
    artifacts: dict[str, str]
    """Paths, of those that are there."""
    damaged: list[str]
    """A sentence for each file, or lines of one, that was left out."""


def summarise_run(folder: RunFolder, documents: RunDocuments | None = None) -> RunSummary:
    """What a run is, how far it is, and what it gave.

    Args:
        documents: of the folder, where they were read already.
    """
    config = read_run_config(folder.config)
    documents = documents or read_documents(folder)
    state, records, inputs = documents.state, documents.records, documents.inputs
    return {
        "run_id": folder.run_id,
        "phase": config.phase,
        "state": state.state,
        "attempt": state.attempt,
        "reason": state.reason,
        "latest": latest_sentence(folder.events),
        "engine": config.runtime.engine,
        "strategy": config.federation.strategy.name,
        "seed": config.seed,
        "mode": config.learning.mode,
        "head_rounds": config.learning.head_rounds,
        "block_from": config.backbone.block_from,
        "carried_over": carried_over(config),
        "rounds_completed": records[-1].round if records else 0,
        "rounds_total": config.federation.rounds,
        "model_sha256": records[-1].model_sha256 if records else None,
        "site_data": config.federation.site_data,
        "data": _data(inputs.data) if inputs else None,
        "backbone": {"name": inputs.backbone_name, "trained": inputs.backbone_trained} if inputs else None,
        "metrics": documents.metrics["test"] if documents.metrics else {},
        "bounds": documents.bounds,
        "clients": _clients(records),
        "rounds": [cast(RoundSummary, record.model_dump(mode="json", exclude={"clients"})) for record in records],
        "seconds": dict(documents.seconds),
        "artifacts": _artifacts(folder),
        "damaged": documents.damage,
    }


def _data(facts: Mapping[str, Any]) -> Data:
    return {"source": facts["source"], "fingerprint": facts["fingerprint"], "official": facts["official"]}


def stand_ins_of(summary: Origin) -> list[StandIn]:
    """What of a run is not real, as far as it is known."""
    data, backbone = summary["data"], summary["backbone"]
    return stand_ins(
        phantom=data is not None and data["source"] == "phantom", trained=backbone is None or backbone["trained"]
    )


def provenance(summary: Origin) -> str:
    """What a score was made from, in a few words: phantom data and untrained weights never go unnamed."""
    words: list[str] = []
    not_real = stand_ins_of(summary)
    if summary["data"]:
        source, own = summary["data"]["source"], summary["site_data"] == "own"
        shown = STAND_INS["phantom_data"] if "phantom_data" in not_real else source
        words = ["each site's own data", f"scored on {shown}"] if own else [shown]
        words += ["unofficial"] if source == "local" else []
    words += [STAND_INS["untrained_backbone"]] if "untrained_backbone" in not_real else []
    return ", ".join(words)


def _clients(records: list[RoundRecord]) -> list[ClientSummary]:
    last: dict[int, ClientSummary] = {}
    for record in records:
        for client in record.clients:
            row = cast(ClientSummary, {**client.model_dump(mode="json"), "rounds": 1, "last_round": record.round})
            if before := last.get(client.client):
                row["bytes_sent"] += before["bytes_sent"]
                row["bytes_received"] += before["bytes_received"]
                row["rounds"] += before["rounds"]
            last[client.client] = row
    return [last[client] for client in sorted(last)]


def _artifacts(folder: RunFolder) -> dict[str, str]:
    paths = {
        "run": folder.path,
        "model": folder.model,
        "report": folder.report,
        "metrics": folder.metrics,
        "manifest": folder.manifest,
        "rounds": folder.rounds_table,
        "clients": folder.clients_table,
        "events": folder.events,
        "participants": folder.participants,
        "test_predictions": folder.test_predictions,
        "bounds": folder.bounds,
    }
    return {name: str(path) for name, path in paths.items() if path.exists()}
