"""What a run says of itself in its events: what it is made of, what each site holds, and what it gave."""

from __future__ import annotations

import importlib.metadata
import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from fedforge_runtime import __version__
from fedforge_runtime.config import RunConfig
from fedforge_runtime.data.partition import load_client_rows, load_histograms, load_scanner_shift
from fedforge_runtime.federation.grid import node_name
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.record.comparison import Bounds
from fedforge_runtime.record.provenance import RECORDED_PACKAGES, git_commit
from fedforge_runtime.record.records import ClientRecord, RoundRecord
from fedforge_runtime.telemetry.emitter import Emitter
from monitor.schema import RunBounded, RunDescribed, RunEvaluated, SiteBounded, SiteDescribed, SiteEvaluated

_PARTS = ("accuracy",)
"""Metrics that are parts of the rows behind them, so that they have a binomial's interval."""
_NORMAL_95 = 1.959963984540054


def describe_run(emitter: Emitter, config: RunConfig, inputs: RunInputs) -> None:
    """Say what the attempt is made of, and of each site what it holds where that is known on this machine."""
    data, own = inputs.data, config.federation.site_data == "own"
    partition = config.partition
    emitter.emit(
        RunDescribed,
        round_number=0,
        node_id="server",
        phase=config.phase,
        configuration=config.model_dump(mode="json"),
        artifacts=dict(inputs.keys),
        data={
            "site_data": config.federation.site_data,
            "source": data["source"],
            "official": data["official"],
            "phantom": data["source"] == "phantom",
            "title": data["title"],
            "fingerprint": data["fingerprint"],
            "licence": data["licence"],
            "rows": data["rows"],
            "class_names": inputs.class_names,
        },
        backbone={
            "name": inputs.backbone_name,
            "sha256": inputs.backbone_sha256,
            "trained": inputs.backbone_trained,
            "block_from": inputs.block_from,
        },
        partition=None if own else {"name": partition.name, "parameters": partition.model_dump(mode="json")},
        code={
            "version": __version__,
            "commit": git_commit(),
            "packages": {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES},
        },
    )
    if not own:
        _describe_sites(emitter, config, inputs)


def _describe_sites(emitter: Emitter, config: RunConfig, inputs: RunInputs) -> None:
    folder = inputs.partition_folder
    counts, _ = load_histograms(folder)
    for client in config.sites:
        rows, scanner = load_client_rows(folder, client), load_scanner_shift(folder, client)
        emitter.emit(
            SiteDescribed,
            round_number=0,
            node_id=node_name(client),
            rows=len(rows.train),
            validation_rows=len(rows.validation),
            rows_per_class=counts[client].tolist(),
            scanner=scanner.describe() if scanner else None,
        )


def describe_own_data(emitter: Emitter, records: Sequence[RoundRecord], *, described: Collection[int]) -> None:
    """Say of sites with data of their own how many rows they have reported, but of those that have said it themselves.

    Args:
        described: sites that have, with what they say of classes; others are of an earlier version, or their word was
            lost.
    """
    for client, (_, record) in sorted(_last_of_each(records).items()):
        if client not in described:
            emitter.emit(
                SiteDescribed,
                round_number=0,
                node_id=node_name(client),
                rows=record.rows,
                validation_rows=record.validation_rows,
            )


def evaluate_sites(emitter: Emitter, records: Sequence[RoundRecord]) -> None:
    """Say of each site how the model of its last round does on its validation rows, as it has reported."""
    for client, (number, record) in sorted(_last_of_each(records).items()):
        metrics = record.global_metrics
        emitter.emit(
            SiteEvaluated,
            round_number=records[-1].round,
            node_id=node_name(client),
            metrics=metrics,
            rows=record.validation_rows,
            last_round=number,
            local_metrics=record.local_metrics,
            intervals={
                name: wilson_interval(metrics[name], record.validation_rows)
                for name in _PARTS
                if name in metrics and record.validation_rows
            },
        )


def _last_of_each(records: Sequence[RoundRecord]) -> dict[int, tuple[int, ClientRecord]]:
    return {client.client: (record.round, client) for record in records for client in record.clients}


def wilson_interval(part: float, rows: int) -> dict[str, float]:
    """Where the true part lies, at 95 %, when `part` of `rows` was found (Wilson, JASA 22, 1927)."""
    square = _NORMAL_95**2
    middle = (part + square / (2 * rows)) / (1 + square / rows)
    half = _NORMAL_95 / (1 + square / rows) * math.sqrt(part * (1 - part) / rows + square / (4 * rows**2))
    return {"low": max(0.0, middle - half), "high": min(1.0, middle + half)}


def evaluate_run(emitter: Emitter, evaluation: Mapping[str, Any], *, round_number: int, model_sha256: str) -> None:
    """Say how the final model does on the test split.

    Args:
        evaluation: of `learning.scores.evaluation_of`.
    """
    emitter.emit(RunEvaluated, round_number=round_number, node_id="server", model_sha256=model_sha256, **evaluation)


def bound_run(emitter: Emitter, bounds: Bounds, *, round_number: int) -> None:
    """Say what the run's scores lie between."""
    for site in bounds["local"]:
        emitter.emit(
            SiteBounded,
            round_number=round_number,
            node_id=node_name(site["client"]),
            metrics=site["test"],
            rows=site["rows"],
        )
    emitter.emit(
        RunBounded,
        round_number=round_number,
        node_id="server",
        budget_epochs=bounds["budget_epochs"],
        centralized=bounds["centralized"]["test"],
        closed_form=bounds["closed_form"]["test"],
        sites=len(bounds["local"]),
        local=dict(_spreads([site["test"] for site in bounds["local"]])),
    )


def _spreads(models: Sequence[Mapping[str, float]]) -> Iterator[tuple[str, dict[str, float]]]:
    for name in dict.fromkeys(name for scores in models for name in scores):
        values = [scores[name] for scores in models if name in scores]
        yield name, {"lowest": min(values), "median": statistics.median(values), "highest": max(values)}
