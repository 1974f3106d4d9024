"""Shards: a site's own rows and nothing else, from which the same bits come as from all rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedforge_runtime.config import Mode, RunConfig, load_run_config
from fedforge_runtime.data.partition import load_client_rows
from fedforge_runtime.data.sources.datasets import load_dataset
from fedforge_runtime.data.sources.phantom import generate
from fedforge_runtime.errors import (
    AuditFailedError,
    BackboneError,
    ConfigError,
    DataError,
    FedForgeError,
    RunStoppedError,
    StorageError,
)
from fedforge_runtime.learning.parameters import initial_head
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.preparation.prepare import prepare, prepare_caches, run_inputs
from fedforge_runtime.preparation.workshop import Workshop
from fedforge_runtime.processes import TEMPLATE, WorkerPool
from fedforge_runtime.runs.own_data import prepare_own_shard
from fedforge_runtime.sites import shards
from fedforge_runtime.sites.settings import DataFit
from fedforge_runtime.sites.shard_handover import hand_over
from fedforge_runtime.sites.shards import (
    SHARD_CLIENT,
    Shard,
    check_shard,
    export_shards,
    find_own_shard,
    find_shard,
    folder_bytes,
    open_shard,
    prepare_shards,
    require_fit,
    site_folder,
)
from fedforge_runtime.sites.site import (
    build_model,
    class_features,
    form_of,
    initial_backbone,
    open_site,
)
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, read_json
from fedforge_runtime.storage.home import Home
from tests.support.listener import Listener

SITES = 3
MODES: list[tuple[Mode, bool]] = [
    ("head_only", True),
    ("last_block", True),
    ("full", True),
    ("head_only", False),
    ("last_block", False),
]
"""What is trained, and whether caches stand in for images."""


@dataclass(frozen=True)
class Made:
    """What a maker of shards has."""

    config: RunConfig
    home: Home
    inputs: RunInputs
    artifact: Artifact

    @property
    def fit(self) -> DataFit:
        return DataFit.of(self.config, self.inputs)

    def folder(self, site: int) -> Path:
        return self.artifact.path / site_folder(site)


Make = Callable[..., Made]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT of two small layers, as `save_pretrained` writes it, beside files that a shard has no use for."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    folder = tmp_path_factory.mktemp("checkpoints") / "small-vit"
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=16
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    (folder / "notes.txt").write_text("of the maker's")
    return folder


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    TEMPLATE.start()
    with WorkerPool(1) as workers:
        yield workers


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, pool: WorkerPool) -> Make:
    """Prepare shards of phantom images; the same home for all, or another one."""
    shared = Home(tmp_path_factory.mktemp("maker") / "home")

    def prepared(
        mode: Mode = "head_only", cached: bool = True, skew: float = 0.0, home: Home = shared, seed: int = 17
    ) -> Made:
        config = load_run_config(
            "blood",
            options={
                "dataset.source": "phantom",
                "dataset.limit": 120,
                "backbone.name": str(checkpoint),
                "partition.clients": SITES,
                "learning.mode": mode,
                "learning.cache_features": cached,
                "seed": seed,
            },
            assignments=[f"partition.feature_skew.strength={skew}"] if skew else [],
        )
        workshop = Workshop(config, home, Listener())
        workshop.pool = pool
        inputs = run_inputs(config, prepare_caches(prepare(workshop), workshop, lambda: None))
        return Made(config, home, inputs, prepare_shards(config, inputs, store=workshop.store))

    return prepared


def bits(rows: Any) -> dict[str, tuple[Any, ...]]:
    """Everything that a site's rows give, to the bit."""
    batch = rows.__getitems__(range(len(rows)))
    return {name: (str(values.dtype), tuple(values.shape), values.numpy().tobytes()) for name, values in batch.items()}


def at_site(inputs: RunInputs, client: int, mode: Mode) -> dict[str, Any]:
    """What a client has of a mode: rows, features of the plain backbone, and the model with its answer to the rows."""
    site = open_site(inputs, client, mode)
    features, labels = class_features(inputs, client)
    parameters = initial_head(inputs.feature_size, len(inputs.class_names), seed=1)
    if mode != "head_only":
        parameters |= initial_backbone(inputs, mode)
    model = build_model(inputs, mode, None, parameters)
    batch = site.validation.__getitems__(range(len(site.validation)))
    del batch["labels"]
    with torch.inference_mode():
        logits = model(**batch)["logits"].numpy().tobytes()
    state = {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    return {
        "train": bits(site.train),
        "validation": bits(site.validation),
        "features": features.tobytes(),
        "labels": labels.tobytes(),
        "model": (type(model).__name__, state),
        "logits": logits,
    }


@pytest.mark.parametrize("skew", [0.0, 1.0], ids=["alike", "scanners differ"])
@pytest.mark.parametrize(("mode", "cached"), MODES)
def test_a_site_has_the_same_bits_from_its_shard_as_from_all_rows(
    mode: Mode, cached: bool, skew: float, make: Make, tmp_path: Path
) -> None:
    made = make(mode, cached, skew)
    modes: set[Mode] = {"head_only", mode}
    expected = {each: [at_site(made.inputs, site, each) for site in range(SITES)] for each in modes}
    shutil.copytree(made.artifact.path, tmp_path / "handed")
    away = made.home.root.rename(made.home.root.with_name("away"))
    try:
        for site in range(SITES):
            shard = find_shard(tmp_path / "handed", key=made.artifact.key, site=site)
            check_shard(shard)
            require_fit(shard, mode, made.fit)
            for each in modes:
                assert form_of(shard.inputs, each) == form_of(made.inputs, each)
                assert at_site(shard.inputs, SHARD_CLIENT, each) == expected[each][site]
    finally:
        away.rename(made.home.root)


@pytest.mark.parametrize(("mode", "cached"), MODES)
def test_a_shard_holds_what_its_mode_reads_and_no_path_of_its_maker(mode: Mode, cached: bool, make: Make) -> None:
    made = make(mode, cached)
    caches = {"features"} if cached else set()
    if cached and mode == "last_block":
        caches.add("tokens")
    images = {"dataset"} if not cached or mode == "full" else set()
    backbone = {"backbone"} if images or mode != "head_only" else set()
    for site in range(SITES):
        folder = made.folder(site)
        assert {path.name for path in folder.iterdir()} == {
            *("shard.json", "partition", "preprocess"),
            *caches,
            *images,
            *backbone,
        }
        contents = b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
        for path in (made.home.root, Path(made.inputs.backbone).parent, Path.home(), Path.cwd()):
            assert str(path).encode() not in contents
        assert not any("validation_" in path.name or "test" in path.name for path in folder.rglob("*"))
    if backbone:
        assert {path.name for path in (made.folder(0) / "backbone").iterdir()} == {
            *("config.json", "preprocessor_config.json", "model.safetensors")
        }


def test_the_rows_of_a_shard_are_numbered_anew_in_their_order(make: Make) -> None:
    made = make()
    seen: list[int] = []
    for site in range(SITES):
        rows = load_client_rows(Path(made.inputs.partition), site)
        held = np.sort(np.concatenate([rows.train, rows.validation]))
        shard = open_shard(made.folder(site))
        own = load_client_rows(Path(shard.inputs.partition), SHARD_CLIENT)
        np.testing.assert_array_equal(held[own.train], rows.train)
        np.testing.assert_array_equal(held[own.validation], rows.validation)
        assert sorted([*own.train, *own.validation]) == list(range(len(held)))
        assert (shard.train_rows, shard.validation_rows) == (len(rows.train), len(rows.validation))
        seen += held.tolist()
    assert sorted(seen) == list(range(made.inputs.data["rows"]["train"]))


def test_no_image_of_another_site_is_in_a_shard(make: Make) -> None:
    made = make("head_only", cached=False)
    dataset = Artifact("dataset", "", Path(made.inputs.dataset), created=False)
    images = load_dataset(dataset)["train"].with_format("arrow")[:]["image"].combine_chunks().field("bytes").to_pylist()
    for site in range(SITES):
        rows = load_client_rows(Path(made.inputs.partition), site)
        held = {*rows.train.tolist(), *rows.validation.tolist()}
        contents = b"\0".join(path.read_bytes() for path in made.folder(site).rglob("*.arrow"))
        assert {row for row, image in enumerate(images) if image in contents} == held


def test_equal_requests_give_equal_bytes_and_others_another_key(make: Make, tmp_path: Path) -> None:
    here, there = make("full"), make("full", home=Home(tmp_path / "home"))
    assert here.artifact.key == there.artifact.key
    for path in here.artifact.path.rglob("site-*/**/*"):
        if path.is_file():
            assert path.read_bytes() == (there.artifact.path / path.relative_to(here.artifact.path)).read_bytes()
    assert not make("full").artifact.created
    others = [make(), make("last_block"), make("full", cached=False), make("full", skew=1.0), make("full", seed=18)]
    assert len({here.artifact.key, *(other.artifact.key for other in others)}) == 6


def test_rows_are_copied_in_blocks_that_need_not_divide_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_BLOCK_BYTES", 100)
    values = np.arange(60, dtype=np.float32).reshape(20, 3)
    np.save(tmp_path / "all.npy", values)
    rows = np.array([0, 1, 4, 5, 6, 7, 9, 13, 17, 18, 19])
    shards._copy_rows(tmp_path / "all.npy", tmp_path / "some.npy", rows)
    np.save(tmp_path / "expected.npy", values[rows])
    assert (tmp_path / "some.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


def test_too_little_room_is_said_before_anything_is_written(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make("last_block")
    usage = shutil.disk_usage(tmp_path)
    needed = sum(folder_bytes(made.folder(site) / part) for site in range(SITES) for part in ("tokens", "backbone"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    home = Home(tmp_path / "home")
    with pytest.raises(StorageError, match=r"the shards need [\d.]+ [kM]B, but .* has [\d.]+ [kM]B left"):
        prepare_shards(made.config, made.inputs, store=ArtifactStore(home))
    assert not [path for path in home.root.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_backbone_that_has_changed_since_is_refused(make: Make, tmp_path: Path) -> None:
    made = make("last_block")
    altered = shutil.copytree(made.inputs.backbone, tmp_path / "backbone")
    (altered / "preprocessor_config.json").write_text("{}")
    with pytest.raises(BackboneError, match="no longer the one"):
        prepare_shards(
            made.config,
            made.inputs.model_copy(update={"backbone": str(altered)}),
            store=ArtifactStore(Home(tmp_path / "home")),
        )


@pytest.fixture
def handed(make: Make, tmp_path: Path) -> Path:
    """Shards as they were handed over."""
    return shutil.copytree(make().artifact.path, tmp_path / "handed")


@pytest.fixture
def key(make: Make) -> str:
    return make().artifact.key


def test_a_shard_is_found_by_its_own_folder_by_that_of_all_and_in_a_store(
    handed: Path, key: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(handed, store / key)
    for folder in (handed / "site-00001", handed, store):
        shard = find_shard(folder, key=key, site=1)
        assert (shard.key, shard.site, shard.phase, shard.own) == (key, 1, "blood", False)
        assert Path(shard.inputs.features or "").is_absolute()


def test_no_other_sites_files_are_opened(handed: Path, key: str) -> None:
    for path in [*handed.glob("site-00000/**/*"), *handed.glob("site-00002/**/*")]:
        if path.is_file():
            path.write_bytes(b"broken")
    check_shard(find_shard(handed, key=key, site=1))


def test_a_shard_that_is_not_there_is_named_with_what_is(handed: Path, key: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cases = [
        (handed, key, 7, f"no shard of site 7 with key {key} in {handed}: it holds site-00000, site-00001, site-00002"),
        (handed / "site-00001", key, 2, f"is that of site 1 with key {key}"),
        (handed, "feed", 1, f"is that of site 1 with key {key} (phase blood)"),
        (tmp_path / "nowhere", key, 0, "it does not exist"),
        (tmp_path / "empty", key, 0, "it holds no folder"),
    ]
    for folder, wanted, site, words in cases:
        with pytest.raises(DataError) as caught:
            find_shard(folder, key=wanted, site=site)
        assert words in str(caught.value)
        assert f"`fedforge shards PHASE DIR` and give this site its {site_folder(site)}" in caught.value.remedy


def rewritten(document: Path, **changes: Any) -> None:
    document.write_text(json.dumps(read_json(document) | changes))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda shard: (shard / "shard.json").unlink(), "is no shard: it has no shard.json"),
        (lambda shard: (shard / "shard.json").write_text('{"version": 1'), "cannot read the shard's"),
        (lambda shard: (shard / "shard.json").write_text("[]"), "is broken"),
        (
            lambda shard: rewritten(shard / "shard.json", version=2),
            "is of version 2, and this FedForge reads",
        ),
        (lambda shard: rewritten(shard / "shard.json", site="x"), "is broken: site"),
        (lambda shard: (shard / "features" / "features_train.npy").unlink(), "features/features_train.npy is missing"),
        (
            lambda shard: (shard / "features" / "labels_train.npy").write_bytes(b"x"),
            "labels_train.npy has 1 bytes",
        ),
    ],
)
def test_a_broken_shard_is_refused_with_what_is_wrong(damage: Callable[[Path], None], words: str, handed: Path) -> None:
    damage(handed / "site-00001")
    with pytest.raises(DataError) as caught:
        open_shard(handed / "site-00001")
    assert words in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("path", ["/etc", "../site-00000/features"])
def test_a_shard_that_points_out_of_its_folder_is_refused(path: str, handed: Path) -> None:
    document = handed / "site-00001" / "shard.json"
    rewritten(document, inputs=read_json(document)["inputs"] | {"features": path})
    with pytest.raises(DataError, match="is not in the shard's folder"):
        open_shard(handed / "site-00001")


def test_a_byte_that_changed_on_the_way_is_found(handed: Path) -> None:
    file = handed / "site-00001" / "features" / "features_train.npy"
    contents = bytearray(file.read_bytes())
    contents[-1] ^= 1
    file.write_bytes(contents)
    with pytest.raises(DataError, match=r"features_train\.npy has other bytes"):
        check_shard(open_shard(handed / "site-00001"))


def test_a_shard_of_another_run_does_not_fit(make: Make) -> None:
    made, other = make(), make("last_block")
    shard = open_shard(made.folder(0))
    require_fit(shard, "head_only", made.fit)
    lacking = "there are no tokens with them, which mode last_block needs; there are no weights of the backbone"
    with pytest.raises(DataError, match=f"the data of site 0 do not fit the run: {lacking}"):
        require_fit(shard, "last_block", other.fit)
    foreign = made.fit.model_copy(update={"phase": "derma", "backbone_sha256": "0", "class_names": ("a", "b")})
    with pytest.raises(DataError) as caught:
        require_fit(shard, "head_only", foreign)
    assert "of phase blood, not derma; they have other classes; they were made ready with another" in str(caught.value)
    assert "small-vit" in str(caught.value)
    assert "--backbone" in caught.value.remedy


def test_an_interrupted_export_leaves_nothing(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []

    def interrupted(temporary: Path, final: Path) -> None:
        copied.extend(sorted(path.name for path in temporary.iterdir()))
        raise KeyboardInterrupt

    monkeypatch.setattr("fedforge_runtime.storage.artifacts.publish_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_shards(make().artifact, tmp_path / "out")
    assert copied == ["site-00000", "site-00001", "site-00002"]
    assert list(tmp_path.iterdir()) == []


def test_a_used_folder_is_not_exported_to(make: Make, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(StorageError, match="not an empty folder"):
        export_shards(make().artifact, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    (tmp_path / "out").mkdir()
    assert [shard.site for shard in export_shards(make().artifact, tmp_path / "out")] == [0, 1, 2]


@dataclass(frozen=True)
class Hospital:
    """A site with images of its own."""

    home: Home
    folder: Path
    arrays: dict[str, np.ndarray]
    checkpoint: Path

    def config(self, mode: Mode = "head_only") -> RunConfig:
        return load_run_config(
            "blood",
            options={
                "dataset.source": str(self.folder),
                "backbone.name": str(self.checkpoint),
                "partition.clients": SITES,
                "learning.mode": mode,
            },
        )

    def write(self, **changes: np.ndarray) -> None:
        self.folder.mkdir(exist_ok=True)
        np.savez_compressed(self.folder / "bloodmnist.npz", **(self.arrays | changes))


@pytest.fixture
def hospital(tmp_path: Path, checkpoint: Path) -> Hospital:
    site = Hospital(Home(tmp_path / "home"), tmp_path / "images", dict(generate("bloodmnist", 28, 120)), checkpoint)
    site.write()
    return site


def own_shard(hospital: Hospital, config: RunConfig | None = None, **options: Any) -> tuple[Shard, list[str]]:
    listener = Listener()
    shard = prepare_own_shard(config or hospital.config(), site=2, home=hospital.home, narrator=listener, **options)
    return shard, listener.told


def test_a_hospitals_own_images_become_a_shard_of_all_its_training_rows(
    hospital: Hospital, make: Make, pool: WorkerPool
) -> None:
    shard, told = own_shard(hospital)

    rows = len(hospital.arrays["train_labels"])
    assert (shard.site, shard.own, shard.phase) == (2, True, "blood")
    assert shard.train_rows + shard.validation_rows == rows
    assert shard.validation_rows == round(rows * 0.1)
    site = open_site(shard.inputs, SHARD_CLIENT, "head_only")
    labels = np.concatenate([each.__getitems__(range(len(each)))["labels"] for each in (site.train, site.validation)])
    assert sorted(labels) == sorted(hospital.arrays["train_labels"].ravel())
    report = Path(next(text for text in told if "Audit: " in text).rpartition("Audit: ")[2])
    assert report.is_relative_to(hospital.home.root)
    assert report.is_file()
    made = make()
    assert find_own_shard(shard.path, site=2, mode="head_only", fit=made.fit) == shard
    again, _ = own_shard(hospital)
    assert again == shard


def test_own_data_have_what_the_mode_reads_and_are_not_copied(hospital: Hospital, make: Make) -> None:
    shard, _ = own_shard(hospital, hospital.config("last_block"))

    assert form_of(shard.inputs, "last_block") == "tokens"
    assert {path.name for path in shard.path.iterdir()} == {"shard.json", "backbone"}
    assert at_site(shard.inputs, SHARD_CLIENT, "last_block")["features"]
    require_fit(shard, "last_block", make("last_block").fit)
    without = replace(shard, inputs=shard.inputs.model_copy(update={"features": None}))
    with pytest.raises(DataError, match="there are no features with them"):
        require_fit(without, "head_only", make().fit)
    shutil.rmtree(shard.inputs.tokens or "")
    with pytest.raises(DataError, match=r"is of the site's own data, and .* is gone"):
        open_shard(shard.path)
    assert own_shard(hospital, hospital.config("last_block"))[0] == shard


def test_own_data_with_a_blocking_finding_are_refused_unless_it_is_allowed(hospital: Hospital) -> None:
    leaked = hospital.arrays["train_images"].copy()
    leaked[0] = hospital.arrays["test_images"][0]
    hospital.write(train_images=leaked)

    with pytest.raises(AuditFailedError, match=r"found what blocks: .*; see .*report\.html") as caught:
        own_shard(hospital)
    assert "fedforge audit blood" in caught.value.remedy
    assert not list((hospital.home.assets / "features").glob("*"))
    shard, told = own_shard(hospital, allow_findings=True)
    assert shard.own
    assert any("AUDIT FINDINGS" in text for text in told)


def test_own_data_take_part_in_a_run_over_own_data_alone_and_handed_shards_in_no_other(
    hospital: Hospital, make: Make
) -> None:
    made, (shard, _) = make(), own_shard(hospital)

    with pytest.raises(DataError, match="site 2 brings its own data, and the run has data for it") as caught:
        find_shard(shard.path, key=shard.key, site=2)
    assert "--site-data own" in caught.value.remedy
    for folder, words in (
        (None, "site 2 brings none"),
        (hospital.folder, "site 2 brings none"),
        (made.folder(2), "site 2 has a shard that was made for site 2 of another run"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            find_own_shard(folder, site=2, mode="head_only", fit=made.fit)
        assert "--data DIR" in caught.value.remedy
    with pytest.raises(DataError, match="site 1 has a shard that was made for site 2"):
        find_own_shard(shard.path, site=1, mode="head_only", fit=made.fit)


def test_own_data_are_prepared_whatever_the_configuration_says_of_the_federation(hospital: Hospital) -> None:
    config = hospital.config()
    own = config.model_copy(update={"federation": config.federation.model_copy(update={"site_data": "own"})})
    assert own_shard(hospital, own)[0] == own_shard(hospital, config)[0]


def test_what_are_not_own_data_is_refused(hospital: Hospital) -> None:
    config = hospital.config()
    phantom = config.model_copy(update={"dataset": config.dataset.model_copy(update={"source": "phantom"})})
    with pytest.raises(ConfigError, match="a site's own data cannot be 'phantom'"):
        own_shard(hospital, phantom)
    hospital.write(train_labels=hospital.arrays["train_labels"] + 100)
    with pytest.raises(FedForgeError, match="expected 0 to 7"):
        own_shard(hospital)


def test_shards_handed_over_lie_beside_earlier_ones_and_each_site_finds_the_one_of_its_run(
    make: Make, tmp_path: Path
) -> None:
    first, second = make(), make(seed=18)
    for made in (first, second):
        handed = hand_over(made.artifact, tmp_path, (0, 2), lambda: None)
        assert [shard.site for shard in handed] == [0, 2]

    for made in (first, second):
        for site in (0, 2):
            shard = find_shard(tmp_path / site_folder(site), key=made.artifact.key, site=site)
            check_shard(shard)
            assert shard.path.parent == tmp_path / site_folder(site)
    assert not (tmp_path / site_folder(1)).exists()


def test_a_shard_that_was_handed_over_in_part_is_never_seen_and_made_good_by_the_next(
    make: Make, tmp_path: Path
) -> None:
    made, looks = make(), 0

    def cut_off() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise RunStoppedError("stopped.")

    with pytest.raises(RunStoppedError):
        hand_over(made.artifact, tmp_path, (0,), cut_off)
    with pytest.raises(DataError, match="no shard of site 0"):
        find_shard(tmp_path / site_folder(0), key=made.artifact.key, site=0)

    (whole,) = hand_over(made.artifact, tmp_path, (0,), lambda: None)
    next(whole.path.rglob("*.npy")).unlink()
    (again,) = hand_over(made.artifact, tmp_path, (0,), lambda: None)
    check_shard(again)
    assert {path.name for path in (tmp_path / site_folder(0)).iterdir()} == {made.artifact.key, ".lock"}


def test_a_site_whose_folder_cannot_be_made_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / site_folder(1)).write_text("a file")

    with pytest.raises(FedForgeError, match=site_folder(1)):
        hand_over(make().artifact, tmp_path, range(SITES), lambda: None)
