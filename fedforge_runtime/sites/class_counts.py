"""What a site says of how many rows each class has in data of its own: nothing from which a small count follows.

Whoever reads it knows the rows of the site all together, since they weigh its update, and knows this rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

SMALLEST = 5
"""The smallest count that is said."""
FEWER: Literal["<5"] = "<5"
OR_MORE: Literal[">=5"] = ">=5"
SaidCount = int | Literal["<5", ">=5"]


def said_counts(counts: Sequence[int]) -> list[SaidCount] | None:
    """The counts as they may leave the site; `None` where none may.

    A count of 1 to 4 is `<5`. As it could be solved from the sum of all, one more is then withheld and said as `>=5`:
    that of the first class that has so many. Other counts are exact; 0 says that the class is not there.

    `None` is said where the classes have less than 5 rows on average, and where the withheld counts are the least that
    they can be, as their sum would tell each of them. For every count of 1 to 4 there is then another one that leads to
    the same answer and the same sum, as long as there are two classes.

    Args:
        counts: by class id.
    """
    if sum(counts) < SMALLEST * len(counts):
        return None
    small = [count for count in counts if 0 < count < SMALLEST]
    if not small:
        return list(counts)
    withheld = next(place for place, count in enumerate(counts) if count >= SMALLEST)
    if sum(small) + counts[withheld] == len(small) + SMALLEST:
        return None
    said: list[SaidCount] = [FEWER if 0 < count < SMALLEST else count for count in counts]
    said[withheld] = OR_MORE
    return said
