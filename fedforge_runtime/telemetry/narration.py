"""What a long command tells the person who waits for it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from fedforge_runtime.progress import Progress
from fedforge_runtime.storage.home import RunFolder
from monitor.schema import Stage


class Narrator(Protocol):
    """Shown on a console by the CLI."""

    def notice(self, text: str) -> None:
        """One sentence."""

    def banner(self, text: str) -> None:
        """A warning that must not be overlooked: phantom data, an untrained backbone."""

    def stage(self, name: Stage) -> AbstractContextManager[None]:
        """What is done before or after the federated part, while the block runs."""

    def download(self, done: int, total: int) -> None:
        """How many bytes of how many are here."""

    def row_pass(self, progress: Progress) -> None:
        """How far a pass over all images is."""

    def bounds(self, models_done: int, models_total: int) -> None:
        """How many of the models that a run is compared with are trained."""

    def bounded(self, folder: RunFolder) -> None:
        """What a run's scores lie between is in its folder."""

    def close(self) -> None:
        """End what is still shown of something that has not come to its end."""

    def rounds(self, folder: RunFolder) -> AbstractContextManager[None]:
        """Follow the run's rounds while the block runs."""
