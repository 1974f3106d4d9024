"""The words that people are shown, kept beside what they are about."""

from __future__ import annotations

from fastapi import APIRouter

from monitor.activity import ACTIVITIES, CONDITIONS
from monitor.control import STATES
from monitor.schema import SENTENCES, STAGES, TASKS
from monitor.shapes import Words

router = APIRouter(tags=["operation"])


@router.get("/api/words")
async def show_words() -> Words:
    """A sentence for each type of event; states, conditions and activities in words."""
    return words()


def words() -> Words:
    """All of them."""
    return Words(
        sentences=dict(SENTENCES),
        tasks=dict(TASKS),
        stages=dict(STAGES),
        states=dict(STATES),
        conditions=dict(CONDITIONS),
        activities=dict(ACTIVITIES),
    )
