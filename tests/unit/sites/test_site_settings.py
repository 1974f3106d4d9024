"""What a site is told of a run, and whether what it holds is what the run needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, Message, MessageType, RecordDict

from fedforge_runtime.config import RuntimeConfig, load_run_config
from fedforge_runtime.engines.superlink.engine import SuperlinkEngine
from fedforge_runtime.errors import ConfigError, DataError, RunError
from fedforge_runtime.federation import messages
from fedforge_runtime.federation.client_app import app
from fedforge_runtime.flower.messages import TaskIdentity
from fedforge_runtime.runs.run import check_request
from fedforge_runtime.sites.node_data import EVENTS, HOME, INPUTS, SHARDS, SiteRows, events_log, site_rows
from fedforge_runtime.sites.settings import PARTITION_ID, SETTINGS, DataFit, RunSettings, SiteSettings


@pytest.fixture
def over_own_data(settings: RunSettings) -> RunSettings:
    """A run whose sites bring their own data."""
    config = load_run_config("blood", options={"federation.site_data": "own", "learning.mode": "last_block"})
    inputs = settings.inputs.model_copy(update={"partition": None, "features": "/f", "tokens": "/t"})
    return replace(settings, config=config, inputs=inputs)


def test_where_everything_is_on_one_machine_a_site_finds_artifacts_and_log_in_its_own_configuration(
    settings: RunSettings,
) -> None:
    told = settings.for_sites()
    node_config = {"partition-id": 4, INPUTS: settings.inputs.model_dump_json(), EVENTS: str(settings.folder.events)}

    assert "/" not in told.model_dump_json()
    assert site_rows(told, node_config) == SiteRows(settings.inputs, 4)
    assert events_log(node_config) == settings.folder.events


def test_a_site_that_was_given_a_shard_is_told_its_key_and_no_path(settings: RunSettings) -> None:
    told = replace(settings, shard="0123").for_sites()

    assert (told.shard, told.own_data) == ("0123", None)
    assert "/" not in told.model_dump_json()


def test_a_site_that_brings_its_own_data_is_told_what_they_must_be_and_no_path(over_own_data: RunSettings) -> None:
    told = over_own_data.for_sites()

    assert told.shard is None
    assert told.own_data == DataFit(
        phase="blood",
        class_names=("basophil", "eosinophil"),
        backbone_sha256="0" * 64,
        features=True,
        tokens=True,
    )
    assert "/" not in told.model_dump_json()
    assert SiteSettings.of(RecordDict({SETTINGS: told.to_record()})) == told
    assert RunSettings.from_run_config(over_own_data.to_run_config()) == over_own_data


def test_a_run_over_own_data_knows_nobodys_rows(over_own_data: RunSettings) -> None:
    with pytest.raises(RunError, match="the sites of the run have their own data"):
        _ = over_own_data.inputs.partition_folder


def test_a_site_with_a_home_of_its_own_has_no_log_and_answers_with_its_events(tmp_path: Path) -> None:
    assert events_log({HOME: str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("shard", "words"),
    [(None, "site 4 brings none. Start this site's node with --data DIR"), ("0123", "no shard of site 4")],
)
def test_a_site_without_what_the_run_needs_says_so_when_it_is_asked_who_it_is(
    shard: str | None,
    words: str,
    settings: RunSettings,
    over_own_data: RunSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    told = (replace(settings, shard=shard) if shard else over_own_data).for_sites()
    node_config: dict[str, str | int] = {"partition-id": 4, HOME: str(tmp_path), SHARDS: str(tmp_path)}

    def ask(settings_of_run: SiteSettings) -> dict[str, object]:
        context = Context(run_id=1, node_id=2, node_config=dict(node_config), state=RecordDict(), run_config={})
        question = Message(RecordDict({SETTINGS: settings_of_run.to_record()}), 2, MessageType.QUERY)
        return dict(app(message=question, context=context).content.config_records[messages.CONFIG])

    with pytest.raises(DataError):
        site_rows(told, node_config)
    answer = ask(told)
    assert answer[PARTITION_ID] == 4
    assert words in str(answer[messages.MISFIT])
    node_config[INPUTS] = settings.inputs.model_dump_json()
    assert ask(settings.for_sites()) == {PARTITION_ID: 4}


@pytest.mark.parametrize("engine", ["inprocess", "ray", "superlink"])
def test_a_run_over_own_data_is_refused_where_no_federation_is_named(engine: str) -> None:
    config = load_run_config("blood", options={"federation.site_data": "own", "runtime.engine": engine})

    with pytest.raises(ConfigError, match=f"would start sites of its own with engine {engine}") as caught:
        check_request(config, None)
    assert "--superlink HOST:PORT" in caught.value.remedy
    check_request(config, None, SuperlinkEngine())
    there = RuntimeConfig(engine="superlink", superlink="127.0.0.1:9092")
    check_request(config.model_copy(update={"runtime": there}), None)
