"""What a node says of its connection, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.superlink.node import node as module
from fedforge_runtime.engines.superlink.node.link_answers import LinkAwayError
from fedforge_runtime.engines.superlink.node.node import Node, NodeSpec
from fedforge_runtime.processes.stop_signal import StopSignal


def test_a_node_whose_clock_is_wrong_says_so_once_and_not_each_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "say", said.append)
    node = Node(NodeSpec(LinkAddress("127.0.0.1", 1), 0, tmp_path, "nobody:app"))
    tries = iter(
        [*(f"it says 2026-01-01 00:00:0{second} UTC, and this machine another" for second in range(3)), "gone"]
    )

    def refuse() -> None:
        raise LinkAwayError(next(tries))

    stop = StopSignal()
    monkeypatch.setattr(node, "_fleet", type("Fleet", (), {"connect": staticmethod(refuse)}))
    monkeypatch.setattr(node, "_stop", stop)
    monkeypatch.setattr(stop, "wait", lambda seconds: len(said) == 2 and stop.set())
    node._connect()

    assert [text.partition("reached: ")[2] for text in said] == [
        "it says 2026-01-01 00:00:00 UTC, and this machine another",
        "gone",
    ]
