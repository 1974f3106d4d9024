"""The ClientApp in a worker that stays: what it keeps of runs that are over, and what it makes of hostile messages."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict

from fedforge_runtime.data.features.caches import FEATURES
from fedforge_runtime.data.features.row_pass import array_file
from fedforge_runtime.data.sources.datasets import labels_file
from fedforge_runtime.engines.inprocess import handle_message
from fedforge_runtime.engines.superlink.node.presence import Presence
from fedforge_runtime.federation import messages
from fedforge_runtime.federation.client_app import app
from fedforge_runtime.flower.messages import TaskIdentity
from fedforge_runtime.learning.parameters import initial_head
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.sites.node_data import EVENTS, HOME, INPUTS
from fedforge_runtime.sites.settings import SETTINGS, RunSettings, SiteSettings
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import read_events

CLIENT_APP = "fedforge_runtime.federation.client_app:app"
ROWS = 40


@pytest.fixture(autouse=True)
def messages_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def inputs_of_a_run(settings: RunSettings, folder: Path) -> RunInputs:
    """Features and rows of one client, in a folder of their own."""
    features, client = folder / "features", folder / "partition" / "clients" / "00000"
    features.mkdir(parents=True)
    client.mkdir(parents=True)
    generator = np.random.default_rng(len(folder.name))
    np.save(array_file(features, FEATURES, "train"), generator.normal(size=(ROWS, 192)).astype(np.float32))
    np.save(labels_file(features, "train"), np.arange(ROWS) % 2)
    np.save(client / "train.npy", np.arange(30))
    np.save(client / "validation.npy", np.arange(30, ROWS))
    return settings.inputs.model_copy(update={"features": str(features), "partition": str(folder / "partition")})


def question(told: SiteSettings, kind: str) -> Message:
    content = RecordDict({SETTINGS: told.to_record()})
    if kind != MessageType.QUERY:
        content[messages.ARRAYS] = messages.to_arrays(initial_head(192, 2, seed=1))
        content[messages.CONFIG] = ConfigRecord({messages.ROUND: 1})
    return Message(content, 2, kind)


def context_of(node_config: dict[str, Any]) -> Context:
    return Context(run_id=1, node_id=2, node_config=node_config, state=RecordDict(), run_config={})


def test_a_worker_that_stays_keeps_neither_files_nor_rows_of_past_runs(settings: RunSettings, tmp_path: Path) -> None:
    from fedforge_runtime.sites.site import Site

    open_files = []
    for number in range(5):
        folder = RunFolder(tmp_path / f"run-{number}")
        of_run = replace(settings, folder=folder, inputs=inputs_of_a_run(settings, tmp_path / f"assets-{number}"))
        node_config = {"partition-id": 0, INPUTS: of_run.inputs.model_dump_json(), EVENTS: str(folder.events)}
        told = of_run.for_sites()
        for kind in (MessageType.TRAIN, MessageType.EVALUATE):
            reply = app(message=question(told, kind), context=context_of(node_config))
            assert reply.content.metric_records[messages.METRICS][messages.ROWS] > 0
        assert {event.run_id for event in read_events(folder.events)} == {folder.run_id}
        gc.collect()
        open_files.append(psutil.Process().num_fds())

    assert open_files[-1] == open_files[2], "what is open grows from run to run"
    assert sum(isinstance(each, Site) for each in gc.get_objects()) <= 2


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Path]:
    """A folder of which nothing beside `home` changes while a test runs, and that is not listed either."""
    (tmp_path / "home").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "events.jsonl").write_text("precious")
    before = contents(tmp_path)
    yield tmp_path
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder and its bytes, but for those of `home`."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not path.is_relative_to(folder / "home")
    }


def hostile(settings: RunSettings, ground: Path) -> list[dict[str, Any]]:
    """Settings of a server that wants a site to read and write where it should not."""
    good = json.loads(settings.for_sites().model_dump_json(exclude_defaults=True))
    outside = str(ground / "secret")
    stolen = settings.inputs.model_copy(update={"features": outside, "partition": outside, "dataset": outside})
    return [
        good | {"events": f"{outside}/events.jsonl"},
        good | {"inputs": json.loads(stolen.model_dump_json())},
        good | {"shard": "../../secret"},
        good | {"shard": outside},
        *(
            good | {"run_id": name, "shard": "0123"}
            for name in ("../../secret", "..", ".", "", outside, "a/../../../secret", "a\\..\\b", "x" * 300, "a\0b")
        ),
    ]


@pytest.mark.parametrize(
    "kind",
    [
        MessageType.QUERY,
        "query.statistics",
        "query.moments",
        MessageType.TRAIN,
        "train.closed_form",
        MessageType.EVALUATE,
    ],
)
def test_a_site_neither_reads_nor_writes_where_a_server_tells_it_to(
    kind: str, settings: RunSettings, ground: Path
) -> None:
    node_config = {"partition-id": 0, HOME: str(ground / "home")}
    for told in hostile(settings, ground):
        content = RecordDict({SETTINGS: ConfigRecord({"json": json.dumps(told)})})
        content[messages.ARRAYS] = messages.to_arrays(initial_head(192, 2, seed=1))
        content[messages.CONFIG] = ConfigRecord({messages.ROUND: 1, "regularisation": 1.0, "temperature": 1.0})
        asked = Message(content, 2, kind)

        reply, _ = handle_message(CLIENT_APP, asked, context_of(dict(node_config)))
        presence = Presence(node_config)
        presence.note(asked)

        if kind == MessageType.QUERY:
            reason = str(reply.content.config_records[messages.CONFIG][messages.MISFIT])
        else:
            assert reply.has_error(), told
            reason = reply.error.reason
        assert "the server's settings are not understood" in reason, told
        assert presence.run_id is None, told
    assert list((ground / "home").iterdir()) == []


def test_the_settings_of_an_honest_server_name_no_path(settings: RunSettings) -> None:
    for told in (settings, replace(settings, shard="0123456789abcdef0123")):
        text = told.for_sites().model_dump_json()
        assert "/" not in text
        assert SiteSettings.model_validate_json(text) == told.for_sites()
