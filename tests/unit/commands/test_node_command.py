"""`fedforge node` and the nodes of `federation up`: which options go together, and what must be there."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedforge_runtime.commands.app import app
from fedforge_runtime.engines.superlink.certificates import make_certificates
from fedforge_runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--data", "images", "--shards", "shards", "--phase", "blood"), "Leave one of the two out"),
        (("--data", "images"), "--data needs --phase"),
        (("--phase", "blood", "--mode", "full", "--allow-findings"), "--phase, --mode, --allow-findings would say"),
        (("--shards", "shards", "--set", "seed=1"), "--set would say what the site's own data are"),
        (("--shards", "nowhere"), "there is no folder of shards nowhere"),
        (("--data", "images", "--phase", "bloot"), "unknown phase 'bloot'"),
        (("--data", "images", "--phase", "blood"), "images"),
        (("--data", "images", "--phase", "blood", "--key", "no-key"), "no-key"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: tuple[str, ...], words: str, tmp_path: Path) -> None:
    arguments = ["node", "--superlink", "127.0.0.1:1", "--site", "0", "--home", str(tmp_path / "home"), *options]
    outcome = CliRunner().invoke(app, arguments)

    assert isinstance(outcome.exception, Exception), outcome.output
    assert words in str(outcome.exception)
    assert isinstance(outcome.exception, ConfigError) or words in ("images", "no-key")


def test_nodes_of_a_machine_that_has_not_their_keys_are_refused_before_anything_is_started(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "certificates", hosts=[], nodes=2)
    made.node_key(1).unlink()
    arguments = ["federation", "up", "--certs", str(made.path), "--nodes", "2", "--home", str(tmp_path / "home")]

    outcome = CliRunner().invoke(app, arguments)

    assert isinstance(outcome.exception, ConfigError)
    assert f"cannot read {made.node_key(1)}: No such file" in str(outcome.exception)
    assert not (tmp_path / "home" / "federation").exists()
