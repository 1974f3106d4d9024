"""What `fedforge federation status` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedforge_runtime.commands.federation_tables import describe_federation, print_federation
from fedforge_runtime.engines.address import free_port
from fedforge_runtime.engines.superlink.standing import FederationState
from fedforge_runtime.storage.home import Home


def test_a_superlink_that_is_not_reached_is_shown_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    state = FederationState(
        process_id=1,
        process_started=0.0,
        address=address,
        root_certificates=None,
        started_at="2026-01-01T00:00:00+00:00",
        ready=True,
        link_process_id=None,
        link_restarts=0,
        nodes=[],
    )

    described = describe_federation(state, Home(tmp_path))
    print_federation(described)

    reason = f"the SuperLink at {address} cannot be reached: [Errno 111] Connection refused. See whether it runs"
    assert (described["ready"], described["superlink"]["reachable"]) == (False, False)
    assert reason in described["superlink"]["trouble"]
    assert reason in capsys.readouterr().out
