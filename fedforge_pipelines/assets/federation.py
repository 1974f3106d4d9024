"""The federated run of a phase, and whether its model is accepted."""

# Without `from __future__ import annotations`: Dagster reads these annotations.
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from fedforge_pipelines import display
from fedforge_pipelines.assets.step import MADE_IN, POOL, Check, Step, declare
from fedforge_pipelines.carrying import carry_out
from fedforge_pipelines.phases import Phase
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.storage.artifacts import read_json
from fedforge_runtime.storage.home import RunFolder

if TYPE_CHECKING:
    from fedforge_runtime.runs.baseline import Verdict

_MOST_DIFFERENCES = 50


def federation_assets(phase: Phase) -> list[dg.AssetsDefinition]:
    """`federated_run` and `global_model` of a phase."""
    return [
        declare(
            phase,
            federated_run,
            kinds={"flower", "pytorch"},
            checks=[
                Check(
                    "no_metric_regression",
                    "No metric is worse than the accepted baseline by more than its tolerance.",
                    blocking=True,
                )
            ],
            after_phase_before=True,
            pool=POOL,
        ),
        declare(phase, global_model, kinds={"pytorch"}),
    ]


def federated_run(
    context: dg.AssetExecutionContext,
    features: dict[str, Any],
    client_partitions: dict[str, Any],
    **upstream: dict[str, Any],
) -> dg.MaterializeResult:
    """A Flower server and its clients, from the first round to the last."""
    step = Step.begin(context)
    if {features[MADE_IN], client_partitions[MADE_IN]} != {context.run.run_id}:  # else its settings are these
        made = step.prepare("features")
        step.require_same("features", features, made["features"]["key"])
        spread = made["dataset" if step.sites_bring_data else "partition"]
        step.require_same("client_partitions", client_partitions, spread["key"])
    done = carry_out(step.fedforge, step.settings, step.phase, context, upstream.get("accepted"))
    folder = step.fedforge.opened().run(done["run_id"])
    verdict = _compare_with_baseline(step, folder)
    return dg.MaterializeResult(
        value={"run_id": done["run_id"], "model_sha256": done["model_sha256"]},
        data_version=dg.DataVersion(done["model_sha256"]),
        metadata=_facts_of_run(step, done, folder) | {"baseline": verdict.explain()},
        check_results=[_regression(verdict)],
    )


def _facts_of_run(step: Step, done: dict[str, Any], folder: RunFolder) -> display.Metadata:
    """What the page of a federated run shows of it."""
    url, inputs = step.fedforge.run_url(done["run_id"]), read_json(folder.inputs)
    return {
        "run_id": done["run_id"],
        "model_sha256": done["model_sha256"],
        **({"dashboard": dg.MetadataValue.url(url)} if url else {}),
        "report": step.fedforge.page(folder.report, f"/api/runs/{done['run_id']}/report"),
        **{f"test/{name}": value for name, value in done["metrics"].items()},
        "data": f"{display.data_source(done['data'])}, fingerprint {done['data']['fingerprint']}",
        "backbone": display.backbone(done["backbone"]["name"], trained=done["backbone"]["trained"]),
        "attempt": done["attempt"],
        "engine": done["engine"],
        "started_from": f"the last block of {done['block_from']}"
        if done["block_from"]
        else "the pretrained backbone; an earlier phase is a promotion gate only",
        "curves": display.curves(done["rounds"]),
        "confusion_matrix": display.confusion_matrix(folder, inputs["class_names"]),
        "clients": display.table([_client(each) for each in done["clients"]]),
        "made_from": display.keys(inputs["keys"]),
    }


def _client(each: dict[str, Any]) -> dict[str, Any]:
    """A client's last round, as a row of a table."""
    return {
        "client": each["client"],
        "rows": each["rows"],
        "training_loss": each["training_loss"],
        "local_accuracy": each["local_metrics"].get("accuracy"),
        "global_accuracy": each["global_metrics"].get("accuracy"),
        "seconds": each["seconds"],
        "bytes_sent": each["bytes_sent"],
        "bytes_received": each["bytes_received"],
    }


def _regression(verdict: "Verdict") -> dg.AssetCheckResult:
    differences = [
        {"subject": each.subject, "baseline": str(each.baseline), "run": str(each.run)}
        for each in verdict.differences[:_MOST_DIFFERENCES]
    ]
    return dg.AssetCheckResult(
        check_name="no_metric_regression",
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if verdict.baseline else dg.AssetCheckSeverity.WARN,
        description=verdict.explain(),
        metadata={
            "baseline": str(verdict.baseline),
            "tolerance": verdict.tolerance,
            **({"differences": display.table(differences)} if differences else {}),
        },
    )


def global_model(context: dg.AssetExecutionContext, federated_run: dict[str, Any]) -> dg.MaterializeResult:
    """The model that was accepted; the next phase starts once there is one."""
    step = Step.of(context)
    folder = step.fedforge.opened().run(federated_run["run_id"])
    verdict = _compare_with_baseline(step, folder)
    if not verdict.passed:
        reason = f"Not promoted. {verdict.explain()}"
        _tell_blocked(step, reason)
        raise dg.Failure(reason, allow_retries=False)
    _tell_accepted(step, folder, verdict)
    mode = read_json(folder.manifest)["config"]["learning"]["mode"]
    return dg.MaterializeResult(
        value=federated_run | {"mode": mode},
        data_version=dg.DataVersion(federated_run["model_sha256"]),
        metadata={
            "run_id": federated_run["run_id"],
            "model_sha256": federated_run["model_sha256"],
            "model": dg.MetadataValue.path(folder.model),
            "baseline": verdict.explain(),
            "carried_on": "its last block" if mode == "last_block" else "nothing: the chain is a promotion gate",
        },
    )


def _tell_blocked(step: Step, reason: str) -> None:
    from fedforge_runtime.runs.phase_report import blocked_report, tell_phase

    next_step = "See what has changed since the baseline; accept the run with: fedforge baseline accept RUN_ID"
    blocked = blocked_report(step.phase, [(reason, next_step)], source="dagster", links=step.links)
    tell_phase(step.fedforge.monitor_url(), step.phase, blocked, step.context.log.warning)


def _tell_accepted(step: Step, folder: RunFolder, verdict: "Verdict") -> None:
    from fedforge_runtime.runs.phase_report import accepted_report, tell_phase

    scores = read_json(verdict.baseline)["test"] if verdict.baseline else None
    accepted = accepted_report(folder, source="dagster", baseline=scores, links=step.links)
    tell_phase(step.fedforge.monitor_url(), step.phase, accepted, step.context.log.warning)


def _compare_with_baseline(step: Step, folder: RunFolder) -> "Verdict":
    """The verdict that the check shows and that promotion needs: a Dagster run of its own cannot go around it."""
    from fedforge_runtime.runs.baseline import baselines_folder, compare

    named = step.fedforge.baselines
    try:
        return compare(folder, baselines_folder(Path(named) if named else None))
    except FedForgeError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
