"""Hears what a long command tells, in place of a terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from fedforge_runtime.storage.home import RunFolder


@dataclass
class Listener:
    """A `Narrator` that keeps the words."""

    told: list[str] = field(default_factory=list)

    def notice(self, text: str) -> None:
        self.told.append(text)

    def banner(self, text: str) -> None:
        self.told.append(text)

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def download(self, done: int, total: int) -> None: ...

    def row_pass(self, progress: object) -> None: ...

    def bounds(self, models_done: int, models_total: int) -> None: ...

    def bounded(self, folder: RunFolder) -> None: ...

    def close(self) -> None: ...

    def rounds(self, folder: RunFolder) -> AbstractContextManager[None]:
        return nullcontext()
