"""A node's process that takes the place of one that died."""

from __future__ import annotations

from pathlib import Path

import pytest
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp

from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.superlink.app.driver import driven_run, node_states
from fedforge_runtime.engines.superlink.certificates import node_identity
from fedforge_runtime.engines.superlink.node.fleet import FleetConnection
from fedforge_runtime.engines.superlink.node.link_answers import LinkAwayError


def process_of_a_node(link: LinkAddress, folder: Path, *, noted: bool = True) -> FleetConnection:
    keys = node_identity(None, folder / "node.key")
    return FleetConnection(link, keys, registered=False, noted=folder / "node-id" if noted else None)


def test_a_node_that_died_and_is_not_missed_yet_is_the_same_node_again_at_once(
    link: LinkAddress, tmp_path: Path
) -> None:
    died = process_of_a_node(link, tmp_path)
    died.connect()

    again = process_of_a_node(link, tmp_path)
    again.connect()

    assert again.node_id == died.node_id
    assert again.receive() is None
    again.close()


def test_a_node_that_said_good_bye_is_the_same_node_again(link: LinkAddress, tmp_path: Path) -> None:
    before = process_of_a_node(link, tmp_path)
    before.connect()
    before.close()

    again = process_of_a_node(link, tmp_path)
    again.connect()

    assert again.node_id == before.node_id
    assert [info.status for info in node_states(link) if info.node_id == again.node_id] == ["online"]
    again.close()


def test_an_id_that_the_superlink_does_not_know_is_replaced(link: LinkAddress, tmp_path: Path) -> None:
    (tmp_path / "node-id").write_text("12345")
    node = process_of_a_node(link, tmp_path)

    node.connect()

    assert node.node_id != 12345
    assert (tmp_path / "node-id").read_text() == str(node.node_id)
    node.close()


def test_a_process_that_does_not_know_the_id_waits_until_the_other_is_missed(link: LinkAddress, tmp_path: Path) -> None:
    first = process_of_a_node(link, tmp_path)
    first.connect()

    with pytest.raises(LinkAwayError, match="another process is connected with this node's key"):
        process_of_a_node(link, tmp_path, noted=False).connect()
    first.close()


def test_what_a_process_was_handed_is_answered_by_an_error_before_the_next_one_takes_messages(
    link: LinkAddress, tmp_path: Path
) -> None:
    died = process_of_a_node(link, tmp_path)
    died.connect()
    with driven_run(link, Federation(ServerApp(), {}, clients=1, workers=1)) as (grid, _):
        handed, _ = grid.push_messages(
            [Message(RecordDict(), died.node_id, "query"), Message(RecordDict(), died.node_id, "train")]
        )
        taken = died.receive()
        assert taken is not None
        assert taken.metadata.message_id == handed
        assert list(grid.pull_messages([handed])) == []

        again = process_of_a_node(link, tmp_path)
        assert again.report_former_gone()
        (reply,) = grid.pull_messages([handed])
        again.connect()

        assert reply.metadata.reply_to_message_id == handed
        assert "started anew" in reply.error.reason
        assert again.node_id == died.node_id
        assert again.node_id in grid.get_node_ids()
    again.close()


def test_a_node_that_said_good_bye_or_never_was_there_is_not_reported(link: LinkAddress, tmp_path: Path) -> None:
    first = process_of_a_node(link, tmp_path)
    assert not first.report_former_gone()
    first.connect()
    first.close()

    assert not process_of_a_node(link, tmp_path).report_former_gone()
