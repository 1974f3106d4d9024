"""How long the phases take, from measured speeds: arithmetic over plain numbers, and always called an estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedforge_runtime.config import RunConfig
from fedforge_runtime.hardware.speed import FeatureSpeed, HeadSpeed

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class PhaseWork:
    """What a phase asks of a machine."""

    phase: str
    rows: Mapping[str, int]
    """Images by split: `train`, `validation`, `test`."""
    clients: int
    validation_fraction: float
    """The part of a client's rows that it keeps for its own evaluation."""
    rounds: int
    epochs: int
    feature_size: int
    tokens: int
    """Per image, where the last block begins."""

    @classmethod
    def of(cls, config: RunConfig, rows: Mapping[str, int], *, feature_size: int, tokens: int) -> PhaseWork:
        """A configuration over so many images."""
        return cls(
            phase=config.phase,
            rows=rows,
            clients=config.federation.clients_per_round or len(config.sites),
            validation_fraction=config.partition.validation_fraction,
            rounds=config.federation.rounds,
            epochs=config.learning.epochs,
            feature_size=feature_size,
            tokens=tokens,
        )


@dataclass(frozen=True)
class PhaseEstimate:
    """What a phase will take on this machine, head only; the features are computed once and then found."""

    phase: str
    images: int
    feature_seconds: float
    feature_bytes: int
    rounds: int
    round_seconds: float
    rounds_seconds: float
    token_bytes: int
    """What `last_block` keeps on disk besides."""


def estimate_phase(work: PhaseWork, features: FeatureSpeed, head: HeadSpeed) -> PhaseEstimate:
    """Seconds and bytes of a phase; rounds count what clients and the server compute, spread evenly over workers."""
    images = sum(work.rows.values())
    kept = round(work.rows["train"] * work.validation_fraction)
    core_seconds = (
        head.training.of(work.clients, (work.rows["train"] - kept) * work.epochs)
        + head.evaluation.of(work.clients, kept)
        + head.evaluation.of(1, work.rows["validation"])
    )
    round_seconds = core_seconds / head.workers
    return PhaseEstimate(
        phase=work.phase,
        images=images,
        feature_seconds=images / features.images_per_second,
        feature_bytes=images * work.feature_size * _FLOAT_BYTES,
        rounds=work.rounds,
        round_seconds=round_seconds,
        rounds_seconds=round_seconds * work.rounds,
        token_bytes=images * work.tokens * work.feature_size * _FLOAT_BYTES,
    )
