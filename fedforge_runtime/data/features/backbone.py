"""The pretrained image encoder: from the hub, from a folder, or untrained with the same architecture."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fedforge_runtime.errors import BackboneError, sentences
from fedforge_runtime.errors.system import explain
from fedforge_runtime.processes import WorkerPool
from fedforge_runtime.storage.artifacts import ArtifactStore, sha256_file
from fedforge_runtime.storage.home import Home

UNTRAINED = "untrained"
_AUTO = "auto:"
_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
_HUB_TIMEOUT_SECONDS = "5"

# facebook/deit-tiny-patch16-224's architecture and image processor (Touvron et al. 2021).
_DEIT_TINY = {
    "hidden_size": 192,
    "num_hidden_layers": 12,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "image_size": 224,
    "patch_size": 16,
}
_DEIT_PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


@dataclass(frozen=True)
class Backbone:
    """A checked folder with `config.json`, `preprocessor_config.json` and `model.safetensors`."""

    name: str
    path: Path
    trained: bool
    sha256: str
    """Over the three files."""
    hidden_size: int


def resolve_backbone(
    name: str, *, home: Home, store: ArtifactStore, pool: WorkerPool, notify: Callable[[str], None]
) -> Backbone:
    """The backbone that `name` stands for: a hub id, a folder, `untrained`, or `auto:<hub id>`.

    Raises:
        BackboneError: the hub cannot be reached, or the folder is not a ViT checkpoint.
    """
    if name == UNTRAINED:
        return _untrained(store, pool)
    if name.startswith(_AUTO):
        try:
            return _from_hub(name.removeprefix(_AUTO), home, notify)
        except BackboneError as error:
            notify(sentences(error.message, "An untrained backbone stands in for it."))
            return _untrained(store, pool)
    folder = _local_folder(name)
    return read_backbone(name, folder, trained=True) if folder else _from_hub(name, home, notify)


def check_backbone(name: str) -> None:
    """Refuse a folder that is not a ViT checkpoint; nothing is downloaded or made.

    Raises:
        BackboneError: names the file and what it should be.
    """
    if folder := _local_folder(name):
        _check_folder(folder)


def _local_folder(name: str) -> Path | None:
    """The folder that `name` stands for; `None` for `untrained` and the hub."""
    if name == UNTRAINED or name.startswith(_AUTO):
        return None
    folder = Path(name).expanduser()
    is_folder = folder.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1
    return folder.absolute() if is_folder else None


def _from_hub(name: str, home: Home, notify: Callable[[str], None]) -> Backbone:
    # The hub's client reads its limits when it is imported.
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", _HUB_TIMEOUT_SECONDS)
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "30")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    download = partial(snapshot_download, name, allow_patterns=list(_FILES), cache_dir=home.models)
    try:
        cached = Path(download(local_files_only=True))
        if all((cached / file).is_file() for file in _FILES):
            return read_backbone(name, cached, trained=True)
    except LocalEntryNotFoundError:
        pass
    notify(f"Downloading the backbone {name}.")
    try:
        return read_backbone(name, Path(download()), trained=True)
    except BackboneError:
        raise
    except Exception as error:  # the client raises the errors of several HTTP libraries
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackboneError(
            f"the backbone {name!r} cannot be downloaded: {reason.rstrip('.')}.",
            remedy="Give --backbone a folder that holds the checkpoint, or 'untrained' to try things out.",
        ) from error


def read_backbone(name: str, folder: Path, *, trained: bool = True) -> Backbone:
    """The checkpoint in a folder, hashed.

    Raises:
        BackboneError: it is not a ViT checkpoint.
    """
    hidden_size = _check_folder(folder)
    digest = hashlib.sha256("".join(sha256_file(folder / file) for file in _FILES).encode()).hexdigest()
    return Backbone(name=name, path=folder, trained=trained, sha256=digest, hidden_size=hidden_size)


def _check_folder(folder: Path) -> int:
    """The hidden size of the ViT in a folder; `BackboneError` when it holds none."""
    remedy = f"A backbone folder holds {', '.join(_FILES)} of a ViT, as save_pretrained writes them."
    if not folder.is_dir():
        raise BackboneError(f"the backbone folder {folder} does not exist.", remedy=remedy)
    if missing := [file for file in _FILES if not (folder / file).is_file()]:
        raise BackboneError(f"{folder} is not a backbone: it has no {', no '.join(missing)}.", remedy=remedy)
    config = _read_json(folder / "config.json", remedy)
    _read_json(folder / "preprocessor_config.json", remedy)
    hidden_size = config.get("hidden_size")
    if config.get("model_type") != "vit" or not isinstance(hidden_size, int):
        raise BackboneError(f"{folder} holds a model of type {config.get('model_type')!r}, not 'vit'.", remedy=remedy)
    tensors = _tensor_names(folder / "model.safetensors", remedy)
    if not any(tensor.endswith("encoder.layer.0.attention.attention.query.weight") for tensor in tensors):
        raise BackboneError(f"{folder / 'model.safetensors'} has no ViT encoder layers in it.", remedy=remedy)
    return hidden_size


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise BackboneError(f"{path} is not valid JSON", cause=error, remedy=remedy) from error
    if not isinstance(value, dict):
        raise BackboneError(f"{path} is not a JSON object.", remedy=remedy)
    return value


def _tensor_names(path: Path, remedy: str) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        path.open("rb").close()  # safetensors says of every file that it cannot open that there is none
        with safe_open(path, framework="np") as tensors:
            return list(tensors.keys())
    except PermissionError as error:
        raise explain(error) from error
    except (SafetensorError, OSError) as error:
        raise BackboneError(f"{path} cannot be read as safetensors", cause=error, remedy=remedy) from error


def _untrained(store: ArtifactStore, pool: WorkerPool) -> Backbone:
    inputs = {"architecture": _DEIT_TINY, "processor": _DEIT_PROCESSOR, "seed": 0, "code": 1}
    artifact = store.build(
        "backbone", inputs, lambda folder: pool.submit(_write_untrained, folder, _DEIT_TINY).result()
    )
    return read_backbone(UNTRAINED, artifact.path, trained=False)


def _write_untrained(folder: Path, architecture: Mapping[str, int]) -> dict[str, Any]:
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    model = ViTModel(ViTConfig(**architecture), add_pooling_layer=False)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_DEIT_PROCESSOR, indent=2) + "\n")
    return {"trained": False, "parameters": sum(value.numel() for value in model.parameters())}


def carry_block(backbone: Backbone, model: Path, *, store: ArtifactStore, pool: WorkerPool) -> Backbone:
    """`backbone` with the last block and the final norm that an earlier phase has trained.

    It is an artifact, so that a run depends on no other run's folder. Below the last block nothing changes, so the
    tokens that enter it are the same.

    Args:
        model: the exported model of a run, in Hugging Face's format.

    Raises:
        BackboneError: the model stands on another backbone.
    """
    inputs = {"base_sha256": backbone.sha256, "model_sha256": sha256_file(model / "model.safetensors"), "code": 1}
    artifact = store.build(
        "backbone", inputs, lambda folder: pool.submit(_write_merged, folder, backbone.path, model).result()
    )
    return replace(read_backbone(backbone.name, artifact.path), trained=backbone.trained)


def _write_merged(folder: Path, base: Path, model: Path) -> dict[str, Any]:
    import torch
    from transformers import ViTForImageClassification

    from fedforge_runtime.learning.model import is_trunk, open_backbone

    backbone = open_backbone(base)
    donor = ViTForImageClassification.from_pretrained(model, dtype=torch.float32).vit
    own, others = dict(backbone.named_parameters()), dict(donor.named_parameters())
    trunk = [name for name in own if is_trunk(name, len(backbone.layers))]
    if own.keys() != others.keys() or not all(torch.equal(own[name], others[name]) for name in trunk):
        raise BackboneError(
            f"the model {model} does not stand on the backbone {base}: they differ below the last block.",
            remedy="Start from a run that was trained in mode last_block on the same backbone.",
        )
    donor.save_pretrained(folder)
    shutil.copyfile(base / "preprocessor_config.json", folder / "preprocessor_config.json")
    return {"base": str(base), "block_of": str(model)}
