"""What the model is given of a phase's images: how they are preprocessed, and what the backbone makes of each."""

# Without `from __future__ import annotations`: Dagster reads these annotations.
from pathlib import Path
from typing import Any

import dagster as dg

from fedforge_pipelines import display
from fedforge_pipelines.assets.step import Check, Step, declare, facts_of
from fedforge_pipelines.phases import Phase
from fedforge_runtime.storage.artifacts import read_json


def feature_assets(phase: Phase) -> list[dg.AssetsDefinition]:
    """`preprocessing` and `features` of a phase."""
    return [
        declare(
            phase,
            preprocessing,
            kinds={"huggingface"},
            checks=[Check("label_map_complete", "Every class has a name and a number.", blocking=True)],
        ),
        declare(
            phase,
            features,
            kinds={"pytorch", "huggingface"},
            checks=[
                Check("finite_and_complete", "Every image has its features, and all are numbers.", blocking=True),
            ],
            waits_for=["audit_report"],
            after_phase_before=True,  # here too: what cannot go on without it is not to compute for long first
        ),
    ]


def preprocessing(context: dg.AssetExecutionContext, raw_dataset: dict[str, Any]) -> dg.MaterializeResult:
    """How images become the model's input, exactly as the checkpoint says."""
    step = Step.begin(context)
    made = step.prepare("preprocess")
    step.require_same("raw_dataset", raw_dataset, made["dataset"]["key"])
    folder, names = Path(made["preprocess"]["path"]), facts_of(raw_dataset)["class_names"]
    label_map = read_json(folder / "label_map.json")
    metadata = {
        "processor": dg.MetadataValue.json(read_json(folder / "processor" / "preprocessor_config.json")),
        "label_map": dg.MetadataValue.json(label_map),
    }
    complete = dg.AssetCheckResult(
        check_name="label_map_complete",
        passed=sorted(map(str, label_map["id2label"].values())) == sorted(names),
        metadata={"classes": len(names)},
    )
    return step.result(made["preprocess"], metadata, [complete])


def features(
    context: dg.AssetExecutionContext, preprocessing: dict[str, Any], **upstream: dict[str, Any]
) -> dg.MaterializeResult:
    """What the frozen backbone makes of every image, computed once."""
    step = Step.begin(context)
    made = step.prepare("features")
    step.require_same("preprocessing", preprocessing, made["preprocess"]["key"])
    artifact = made["features"]
    facts = facts_of(artifact)
    rows, finite = display.shape_of_features(Path(artifact["path"]))
    metadata = {
        "backbone": display.backbone(facts["backbone"], trained=facts["trained"]),
        "feature_size": facts["feature_size"],
        "images_per_second": facts["images_per_second"],
        "rows": display.table([{"split": name, "rows": count} for name, count in rows.items()]),
    }
    complete = dg.AssetCheckResult(
        check_name="finite_and_complete",
        passed=finite and rows == facts["rows"],
        metadata={"finite": finite, "rows": str(rows), "expected": str(facts["rows"])},
    )
    return step.result(artifact, metadata, [complete])
