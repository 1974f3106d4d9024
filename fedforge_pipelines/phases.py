"""The curriculum as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """One phase.

    Args:
        name: also its group, and the first part of its assets' keys.
        title: for people.
        after: the phase whose accepted model it needs.
    """

    name: str
    title: str
    after: str | None = None


PHASES = (
    Phase("blood", "Blood cells (BloodMNIST)"),
    Phase("derma", "Skin lesions (DermaMNIST)", after="blood"),
    Phase("path", "Colon tissue (PathMNIST)", after="derma"),
)
