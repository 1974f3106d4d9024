"""Tells a monitor how far the stages before and after the federated part are, beside what a person is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from fedforge_runtime.clock import monotonic
from fedforge_runtime.federation.descriptions import bound_run
from fedforge_runtime.progress import Progress
from fedforge_runtime.record.records import read_records
from fedforge_runtime.storage.artifacts import read_json
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import Emitter
from fedforge_runtime.telemetry.narration import Narrator
from monitor.schema import Stage, StageProgress

_BETWEEN_SECONDS = 2.0


class TellingNarrator:
    """A narrator whose stages are events of the run as well.

    Args:
        narrator: who tells a person.
    """

    def __init__(self, narrator: Narrator, emitter: Emitter) -> None:
        self._narrator = narrator
        self._emitter = emitter
        self._stage: Stage | None = None
        self._said_at = 0.0

    def notice(self, text: str) -> None:
        self._narrator.notice(text)

    def banner(self, text: str) -> None:
        self._narrator.banner(text)

    def download(self, done: int, total: int) -> None:
        self._narrator.download(done, total)
        self._say("download", done=done, total=total, unit="bytes")

    def row_pass(self, progress: Progress) -> None:
        self._narrator.row_pass(progress)
        self._say(
            "features", done=progress.rows_done, total=progress.rows_total, unit="images",
            seconds_left=progress.seconds_left,
        )  # fmt: skip

    def bounds(self, models_done: int, models_total: int) -> None:
        self._narrator.bounds(models_done, models_total)
        self._say("bounds", done=models_done, total=models_total, unit="models")

    def bounded(self, folder: RunFolder) -> None:
        self._narrator.bounded(folder)
        bound_run(self._emitter, read_json(folder.bounds), round_number=len(read_records(folder)))

    def close(self) -> None:
        self._narrator.close()

    def rounds(self, folder: RunFolder) -> AbstractContextManager[None]:
        return self._narrator.rounds(folder)

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        self._stage, self._said_at = name, monotonic()
        self._emit(name)
        try:
            with self._narrator.stage(name):
                yield
        except BaseException:
            with suppress(OSError):  # a full disk, say: that is told elsewhere
                self._emit(name, status="given_up")
            raise
        finally:
            self._stage = None
        self._emit(name, status="completed")

    def _say(self, name: Stage, **progress: Any) -> None:
        """Not more often than a reader can read; the end of a stage says that it is done."""
        if name == self._stage and monotonic() - self._said_at < _BETWEEN_SECONDS:
            return
        self._stage, self._said_at = name, monotonic()
        self._emit(name, **progress)

    def _emit(self, name: Stage, **fields: Any) -> None:
        self._emitter.emit(StageProgress, round_number=0, node_id="server", stage=name, **fields)
