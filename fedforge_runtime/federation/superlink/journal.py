"""What a node owes the SuperLink, on disk for the process that comes after one that dies.

A SuperLink hands out a message once: nobody but the node that took it can say that no answer will come.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import Message
from flwr.app.message import remove_content_from_message

from fedforge_runtime.federation.superlink import flower


@dataclass
class Journal:
    """The messages that one node owes an answer, in a file.

    Not synced: it is for a process that dies, not for a power cut.
    """

    file: Path
    _noted: list[str] = field(default_factory=list, init=False)

    def note(self, node_id: int, owed: Sequence[Message]) -> None:
        """Replace what the file says."""
        message_ids = [message.metadata.message_id for message in owed]
        if message_ids == self._noted:
            return
        self._noted = message_ids
        if not owed:
            self.file.unlink(missing_ok=True)
            return
        protos = [flower.message_to_proto(remove_content_from_message(message)) for message in owed]
        content = {"node_id": node_id, "owed": [b64encode(proto.SerializeToString()).decode() for proto in protos]}
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(content))
        partial.replace(self.file)

    def read(self, node_id: int) -> list[Message]:
        """What an earlier process of this node left, without content; nothing where it was known by another id."""
        try:
            content = json.loads(self.file.read_bytes())
            protos = [flower.MessageProto.FromString(b64decode(text, validate=True)) for text in content["owed"]]
        except (OSError, ValueError, KeyError):
            return []
        return [flower.message_from_proto(proto) for proto in protos] if content["node_id"] == node_id else []

    def clear(self) -> None:
        """Forget everything."""
        self._noted = []
        self.file.unlink(missing_ok=True)
