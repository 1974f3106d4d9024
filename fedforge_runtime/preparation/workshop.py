"""What every command that prepares something works with, opened and put away in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from fedforge_runtime.config import RunConfig
from fedforge_runtime.data.features.row_pass import PassTools
from fedforge_runtime.data.sources.datasets import prepare_dataset
from fedforge_runtime.processes import TEMPLATE, WorkerPool
from fedforge_runtime.storage.artifacts import Artifact, ArtifactStore
from fedforge_runtime.storage.home import Home
from fedforge_runtime.telemetry.control import hear_stop
from fedforge_runtime.telemetry.narration import Narrator


class Workshop:
    """The store of a home, worker processes, and who is told of progress, for one configuration.

    It can be used as it is for what needs no worker; in a `with` block the workers' template is loaded in the
    background meanwhile, and they end with the block.

    Args:
        tasks: how many could be worked on at the same time, by default one for each client.
        modules: what the workers need in their template beside what all do.

    Raises:
        StorageError: the home cannot be written.
    """

    def __init__(
        self,
        config: RunConfig,
        home: Home,
        narrator: Narrator,
        *,
        tasks: int | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        self.home = home.require_writable()
        self.config = config
        self.narrator = narrator
        self.store = ArtifactStore(home, hear_stop)
        runtime = config.runtime
        self.pool = WorkerPool(
            runtime.worker_count(tasks or config.partition.clients), threads=runtime.threads_per_worker
        )
        self._modules = modules

    def prepare_dataset(self) -> Artifact:
        """The configuration's dataset, made when absent."""
        notify, transferred = self.narrator.notice, self.narrator.download
        return prepare_dataset(self.config.dataset, store=self.store, notify=notify, transferred=transferred)

    def pass_tools(self, check_stop: Callable[[], None]) -> PassTools:
        """For a pass over all images, which `check_stop` can end."""
        return PassTools(self.store, self.pool, self.narrator.row_pass, check_stop)

    def __enter__(self) -> Self:
        TEMPLATE.start(*self._modules)
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()
