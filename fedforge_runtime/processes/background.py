"""Work beside the main thread for as long as a block runs."""

from __future__ import annotations

import threading
from typing import Self


class Background:
    """Runs `_work` in a thread while the block runs; `_ending` is set when it ends, and the thread is waited for.

    Args:
        patience: seconds that the end of the block waits for the thread, where it may hang in an answer that is of no
            use any more; it ends with the process at the latest. By default it is waited for until it ends.
    """

    def __init__(self, name: str, *, patience: float | None = None) -> None:
        self._ending = threading.Event()
        self._patience = patience
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def is_at_work(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(self._patience)
