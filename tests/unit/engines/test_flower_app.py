"""The Flower app: small, without dependencies, and with the keys that its ServerApp reads."""

from __future__ import annotations

import io
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fedforge_runtime import __version__
from fedforge_runtime.commands.flwr_entry import flower_run_config
from fedforge_runtime.engines.superlink.app.driver import BUNDLE_ID, driven_bundle
from fedforge_runtime.errors import ConfigError

APP = Path(__file__).parents[3] / "flower_app"


@pytest.fixture
def values() -> dict[str, Any]:
    """The app's own defaults."""
    config: dict[str, Any] = tomllib.loads((APP / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    return config


def test_its_bundle_holds_three_small_files_and_installs_nothing() -> None:
    from flwr.cli.build import build_fab_from_disk

    bundle = build_fab_from_disk(APP)
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        names = set(archive.namelist())
        project = tomllib.loads(archive.read("pyproject.toml").decode())

    assert len(bundle) < 10_000
    assert {name for name in names if name.endswith(".py")} == {
        "fedforge_app/__init__.py", "fedforge_app/client_app.py", "fedforge_app/server_app.py",
    }  # fmt: skip
    assert project["project"]["dependencies"] == []
    assert project["project"]["version"] == __version__


def test_its_defaults_are_a_run(values: dict[str, Any]) -> None:
    config = flower_run_config(values)

    assert (config.phase, config.partition.clients, config.federation.rounds) == ("blood", 3, 3)
    assert config.dataset.limit == 1500
    assert config.partition.parameters == {"alpha": 0.5}


def test_every_key_has_an_effect(values: dict[str, Any]) -> None:
    changed = values | {
        "phase": "derma", "data": "phantom", "backbone": "untrained", "limit": 0, "clients": 4, "rounds": 5,
        "partition": "iid", "strategy": "fedadam", "seed": 3, "set": "learning.epochs=7; runtime.workers=1",
    }  # fmt: skip

    config = flower_run_config(changed)

    assert (config.phase, config.dataset.source, config.backbone.name) == ("derma", "phantom", "untrained")
    assert (config.dataset.limit, config.partition.clients, config.federation.rounds) == (None, 4, 5)
    assert (config.partition.name, config.federation.strategy.name, config.seed) == ("iid", "fedadam", 3)
    assert (config.learning.epochs, config.runtime.workers) == (7, 1)


def test_a_wrong_value_is_refused_as_on_the_command_line(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="unknown phase 'bloood'"):
        flower_run_config(values | {"phase": "bloood"})


def test_the_bundle_of_a_driven_run_declares_its_keys_and_no_code() -> None:
    with zipfile.ZipFile(io.BytesIO(driven_bundle({"a": "1", "b": "2"}))) as archive:
        project = tomllib.loads(archive.read("pyproject.toml").decode())
        assert [name for name in archive.namelist() if name.endswith(".py")] == []

    app = project["tool"]["flwr"]["app"]
    assert set(app["config"]) == {"a", "b"}
    assert f"{app['publisher']}/{project['project']['name']}" == BUNDLE_ID
