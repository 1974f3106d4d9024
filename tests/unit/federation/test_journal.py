"""A node's journal tells the next process which messages are not answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedforge_runtime.federation.superlink.journal import Journal

NODE_ID = 2**63 + 5


@pytest.fixture(autouse=True, scope="module")
def identity() -> Iterator[None]:
    """Who sends; Flower keeps it by process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_task_id", "_run_id", "_node_id"):
            patch.setattr(TaskIdentity, name, 1)
        yield


def message(number: int) -> Message:
    made = Message(RecordDict({"rows": ConfigRecord({"secret": "x" * 1000})}), NODE_ID, "train")
    made.metadata.__dict__["_message_id"] = f"{number:064d}"
    return made


def test_the_next_process_can_answer_every_message_that_was_owed(tmp_path: Path) -> None:
    Journal(tmp_path / "owed.json").note(NODE_ID, [message(1), message(2)])

    owed = Journal(tmp_path / "owed.json").read(NODE_ID)

    assert [each.metadata.message_id for each in owed] == [f"{1:064d}", f"{2:064d}"]
    answer = Message(Error(1, "lost"), reply_to=owed[1])
    assert answer.metadata.reply_to_message_id == f"{2:064d}"
    assert answer.metadata.run_id == 1


def test_content_is_not_written(tmp_path: Path) -> None:
    Journal(tmp_path / "owed.json").note(NODE_ID, [message(1)])

    assert (tmp_path / "owed.json").stat().st_size < 1000


def test_nothing_is_owed_once_all_is_answered(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "owed.json")
    journal.note(NODE_ID, [message(1)])
    journal.note(NODE_ID, [])

    assert list(tmp_path.iterdir()) == []
    assert Journal(tmp_path / "owed.json").read(NODE_ID) == []


def test_a_node_under_another_id_owes_nothing(tmp_path: Path) -> None:
    Journal(tmp_path / "owed.json").note(NODE_ID, [message(1)])

    assert Journal(tmp_path / "owed.json").read(NODE_ID + 1) == []


@pytest.mark.parametrize(
    "content", ["", "{", "{}", '{"node_id": 1, "owed": ["!"]}', '{"node_id": 1, "owed": ["AAAA"]}']
)
def test_a_broken_file_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "owed.json").write_text(content)

    assert Journal(tmp_path / "owed.json").read(1) == []
