"""What a completed run leaves: metrics.json, manifest.json and the exported model."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from fedforge_runtime import __version__
from fedforge_runtime.artifacts import publish_folder, write_json
from fedforge_runtime.clock import utc_now
from fedforge_runtime.data.preprocess import PROCESSOR_FOLDER
from fedforge_runtime.federation.checkpoint import Checkpoint
from fedforge_runtime.federation.evaluation import evaluate_split
from fedforge_runtime.federation.settings import RunSettings
from fedforge_runtime.processes import WorkerPool

_RECORDED = (
    "accelerate", "datasets", "evaluate", "flwr", "flwr-datasets", "medmnist", "numpy", "safetensors",
    "scikit-learn", "torch", "torchvision", "transformers",
)  # fmt: skip


def publish_results(settings: RunSettings, final: Checkpoint, pool: WorkerPool) -> None:
    """Evaluate the final model on the test split, export it and write the run's manifest."""
    test = pool.submit(evaluate_split, settings, final.parameters, final.standardisation, "test").result()
    _export(settings, final, test, pool)
    inputs = settings.inputs
    write_json(
        settings.folder.metrics,
        {
            "run_id": settings.folder.run_id,
            "model_sha256": final.model_sha256,
            "rounds_completed": final.round,
            "data": provenance_of_data(settings),
            "backbone": {"name": inputs.backbone_name, "trained": inputs.backbone_trained},
            "validation": final.records[-1].validation_metrics,
            "test": test,
        },
    )
    write_json(settings.folder.manifest, _manifest(settings, final))


def provenance_of_data(settings: RunSettings) -> dict[str, Any]:
    """Source, fingerprint and whether the images are the official ones."""
    data = settings.inputs.data
    return {key: data[key] for key in ("source", "fingerprint", "official", "licence", "rows")}


def _manifest(settings: RunSettings, final: Checkpoint) -> dict[str, Any]:
    return {
        "run_id": settings.folder.run_id,
        "attempt": settings.attempt,
        "model_sha256": final.model_sha256,
        "seed": settings.config.seed,
        "config": settings.config.model_dump(mode="json"),
        "inputs": settings.inputs.model_dump(mode="json"),
        "completed_at": utc_now().isoformat(),
        "fedforge": {"version": __version__, "commit": git_commit()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: importlib.metadata.version(name) for name in _RECORDED},
    }


@functools.lru_cache(maxsize=1)
def git_commit() -> str | None:
    """The commit of the checkout that this package is imported from; `None` outside a checkout."""
    git = shutil.which("git")
    root = Path(__file__).resolve().parents[2]
    if not git or not (root / ".git").exists():
        return None
    described = subprocess.run(
        [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--match="],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def _export(settings: RunSettings, final: Checkpoint, test: dict[str, float], pool: WorkerPool) -> None:
    partial = settings.folder.path / ".model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    pool.submit(_export_in_worker, partial, settings, final, _model_card(settings, final, test)).result()
    shutil.rmtree(settings.folder.model, ignore_errors=True)
    publish_folder(partial, settings.folder.model)


def _export_in_worker(folder: Path, settings: RunSettings, final: Checkpoint, card: str) -> None:
    from fedforge_runtime.learning.export import export_model

    export_model(
        folder,
        backbone=Path(settings.inputs.backbone),
        processor=Path(settings.inputs.preprocess) / PROCESSOR_FOLDER,
        parameters=final.parameters,
        standardisation=final.standardisation,
        class_names=settings.inputs.class_names,
        model_card=card,
    )


def _model_card(settings: RunSettings, final: Checkpoint, test: dict[str, float]) -> str:
    inputs, config = settings.inputs, settings.config
    warnings = []
    if inputs.data["source"] == "phantom":
        warnings.append("**Phantom data**: trained and scored on generated images, not on medical ones.")
    elif not inputs.data["official"]:
        warnings.append("The images are not the official archive: scores do not compare with published ones.")
    if not inputs.backbone_trained:
        warnings.append("**Untrained backbone**: its weights are random.")
    scores = "\n".join(f"| {name} | {value:.4f} |" for name, value in test.items())
    return "\n".join(
        [
            f"# {inputs.data['title']}: federated classifier",
            "",
            *(f"> {warning}\n" for warning in warnings),
            f"Run `{settings.folder.run_id}`, phase {config.phase}: {final.round} rounds over "
            f"{config.partition.clients} clients, strategy {config.federation.strategy.name}, seed {config.seed}.",
            "",
            f"- model SHA-256 (trainable tensors): `{final.model_sha256}`",
            f"- data: {inputs.data['source']}, fingerprint `{inputs.data['fingerprint']}`, "
            f"licence {inputs.data['licence']}",
            f"- backbone: {inputs.backbone_name}, `{inputs.backbone_sha256}`",
            "",
            "| test split | |",
            "|---|---|",
            scores,
            "",
            "Not a medical device. Model updates were not protected by secure aggregation.",
            "",
        ]
    )
