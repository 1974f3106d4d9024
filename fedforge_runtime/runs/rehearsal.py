"""What a request would be, before it is made: whether it is valid, who would hold what, and how long it takes.

`python -m fedforge_runtime.runs.rehearsal HOME` answers one request after another, a line of JSON each, until its
standard input ends: whoever asks has loaded nothing of what it takes, and a run beside it is not held up. Its first
line says that it has loaded all of it, which takes longer than an answer may.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedforge_runtime.config import RunConfig, load_run_config, read_run_config
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.runs.attempts import assignments_of
from fedforge_runtime.storage.artifacts import children, read_json
from fedforge_runtime.storage.home import Home, RunFolder

READY: Mapping[str, Any] = {"ready": True}
_WARMING_UP: Mapping[str, Any] = {
    "phase": "blood",
    "profile": "cpu-safe",
    "overrides": {"dataset.source": "phantom", "backbone.name": "untrained"},
}
"""Uses every library that an answer needs."""
_NOT_HERE = "The images are not here yet: who holds what is known once they have been downloaded."
_OWN = "The sites bring their own data: what each holds is theirs to say."
_NO_RUN = "No run like this has completed here yet: how long it takes is not known."


def rehearse(request: Mapping[str, Any], home: Home) -> dict[str, Any]:
    """The answer to a check, as `POST /api/checks/ID` takes it.

    Args:
        request: `phase`, `profile` and `overrides`, as a monitor keeps them.
    """
    try:
        config = _valid_config(request, home)
        holdings, warnings = _holdings(config, home)
    except FedForgeError as error:
        return {"valid": False, "error": str(error)[:2000]}
    seconds = _expected_seconds(config, home)
    if seconds is None:
        warnings.append(_NO_RUN)
    return {"valid": True, "warnings": warnings, "seconds": seconds, **holdings}


def _valid_config(request: Mapping[str, Any], home: Home) -> RunConfig:
    """Everything that a run refuses before it makes anything."""
    from fedforge_runtime.engines import check_engine
    from fedforge_runtime.federation.strategies import build_strategy
    from fedforge_runtime.preparation.prepare import check_preparation

    assignments = assignments_of(request["overrides"])
    config = load_run_config(request["phase"], profile=request["profile"], assignments=assignments)
    check_engine(config.runtime.engine)
    build_strategy(config.federation.strategy)
    check_preparation(config, home)
    return config


def _holdings(config: RunConfig, home: Home) -> tuple[dict[str, Any], list[str]]:
    """What each site would hold, and what to be warned of."""
    from fedforge_runtime.data.partition.preview import preview_partition
    from fedforge_runtime.data.sources.catalogue import official_archive
    from fedforge_runtime.data.sources.datasets import foreseen_labels

    if config.federation.site_data == "own":
        return {}, [_OWN]
    labels = foreseen_labels(config.dataset, home=home)
    if labels is None:
        return {}, [_NOT_HERE]
    class_names = official_archive(config.dataset.flag, config.dataset.size).class_names
    preview, _ = preview_partition(labels, config.partition, seed=config.seed, class_names=class_names)
    sites = [
        {"site": site.client, "rows": site.rows, "class_rows": [int(rows) for rows in site.class_rows]}
        for site in preview.skew.sites
    ]
    return {"class_names": list(class_names), "sites": sites}, list(preview.warnings)


def _expected_seconds(config: RunConfig, home: Home) -> float | None:
    """As long as the latest completed run of the phase took here, with as many rounds and epochs as are asked for."""
    for path in sorted(children(home.runs), key=lambda each: each.stat().st_mtime, reverse=True):
        folder = RunFolder(path)
        if not (folder.exists() and folder.seconds.is_file()):
            continue
        try:
            former, seconds = read_run_config(folder.config), read_json(folder.seconds)
            if _alike(former, config):
                share = _training(config) / _training(former)
                return float(seconds["prepare"] + seconds["features"] + seconds["rounds"] * share)
        except (FedForgeError, OSError, ValueError, KeyError, TypeError):
            continue  # a damaged run says nothing; another may
    return None


def _alike(former: RunConfig, config: RunConfig) -> bool:
    """Whether their times compare: the same images, backbone and number of sites, trained in the same way."""

    def kind(each: RunConfig) -> tuple[object, ...]:
        learning, engine = each.learning.mode, each.runtime.engine
        return each.phase, each.dataset, each.backbone, each.partition.clients, learning, engine

    return kind(former) == kind(config)


def _training(config: RunConfig) -> int:
    return config.federation.rounds * config.learning.epochs


def main() -> None:
    """Say that it is ready, then answer until standard input ends."""
    home = Home.resolve(Path(sys.argv[1]))
    rehearse(_WARMING_UP, home)
    _say(READY)
    for line in sys.stdin:
        _say(rehearse(json.loads(line), home))


def _say(document: Mapping[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(document)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
