"""What is measured: images, backbone, a home with their features, and how much effort is spent on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedforge_runtime.storage.home import Home

REPOSITORY = Path(__file__).parents[1]
WORKERS = 2
"""Client processes in every measurement."""
CLIENTS = 10
_BESIDE = REPOSITORY.parent / "shared"


@dataclass(frozen=True)
class Effort:
    """How long the measurements take, and how much they can be trusted."""

    dataset_limit: int | None
    """At most so many images; `None` for all."""
    subset_limit: int
    """Images of the runs that compute a backbone's features."""
    rounds: int
    """Of a cached run whose median round counts."""
    slow_rounds: int
    """Of a run without cached features."""
    startups: int
    stops: int
    """Of each engine."""
    training_repeats: int
    overhead_clients: int
    overhead_rounds: int
    monitor_events: int
    """That a monitor takes in as fast as it can, and gives again."""
    monitor_soak_seconds: int
    """That a monitor serves readers of a run at an even pace."""
    screen_seconds: int
    """That the dashboard is watched for, live."""
    screen_events: int
    """That it is sent while its memory is looked at."""


FULL = Effort(
    dataset_limit=None,
    subset_limit=600,
    rounds=20,
    slow_rounds=3,
    startups=3,
    stops=20,
    training_repeats=9,
    overhead_clients=200,
    overhead_rounds=3,
    monitor_events=100_000,
    monitor_soak_seconds=600,
    screen_seconds=20,
    screen_events=180_000,
)
QUICK = Effort(
    dataset_limit=600,
    subset_limit=240,
    rounds=3,
    slow_rounds=1,
    startups=1,
    stops=2,
    training_repeats=3,
    overhead_clients=50,
    overhead_rounds=1,
    monitor_events=10_000,
    monitor_soak_seconds=15,
    screen_seconds=5,
    screen_events=20_000,
)


@dataclass(frozen=True)
class Subject:
    """The work that every measurement does: Blood over ten clients, split by Dirichlet(0.5)."""

    data: str
    """The option `--data`: a folder with real images, or `phantom`."""
    backbone: str
    """The option `--backbone`: a checkpoint folder, or `untrained`."""
    home: Home
    """Where features are kept from one benchmark to the next."""
    effort: Effort

    def options(self, *, limit: int | None) -> list[str]:
        """Command-line options that name the work, over at most `limit` images."""
        options = ["--data", self.data, "--backbone", self.backbone, "--clients", str(CLIENTS)]
        options += ["--partition", "dirichlet:0.5", "--set", f"runtime.workers={WORKERS}"]
        if limit is not None:  # so few rows leave some clients with very few
            options += ["--set", f"dataset.limit={limit}", "--set", "partition.minimum_rows=2"]
        return options

    @contextmanager
    def home_with_features(self) -> Iterator[Home]:
        """A home for runs that vanish, on the lasting one's data and artifacts."""
        with fresh_home() as home:
            for lasting in (self.home.data.parent, self.home.assets, self.home.models):
                lasting.mkdir(parents=True, exist_ok=True)
                (home.root / lasting.name).symlink_to(lasting)
            yield home


@contextmanager
def fresh_home() -> Iterator[Home]:
    """An empty home that vanishes."""
    with tempfile.TemporaryDirectory(prefix="fedforge-benchmark-") as folder:
        yield Home(Path(folder).resolve())


def find_subject(home: Home, effort: Effort) -> Subject:
    """Real images and weights where there are any, else phantom images and an untrained backbone."""
    images = Path(os.environ.get("FEDFORGE_REAL_DATA") or _BESIDE / "data" / "medmnist")
    weights = Path(os.environ.get("FEDFORGE_REAL_BACKBONE") or _BESIDE / "models" / "deit-tiny-patch16-224")
    return Subject(
        data=str(images.resolve()) if (images / "bloodmnist.npz").is_file() else "phantom",
        backbone=str(weights.resolve()) if (weights / "config.json").is_file() else "untrained",
        home=home,
        effort=effort,
    )
