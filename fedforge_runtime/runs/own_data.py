"""A site's own images, made ready at the site: nobody else is given them, and no dataset is cut."""

from __future__ import annotations

from pathlib import Path

from fedforge_runtime.config import PartitionConfig, RunConfig
from fedforge_runtime.data.features.row_pass import PassTools
from fedforge_runtime.data.sources.datasets import prepare_dataset, read_dataset_facts
from fedforge_runtime.errors import AuditFailedError, ConfigError
from fedforge_runtime.preparation.prepare import check_preparation, prepare, prepare_caches, run_inputs
from fedforge_runtime.processes import TEMPLATE, WorkerPool
from fedforge_runtime.processes.limits import usable_cores
from fedforge_runtime.sites.shards import Shard, prepare_reference_shard
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore, read_json
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.control import SignalControl, hear_stop
from fedforge_runtime.telemetry.narration import Narrator


def prepare_own_shard(
    config: RunConfig, *, site: int, home: Home, narrator: Narrator, allow_findings: bool = False
) -> Shard:
    """Validate, audit, preprocess and featurise a site's own images; what was made before is found by its key.

    The site trains and validates on the training split of its archive. The archive's other splits are checked and
    go through the backbone as well, but are not used.

    Args:
        config: the run's, with `dataset.source` the folder that holds the site's archive in MedMNIST's format. Of
            its partition, the validation fraction and the smallest site count.
        site: the site's number in the federation.
        allow_findings: go on whatever the audit finds. `fedforge audit --allow` records a decision instead.

    Returns:
        A shard that refers to the artifacts in this home.

    Raises:
        AuditFailedError: the audit found what blocks; names the report.
        ConfigError, DataError, BackboneError, StorageError: the request cannot be carried out.
        RunStoppedError: interrupted; the features computed so far are kept.
    """
    own = _one_site(config)
    check_preparation(own, home)
    home.require_writable()
    TEMPLATE.start()
    store = ArtifactStore(home, hear_stop)
    dataset = prepare_dataset(
        own.dataset, home=home, store=store, notify=narrator.notice, transferred=narrator.download
    )
    _audit(dataset, own, store=store, narrator=narrator, allow_findings=allow_findings)
    workers = own.runtime.worker_count(usable_cores())
    with WorkerPool(workers, threads=own.runtime.threads_per_worker) as pool:
        prepared = prepare(own, home=home, store=store, pool=pool, narrator=narrator)
        with SignalControl().installed() as control:
            tools = PassTools(pool, workers, narrator.row_pass, control.raise_if_stopped)
            caches = prepare_caches(own, prepared, store=store, tools=tools)
    return prepare_reference_shard(own, run_inputs(own, prepared, caches), site=site, store=store)


def _one_site(config: RunConfig) -> RunConfig:
    """The configuration of a run over this site alone, with all rows at it."""
    if config.dataset.source in ("official", "phantom", "auto"):
        raise ConfigError(
            f"a site's own data cannot be {config.dataset.source!r}: every site would hold the same images.",
            remedy="Give the folder that holds the site's archive.",
        )
    partition = PartitionConfig(
        name="iid",
        clients=1,
        validation_fraction=config.partition.validation_fraction,
        minimum_rows=config.partition.minimum_rows,
    )
    federation = config.federation.model_copy(update={"site_data": "partition"})
    return config.model_copy(update={"partition": partition, "federation": federation})


def _audit(
    dataset: Artifact, config: RunConfig, *, store: ArtifactStore, narrator: Narrator, allow_findings: bool
) -> None:
    """Audit the images and refuse them where something blocks.

    Without features, as `fedforge audit --no-features`: the verdict is the same before and after they are there.
    """
    from fedforge_runtime.data.audit.audit import REPORT_HTML, REPORT_JSON, prepare_audit
    from fedforge_runtime.reporting.audit_page import audit_page

    audit = prepare_audit(
        dataset, features=None, groups=None, store=store, notify=narrator.notice, draw_page=audit_page
    )
    report = audit.path / REPORT_HTML
    blocking: list[str] = read_json(audit.path / REPORT_JSON)["blocking"]
    rows = read_dataset_facts(dataset).rows
    narrator.notice(
        f"The site's own data: {rows['train']:,} training images; "
        f"{rows['validation'] + rows['test']:,} of other splits are not used. Audit: {report}"
    )
    if not blocking:
        return
    found = f"the audit of {Path(config.dataset.source).name} found what blocks: {', '.join(blocking)}"
    if not allow_findings:
        raise AuditFailedError(
            f"{found}; see {report}.",
            remedy=f"Mend the data, or decide with: fedforge audit {config.phase} --data {config.dataset.source} "
            "--home HOME --no-features --allow FINDING --reason WHY --by NAME",
        )
    narrator.banner(f"AUDIT FINDINGS: {found}. They were allowed for this start.")
