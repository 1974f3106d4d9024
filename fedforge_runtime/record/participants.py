"""Who takes part in a round: drawn from the seed, or replayed from a record of an earlier run."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from fedforge_runtime.errors import ConfigError, RunError
from fedforge_runtime.seeds import derive_seed
from fedforge_runtime.storage.artifacts import write_json


class ParticipantRecord(BaseModel, extra="forbid", frozen=True):
    """The file `participants.json`: round -> clients whose answers were used, ascending; round 0 is the
    statistics exchange."""

    version: int = 1
    rounds: dict[int, list[int]]

    def write(self, path: Path) -> None:
        write_json(path, self.model_dump(mode="json"))


def recorded_participants(path: Path) -> ParticipantRecord:
    """The record that a run has written of itself.

    Raises:
        RunError: it is damaged.
    """
    try:
        record = ParticipantRecord.model_validate_json(path.read_bytes())
        if 0 not in record.rounds:
            raise ValueError("it lacks round 0")
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise RunError(
            f"{path} is damaged: {reason}.", remedy="Restore it from a copy, or start the run anew."
        ) from error
    return record


def read_participants(path: Path, *, rounds: int, sites: Sequence[int]) -> ParticipantRecord:
    """Read and check a record for a run of `rounds` rounds over the clients `sites`.

    Raises:
        ConfigError: the file cannot be read, lacks a round, or names a client that does not exist.
    """
    try:
        record = ParticipantRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
        raise ConfigError(
            f"cannot use the participants file {path}: {reason}.", remedy="Take participants.json of a run."
        ) from error
    for number in range(1, rounds + 1):
        if not record.rounds.get(number):
            raise ConfigError(f"{path} names no participants for round {number}.")
    if unknown := sorted({client for chosen in record.rounds.values() for client in chosen} - set(sites)):
        raise ConfigError(
            f"{path} names the clients {unknown}, but the run has clients {describe_sites(sites)}.",
            remedy="Name the sites of the run that the record is of: --sites, or --clients.",
        )
    return record


def describe_sites(sites: Sequence[int]) -> str:
    """Numbers for a sentence: `0 to 9`, or `2, 3, 5` where they are not in a row."""
    in_a_row = len(sites) > 2 and list(sites) == list(range(sites[0], sites[-1] + 1))
    return f"{sites[0]} to {sites[-1]}" if in_a_row else ", ".join(map(str, sites))


class SeededSelection:
    """Draws `clients_per_round` of the clients `sites` from (seed, round), whatever the order in which they appeared.

    Every client has a fixed rank in each round; those available with the lowest ranks take part.
    """

    exact = False
    """Whether a missing participant makes the round worthless: a replay must be faithful."""

    def __init__(self, *, seed: int, sites: Sequence[int], clients_per_round: int | None) -> None:
        self._seed = seed
        self._sites = sites
        self._per_round = clients_per_round or len(sites)

    def required(self, round_number: int) -> Sequence[int]:
        """Clients without which the round cannot be."""
        return []

    def choose(self, round_number: int, available: Sequence[int]) -> list[int]:
        """Clients for the round, ascending."""
        order = list(self._sites)
        random.Random(derive_seed(self._seed, "participants", round_number)).shuffle(order)
        present = set(available)
        return sorted([client for client in order if client in present][: self._per_round])


class ReplayedSelection:
    """Takes exactly the recorded clients."""

    exact = True

    def __init__(self, rounds: Mapping[int, Sequence[int]]) -> None:
        self._rounds = rounds

    def required(self, round_number: int) -> Sequence[int]:
        return self._rounds[round_number]

    def choose(self, round_number: int, available: Sequence[int]) -> list[int]:
        return sorted(self._rounds[round_number])


Selection = SeededSelection | ReplayedSelection
"""Chooses a round's participants among those available."""
