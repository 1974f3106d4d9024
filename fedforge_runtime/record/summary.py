"""A run as one JSON object: what `--json` prints and the tables show."""

from __future__ import annotations

from typing import Any

from fedforge_runtime.config import read_run_config
from fedforge_runtime.record.documents import RunDocuments, read_documents
from fedforge_runtime.record.records import RoundRecord
from fedforge_runtime.record.stages import carried_over
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.latest_event import latest_sentence
from monitor.schema import STAND_INS, StandIn, stand_ins


def summarise_run(folder: RunFolder, documents: RunDocuments | None = None) -> dict[str, Any]:
    """Identity, state, data, metrics on the test split, bounds, clients, rounds, seconds and paths of a run.

    What an unfinished run does not have yet, or is damaged, is `None` or empty; `damaged` names the latter. Where the
    sites bring their own data, `data` are those that the model is scored on.

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
        "data": {key: inputs.data[key] for key in ("source", "fingerprint", "official")} if inputs else None,
        "backbone": {"name": inputs.backbone_name, "trained": inputs.backbone_trained} if inputs else None,
        "metrics": documents.metrics.get("test", {}),
        "bounds": dict(documents.bounds),
        "clients": _clients(records),
        "rounds": [record.model_dump(mode="json", exclude={"clients"}) for record in records],
        "seconds": dict(documents.seconds),
        "artifacts": _artifacts(folder),
        "damaged": documents.damage,
    }


def stand_ins_of(summary: dict[str, Any]) -> list[StandIn]:
    """What of a run is not real, as far as it is known."""
    data, backbone = summary["data"], summary["backbone"]
    return stand_ins(
        phantom=data is not None and data["source"] == "phantom", trained=backbone is None or backbone["trained"]
    )


def provenance(summary: dict[str, Any]) -> str:
    """What a score was made from, in a few words: phantom data and untrained weights never go unnamed."""
    words, not_real = [], stand_ins_of(summary)
    if summary["data"]:
        source = summary["data"]["source"]
        own = summary["site_data"] == "own"
        words += ["each site's own data"] if own else []
        words.append(
            ("scored on " if own else "") + (STAND_INS["phantom_data"] if "phantom_data" in not_real else source)
        )
        if source == "local":
            words.append("unofficial")
    if "untrained_backbone" in not_real:
        words.append(STAND_INS["untrained_backbone"])
    return ", ".join(words)


def _clients(records: list[RoundRecord]) -> list[dict[str, Any]]:
    """The last record of every client, with its bytes over all rounds."""
    last: dict[int, dict[str, Any]] = {}
    for record in records:
        for client in record.clients:
            before = last.get(client.client, {"bytes_sent": 0, "bytes_received": 0, "rounds": 0})
            row = client.model_dump(mode="json")
            row["bytes_sent"] += before["bytes_sent"]
            row["bytes_received"] += before["bytes_received"]
            row["rounds"] = before["rounds"] + 1
            row["last_round"] = record.round
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
