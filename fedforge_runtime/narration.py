"""What a long command tells the person who waits for it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from fedforge_runtime.data.features import Progress
from fedforge_runtime.home import RunFolder


class Narrator(Protocol):
    """Shown on a console by the CLI."""

    def notice(self, text: str) -> None:
        """One sentence."""

    def banner(self, text: str) -> None:
        """A warning that must not be overlooked: phantom data, an untrained backbone."""

    def features(self, progress: Progress) -> None:
        """How far the feature pass is."""

    def rounds(self, folder: RunFolder) -> AbstractContextManager[None]:
        """Follow the run's rounds while the block runs."""
