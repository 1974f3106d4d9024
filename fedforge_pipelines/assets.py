"""One chain of assets for each phase, from the archive to the accepted model."""

# Without `from __future__ import annotations`: Dagster reads these annotations.
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from fedforge_pipelines import display, pictures
from fedforge_pipelines.carrying import carry_out, hold_request
from fedforge_pipelines.fedforge import Fedforge
from fedforge_pipelines.phases import PHASES, Phase
from fedforge_pipelines.settings import PhaseSettings
from fedforge_runtime.artifacts import MANIFEST, read_json
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.home import RunFolder

if TYPE_CHECKING:
    from fedforge_runtime.baseline import Verdict

POOL = "federated_run"
"""Of which Dagster gives one place: two federated runs never overlap."""
_LEAKS = ("exact-duplicates-across-splits", "near-duplicates-across-splits", "groups-across-splits")
_MOST_DIFFERENCES = 50
_MOST_RETRIES = 3
MADE_IN = "dagster_run"
"""Beside key and path of what is handed over: the Dagster run whose settings it was made with."""
Handed = dict[str, Any]
_HANDED = dg.PythonObjectDagsterType(dict, name="Handed", description="Key and path of an artifact, or of a run.")


def settings_key(phase: str) -> str:
    """The resource that holds a phase's settings."""
    return f"{phase}_settings"


def build_assets(phase: Phase) -> list[dg.AssetsDefinition]:
    """The assets of one phase, with their checks."""
    accepted: dict[str, Any] = (
        {"accepted": dg.AssetIn(dg.AssetKey([phase.after, "global_model"]))} if phase.after else {}
    )
    common: dict[str, Any] = {
        "key_prefix": [phase.name],
        "group_name": phase.name,
        "code_version": "1",
        "dagster_type": _HANDED,
        "owners": ["team:federated"],
        "tags": {"fedforge/phase": phase.name},
        "required_resource_keys": {settings_key(phase.name), "fedforge"},
    }

    def key(name: str) -> dg.AssetKey:
        return dg.AssetKey([phase.name, name])

    def check(asset: str, name: str, *, blocking: bool = False, description: str) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(name, asset=key(asset), blocking=blocking, description=description)

    def tools(context: dg.AssetExecutionContext) -> tuple[Fedforge, PhaseSettings]:
        settings: PhaseSettings = getattr(context.resources, settings_key(phase.name))
        fedforge: Fedforge = context.resources.fedforge
        hold_request(fedforge, settings, context)
        return fedforge, settings

    def prepare(context: dg.AssetExecutionContext, until: str) -> dict[str, Any]:
        fedforge, settings = tools(context)
        return fedforge.ask(context, "prepare", phase.name, *settings.options(fedforge.defaults()), "--until", until)

    def result(
        context: dg.AssetExecutionContext,
        artifact: Handed,
        metadata: display.Metadata,
        checks: list[dg.AssetCheckResult] | None = None,
    ) -> dg.MaterializeResult:
        manifest = read_json(Path(artifact["path"]) / MANIFEST)
        return dg.MaterializeResult(
            value=artifact | {MADE_IN: context.run.run_id},
            metadata=metadata | display.origin(artifact, manifest),
            data_version=dg.DataVersion(display.content_hash(manifest)),
            check_results=checks or [],
        )

    @dg.asset(
        **common,
        kinds={"medmnist", "huggingface"},
        check_specs=[
            check("raw_dataset", "checksum_matches", description="The archive has the published checksum."),
            check("raw_dataset", "split_sizes", description="The splits are as large as published."),
        ],
    )
    def raw_dataset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The images and labels of the three splits, from the official archive, a folder, or generated."""
        try:
            artifact = prepare(context, "dataset")["dataset"]
        except dg.Failure as error:
            if not error.allow_retries or context.retry_number >= _MOST_RETRIES:
                raise
            # Not by a retry policy: that would also try again what somebody has terminated.
            raise dg.RetryRequested(_MOST_RETRIES, seconds_to_wait=2 * 2**context.retry_number) from error
        facts = read_json(Path(artifact["path"]) / MANIFEST)["facts"]
        published = facts.get("published_rows")
        unofficial = dg.AssetCheckSeverity.WARN
        return result(
            context,
            artifact,
            {
                "dagster/row_count": sum(facts["rows"].values()),
                "data": display.data_source(facts),
                "licence": facts["licence"],
                "fingerprint": facts["fingerprint"],
                "rows": display.table([{"split": name, "rows": rows} for name, rows in facts["rows"].items()]),
                "classes": display.table([{"label": n, "class": name} for n, name in enumerate(facts["class_names"])]),
            },
            [
                dg.AssetCheckResult(
                    check_name="checksum_matches",
                    passed=bool(facts["official"]),
                    severity=unofficial,
                    metadata={"source": facts["source"], "file_sha256": str(facts["file_sha256"])},
                ),
                dg.AssetCheckResult(
                    check_name="split_sizes",
                    passed=published is None or published == facts["rows"],
                    severity=unofficial,
                    metadata={"rows": str(facts["rows"])},
                ),
            ],
        )

    @dg.asset(
        **common,
        kinds={"python"},
        check_specs=[
            check(
                "audit_report",
                "no_split_leakage",
                blocking=True,
                description="Nothing blocks, and no image is in two splits, except what was allowed.",
            ),
            check("audit_report", "class_balance", description="The commonest class is not 20 times the rarest."),
        ],
    )
    def audit_report(context: dg.AssetExecutionContext, raw_dataset: dict[str, Any]) -> dg.MaterializeResult:
        """What is wrong with the data: duplicates, leaks between splits, conflicting labels, broken images."""
        from fedforge_runtime.phase_report import audit_report as phase_audit
        from fedforge_runtime.phase_report import send_audit_page, tell_phase

        fedforge, settings = tools(context)
        # Without features, which come after it: else it would find more once they are there, and not be the same again.
        options = (*settings.options(fedforge.defaults()), *settings.audit_options(), "--no-features", "--no-fail")
        report = fedforge.ask(context, "audit", phase.name, *options)
        require_same(phase, "raw_dataset", raw_dataset, report["dataset"]["key"])
        training = next(split for split in report["splits"] if split["split"] == "train")
        findings = [
            {
                "finding": each["id"],
                "severity": each["severity"],
                "count": each["count"],
                "blocks": each["blocking"],
                "message": each["message"],
                "allowed": str((each["allowed"] or {}).get("reason", "")),
            }
            for each in report["findings"]
        ]
        blocking = report["blocking"]
        url = fedforge.monitor_url()
        told = phase_audit(phase.name, report["findings"], links=links_of(fedforge, context))
        tell_phase(url, phase.name, told, context.log.warning)
        page = Path(report["files"]["report.html"])
        send_audit_page(url, report["artifact"]["key"], page, context.log.warning)
        return result(
            context,
            report["artifact"],
            {
                "data": display.data_source(report["dataset"]),
                "report": fedforge.page(
                    Path(report["files"]["report.html"]), f"/api/audits/{report['artifact']['key']}/report"
                ),
                "findings": display.table(findings),
                "offending_pairs": pictures.of_page(report["files"]["report.html"]),
                "class_balance": pictures.class_balance(report),
            },
            [
                dg.AssetCheckResult(
                    check_name="no_split_leakage",
                    passed=not blocking,
                    description=(
                        f"Blocking: {', '.join(blocking)}. Mend the data, or decide with allow_findings, "
                        "allowed_because and allowed_by."
                        if blocking
                        else "Nothing blocks."
                    ),
                    metadata={"blocking": ", ".join(blocking), "leaks": ", ".join(set(blocking) & set(_LEAKS))},
                ),
                dg.AssetCheckResult(
                    check_name="class_balance",
                    passed=training["imbalance_ratio"] is not None and training["imbalance_ratio"] <= 20,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"imbalance_ratio": training["imbalance_ratio"]},
                ),
            ],
        )

    @dg.asset(
        **common,
        kinds={"python"},
        check_specs=[
            check(
                "client_partitions",
                "covers_every_row_once",
                blocking=True,
                description="Every training row is with exactly one site.",
            ),
            check("client_partitions", "skew_within_preset", description="Nothing to be warned of in who holds what."),
        ],
        deps=[key("audit_report")],
    )
    def client_partitions(context: dg.AssetExecutionContext, raw_dataset: dict[str, Any]) -> dg.MaterializeResult:
        """Which rows each site holds, and how unlike the sites are."""
        fedforge, settings = tools(context)
        if bring_their_own(settings, fedforge):
            return nothing_to_spread(raw_dataset, context.run.run_id)
        made = fedforge.ask(context, "partition", phase.name, *settings.options(fedforge.defaults()))
        require_same(phase, "raw_dataset", raw_dataset, made["dataset"]["key"])
        shown, skew = made["partition"], made["partition"]["skew"]
        coverage = read_json(Path(made["artifact"]["path"]) / MANIFEST)["facts"]["coverage"]
        return result(
            context,
            made["artifact"],
            {
                "data": display.data_source(made["dataset"]),
                "partition": f"{shown['name']} {shown['parameters']}: {shown['title']}",
                "seed": shown["seed"],
                "clients": shown["clients"],
                "labels": pictures.label_histograms(skew),
                "skew": display.table(
                    [{name: value for name, value in skew.items() if isinstance(value, (int, float))}]
                ),
                "sites": display.table(
                    [
                        {
                            "client": each["client"],
                            "rows": each["rows"],
                            "jensen_shannon_distance": each["jensen_shannon_distance"],
                            "effective_classes": each["effective_classes"],
                            "missing_classes": len(each["missing_classes"]),
                        }
                        for each in skew["clients"]
                    ]
                ),
            },
            [
                dg.AssetCheckResult(
                    check_name="covers_every_row_once",
                    passed=coverage["rows_without"] == coverage["rows_with_several"] == 0,
                    metadata=dict(coverage),
                ),
                dg.AssetCheckResult(
                    check_name="skew_within_preset",
                    passed=not shown["warnings"],
                    severity=dg.AssetCheckSeverity.WARN,
                    description=" ".join(shown["warnings"]),
                ),
            ],
        )

    @dg.asset(
        **common,
        kinds={"huggingface"},
        check_specs=[
            check(
                "preprocessing", "label_map_complete", blocking=True, description="Every class has a name and a number."
            )
        ],
    )
    def preprocessing(context: dg.AssetExecutionContext, raw_dataset: dict[str, Any]) -> dg.MaterializeResult:
        """How images become the model's input, exactly as the checkpoint says."""
        made = prepare(context, "preprocess")
        require_same(phase, "raw_dataset", raw_dataset, made["dataset"]["key"])
        folder = Path(made["preprocess"]["path"])
        names = read_json(Path(raw_dataset["path"]) / MANIFEST)["facts"]["class_names"]
        label_map = read_json(folder / "label_map.json")
        return result(
            context,
            made["preprocess"],
            {
                "processor": dg.MetadataValue.json(read_json(folder / "processor" / "preprocessor_config.json")),
                "label_map": dg.MetadataValue.json(label_map),
            },
            [
                dg.AssetCheckResult(
                    check_name="label_map_complete",
                    passed=sorted(map(str, label_map["id2label"].values())) == sorted(names),
                    metadata={"classes": len(names)},
                )
            ],
        )

    @dg.asset(
        **common,
        kinds={"pytorch", "huggingface"},
        check_specs=[
            check(
                "features",
                "finite_and_complete",
                blocking=True,
                description="Every image has its features, and all are numbers.",
            )
        ],
        deps=[key("audit_report")],
        ins=accepted,  # asked for here too: what cannot go on without it is not to compute for long first
    )
    def features(
        context: dg.AssetExecutionContext, preprocessing: dict[str, Any], **upstream: dict[str, Any]
    ) -> dg.MaterializeResult:
        """What the frozen backbone makes of every image, computed once."""
        made = prepare(context, "features")
        require_same(phase, "preprocessing", preprocessing, made["preprocess"]["key"])
        artifact = made["features"]
        facts = read_json(Path(artifact["path"]) / MANIFEST)["facts"]
        rows, finite = pictures.shape_of_features(Path(artifact["path"]))
        return result(
            context,
            artifact,
            {
                "backbone": facts["backbone"] + ("" if facts["trained"] else " (UNTRAINED)"),
                "feature_size": facts["feature_size"],
                "images_per_second": facts["images_per_second"],
                "rows": display.table([{"split": name, "rows": count} for name, count in rows.items()]),
            },
            [
                dg.AssetCheckResult(
                    check_name="finite_and_complete",
                    passed=finite and rows == facts["rows"],
                    metadata={"finite": finite, "rows": str(rows), "expected": str(facts["rows"])},
                )
            ],
        )

    @dg.asset(
        **common,
        kinds={"flower", "pytorch"},
        pool=POOL,
        ins=accepted,
        check_specs=[
            check(
                "federated_run",
                "no_metric_regression",
                blocking=True,
                description="No metric is worse than the accepted baseline by more than its tolerance.",
            )
        ],
    )
    def federated_run(
        context: dg.AssetExecutionContext,
        features: dict[str, Any],
        client_partitions: dict[str, Any],
        **upstream: dict[str, Any],
    ) -> dg.MaterializeResult:
        """A Flower server and its clients, from the first round to the last."""
        fedforge, settings = tools(context)
        if {features[MADE_IN], client_partitions[MADE_IN]} != {context.run.run_id}:  # else its settings are these
            made = prepare(context, "features")
            require_same(phase, "features", features, made["features"]["key"])
            spread = made["dataset" if bring_their_own(settings, fedforge) else "partition"]
            require_same(phase, "client_partitions", client_partitions, spread["key"])
        done = carry_out(fedforge, settings, phase, context, upstream.get("accepted"))
        folder = fedforge.opened().run(done["run_id"])
        inputs, verdict = read_json(folder.inputs), compare_with_baseline(fedforge, folder)
        url = fedforge.run_url(done["run_id"])
        return dg.MaterializeResult(
            value={"run_id": done["run_id"], "model_sha256": done["model_sha256"]},
            data_version=dg.DataVersion(done["model_sha256"]),
            metadata={
                "run_id": done["run_id"],
                "model_sha256": done["model_sha256"],
                **({"dashboard": dg.MetadataValue.url(url)} if url else {}),
                "report": fedforge.page(folder.report, f"/api/runs/{done['run_id']}/report"),
                **{f"test/{name}": value for name, value in done["metrics"].items()},
                "data": f"{display.data_source(done['data'])}, fingerprint {done['data']['fingerprint']}",
                "backbone": done["backbone"]["name"] + ("" if done["backbone"]["trained"] else " (UNTRAINED)"),
                "attempt": done["attempt"],
                "engine": done["engine"],
                "started_from": started_from(done),
                "curves": pictures.curves(done["rounds"]),
                "confusion_matrix": pictures.confusion_matrix(folder, inputs["class_names"]),
                "clients": display.table([client_row(each) for each in done["clients"]]),
                "made_from": dg.MetadataValue.md(
                    "\n".join(f"- {name}: `{key}`" for name, key in inputs["keys"].items())
                ),
                "baseline": verdict.explain(),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="no_metric_regression",
                    passed=verdict.passed,
                    severity=dg.AssetCheckSeverity.ERROR if verdict.baseline else dg.AssetCheckSeverity.WARN,
                    description=verdict.explain(),
                    metadata={
                        "baseline": str(verdict.baseline),
                        "tolerance": verdict.tolerance,
                        **(
                            {
                                "differences": display.table(
                                    [
                                        {
                                            "subject": each.subject,
                                            "baseline": str(each.baseline),
                                            "run": str(each.run),
                                        }
                                        for each in verdict.differences[:_MOST_DIFFERENCES]
                                    ]
                                )
                            }
                            if verdict.differences
                            else {}
                        ),
                    },
                )
            ],
        )

    @dg.asset(**common, kinds={"pytorch"})
    def global_model(context: dg.AssetExecutionContext, federated_run: dict[str, Any]) -> dg.MaterializeResult:
        """The model that was accepted; the next phase starts once there is one."""
        from fedforge_runtime.phase_report import accepted_report, blocked_report, tell_phase

        fedforge: Fedforge = context.resources.fedforge
        folder = fedforge.opened().run(federated_run["run_id"])
        verdict = compare_with_baseline(fedforge, folder)
        url, links = fedforge.monitor_url(), links_of(fedforge, context)
        if not verdict.passed:
            reason = f"Not promoted. {verdict.explain()}"
            step = "See what has changed since the baseline; accept the run with: fedforge baseline accept RUN_ID"
            blocked = blocked_report(phase.name, [(reason, step)], source="dagster", links=links)
            tell_phase(url, phase.name, blocked, context.log.warning)
            raise dg.Failure(reason, allow_retries=False)
        scores = read_json(verdict.baseline)["test"] if verdict.baseline else None
        accepted = accepted_report(folder, source="dagster", baseline=scores, links=links)
        tell_phase(url, phase.name, accepted, context.log.warning)
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

    return [
        raw_dataset,
        audit_report,
        client_partitions,
        preprocessing,
        features,
        federated_run,
        global_model,
    ]


def bring_their_own(settings: PhaseSettings, fedforge: Fedforge) -> bool:
    """Whether the sites of a phase have data of their own, so that none are spread over them."""
    return fedforge.defaults().completed(settings.chosen()).get("federation.site_data") == "own"


def nothing_to_spread(raw_dataset: Handed, dagster_run_id: str) -> dg.MaterializeResult:
    """In place of a partition: the dataset, of which the central splits alone are used."""
    said = "Each site brings its own data: what it holds is its own to say."
    return dg.MaterializeResult(
        value=raw_dataset | {MADE_IN: dagster_run_id},
        metadata={"partition": said},
        data_version=dg.DataVersion(raw_dataset["key"]),
        check_results=[
            dg.AssetCheckResult(check_name=name, passed=True, description=said)
            for name in ("covers_every_row_once", "skew_within_preset")
        ],
    )


def require_same(phase: Phase, asset: str, handed: Handed, key: str) -> None:
    """Refuse to go on where an upstream asset was materialized with other settings than these.

    Raises:
        dg.Failure: it was.
    """
    if handed["key"] != key:
        raise dg.Failure(
            f"{phase.name}/{asset} was materialized with other settings (artifact {handed['key']}) than these "
            f"({key}). Materialize it in the same Dagster run, with the same settings.",
            allow_retries=False,
        )


def compare_with_baseline(fedforge: Fedforge, folder: RunFolder) -> "Verdict":
    """The verdict that the check shows and that promotion needs: a Dagster run of its own cannot go around it."""
    from fedforge_runtime.baseline import baselines_folder, compare

    try:
        return compare(folder, baselines_folder(Path(fedforge.baselines) if fedforge.baselines else None))
    except FedForgeError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def links_of(fedforge: Fedforge, context: dg.AssetExecutionContext) -> dict[str, str]:
    """Where Dagster shows the step."""
    url = fedforge.dagster_run_url(context.run.run_id)
    return {"Dagster run": url} if url else {}


def started_from(done: dict[str, Any]) -> str:
    """What an earlier phase gave to a run."""
    if done["block_from"]:
        return f"the last block of {done['block_from']}"
    return "the pretrained backbone; an earlier phase is a promotion gate only"


def client_row(client: dict[str, Any]) -> dict[str, Any]:
    """A client's last round, as one row."""
    return {
        "client": client["client"],
        "rows": client["rows"],
        "training_loss": client["training_loss"],
        "local_accuracy": client["local_metrics"].get("accuracy"),
        "global_accuracy": client["global_metrics"].get("accuracy"),
        "seconds": client["seconds"],
        "bytes_sent": client["bytes_sent"],
        "bytes_received": client["bytes_received"],
    }


ASSETS = {phase.name: build_assets(phase) for phase in PHASES}
"""The assets of each phase, in the curriculum's order."""
