"""`report.html`: everything that is known of one run, on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedforge_runtime.config import RunConfig, read_run_config
from fedforge_runtime.data.sources.catalogue import licence_restriction
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.learning.predictions import read_predictions
from fedforge_runtime.learning.scores import Confidence, bootstrap_seed
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.record.documents import Manifest, read_documents
from fedforge_runtime.record.records import RoundRecord
from fedforge_runtime.record.state import read_failures
from fedforge_runtime.record.summary import ClientSummary, RunSummary, provenance, summarise_run
from fedforge_runtime.reporting.page import ABSENT, Highlight, Table, bounds, metric, render_page, score
from fedforge_runtime.reporting.partition_page import read_partition
from fedforge_runtime.reporting.run_scores import bounds_section, test_section
from fedforge_runtime.reporting.run_training import clients_section, rounds_section
from fedforge_runtime.storage.artifacts import write_atomically
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.wording import count, duration, size

Facts = dict[str, str]


def write_report(folder: RunFolder) -> Path:
    """Write the run's `report.html` atomically, from the files of the run folder and its partition alone.

    A run that is not completed gets a page of what there is, which says so. Needs no torch; takes one to three
    seconds, most of it for the bootstrap and the charts.

    Raises:
        DataError: the test predictions are broken.
        OSError: the page cannot be written.
    """
    write_atomically(folder.report, render_report(folder).encode())
    return folder.report


def render_report(folder: RunFolder) -> str:
    """The HTML of a run's report."""
    documents, config = read_documents(folder), read_run_config(folder.config)
    summary, records = summarise_run(folder, documents), documents.records
    inputs, manifest = documents.inputs, documents.manifest
    test = None
    if inputs and folder.test_predictions.exists():
        predictions = read_predictions(folder.test_predictions)
        test = test_section(predictions, inputs.class_names, seed=bootstrap_seed(config.seed))
    validation = records[-1].validation_metrics if records else {}
    return render_page(
        "run.html.j2",
        run=summary,
        title=inputs.data["title"] if inputs else config.phase,
        made_from=_made_from(summary),
        banners=_banners(summary, inputs),
        highlights=_highlights(summary, validation, test.confidence if test else None),
        about=_about(summary, config, inputs, manifest),
        rounds=rounds_section(records) if records else None,
        test=test,
        bounds=bounds_section(validation, summary["metrics"], summary["bounds"]) if summary["bounds"] else None,
        clients=clients_section(summary["clients"]) if summary["clients"] else None,
        partition=read_partition(Path(inputs.partition)) if inputs and inputs.partition else None,
        reported=_reported_rows(summary["clients"]) if config.federation.site_data == "own" else None,
        costs=_costs(summary, records),
        failures=_failures(folder),
        provenance=_provenance(summary, inputs, manifest),
        artifacts=Table(["artifact", "key"], [[*each] for each in inputs.keys.items()]) if inputs else None,
        packages=manifest["packages"] if manifest else {},
        config_yaml=folder.config.read_text(encoding="utf-8"),
    )


def _made_from(summary: RunSummary) -> str:
    """What stands beside every number that was not made from official images and trained weights."""
    official = bool(summary["data"] and summary["data"]["official"] and summary["site_data"] == "partition")
    trained = bool(summary["backbone"] and summary["backbone"]["trained"])
    return "" if official and trained else provenance(summary)


def _banners(summary: RunSummary, inputs: RunInputs | None) -> list[str]:
    banners = [f"DAMAGED: {sentence}" for sentence in summary["damaged"]]
    state, done, total = summary["state"], summary["rounds_completed"], summary["rounds_total"]
    if state in ("requested", "running", "paused"):
        banners.append(f"{state.upper()}: this page shows the {done} of {total} rounds that are done so far.")
    elif state != "completed":
        reason = f": {summary['reason'].rstrip('.')}" if summary["reason"] else ""
        banners.append(
            f"{state.upper()} after {done} of {total} rounds{reason}. There is no final model and no test score. "
            f"Go on with: fedforge resume {summary['run_id']}"
        )
    if inputs is None:
        return banners
    if inputs.data["source"] == "phantom":
        banners.append(
            "PHANTOM DATA: the images are generated. The numbers show that the system works and say nothing about "
            "medical images."
        )
    elif not inputs.data["official"]:
        banners.append(
            "UNOFFICIAL DATA: the images are not the official archive. Scores do not compare with published ones."
        )
    if summary["site_data"] == "own":
        banners.append(
            "EACH SITE'S OWN DATA: the sites trained on images that nobody else has seen. The data that this page "
            "names are those that the model is scored on."
        )
    if not inputs.backbone_trained:
        banners.append("UNTRAINED BACKBONE: its weights are random. Scores are far below those of a trained one.")
    restriction = licence_restriction(inputs.data["licence"]) if summary["site_data"] == "partition" else None
    return [*banners, restriction] if restriction else banners


def _highlights(summary: RunSummary, validation: Mapping[str, float], confidence: Confidence | None) -> list[Highlight]:
    """The test scores; before there are any, those of the last round on the validation split."""
    split, scores = ("test", summary["metrics"]) if summary["metrics"] else ("validation", validation)
    intervals = confidence.metrics if confidence and split == "test" else {}
    return [
        Highlight(
            f"{split} {metric(name)}",
            score(scores[name]),
            f"{bounds(intervals[name])} ({confidence.level:.0%} interval)" if confidence and name in intervals else "",
        )
        for name in METRIC_NAMES
        if name in scores and name != "loss"
    ]


def _about(summary: RunSummary, config: RunConfig, inputs: RunInputs | None, manifest: Manifest | None) -> Facts:
    return {
        "state": summary["state"],
        "rounds": f"{summary['rounds_completed']} of {summary['rounds_total']}",
        "clients": count(len(config.sites)),
        "strategy": summary["strategy"],
        "trained": f"{summary['mode']}: {summary['carried_over']}",
        "images": _images(summary, inputs.data["rows"] if inputs else {}),
        "data": provenance(summary) or ABSENT,
        "licence of the data": inputs.data["licence"] if inputs else ABSENT,
        "completed at": _moment(manifest["completed_at"]) if manifest else ABSENT,
    }


def _images(summary: RunSummary, rows: Mapping[str, int]) -> str:
    central = [f"{count(number)} {split}" for split, number in rows.items()]
    own = ["each site's own for training"] if summary["site_data"] == "own" else []
    return ", ".join([*own, *central]) or ABSENT


def _reported_rows(clients: Sequence[ClientSummary]) -> Table:
    """What the sites say of their own data, when each last took part."""
    rows = [[str(each["client"]), count(each["rows"]), count(each["validation_rows"])] for each in clients]
    return Table(["client", "training rows", "validation rows"], rows, range(1, 3))


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _costs(summary: RunSummary, records: list[RoundRecord]) -> Facts:
    sent, received = sum(each.bytes_sent for each in records), sum(each.bytes_received for each in records)
    parts = {
        "prepare": "preparation, last attempt",
        "features": "features, last attempt",
        "rounds": "rounds, evaluation and export, last attempt",
        "total": "in all, last attempt",
    }
    return {
        "rounds, all attempts": duration(sum(each.seconds for each in records)),
        "training on the clients' clocks": duration(sum(client.seconds for each in records for client in each.clients)),
        **{text: duration(summary["seconds"][part]) for part, text in parts.items() if part in summary["seconds"]},
        "server to clients": size(sent),
        "clients to server": size(received),
        "a round, both ways": size((sent + received) / len(records)) if records else ABSENT,
    }


def _failures(folder: RunFolder) -> Table | None:
    rows = [
        [str(each.round), each.node_id, each.task or ABSENT, str(each.attempt), each.reason]
        for each in read_failures(folder)
    ]
    return Table(["round", "node", "task", "attempt", "reason"], rows, [0, 3]) if rows else None


def _provenance(summary: RunSummary, inputs: RunInputs | None, manifest: Manifest | None) -> Facts:
    recorded: Mapping[str, Any] = manifest or {}
    fedforge = recorded.get("fedforge", {})
    later = "recorded when the run is completed"
    facts = {
        "model SHA-256 (trained tensors)": summary["model_sha256"] or ABSENT,
        "seed": str(summary["seed"]),
        "engine": summary["engine"],
        "attempt": str(summary["attempt"]),
    }
    if inputs:
        facts |= {
            "data source": inputs.data["source"] + ("" if inputs.data["official"] else " (unofficial)"),
            "data fingerprint": inputs.data["fingerprint"],
            "licence of the data": inputs.data["licence"],
            "backbone": inputs.backbone_name + ("" if inputs.backbone_trained else " (random weights)"),
            "backbone SHA-256": inputs.backbone_sha256,
            "last block": f"taken from the run {inputs.block_from}" if inputs.block_from else "the backbone's own",
        }
    return facts | {
        "FedForge": fedforge.get("version", later),
        "commit": fedforge.get("commit") or (later if not manifest else "not in a checkout"),
        "Python": recorded.get("python", later),
        "platform": recorded.get("platform", later),
    }
