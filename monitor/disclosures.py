"""What has left each site in a run, for whoever answers for its data: kinds of message, how many, and how large."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlmodel import Session, col, select

from monitor.shapes import Shape
from monitor.tables import EventRow, RunRow

_PROTECTION = "no differential privacy, no secure aggregation: the server sees what each site sends"
_MOST_WITHHELD = 4
"""Of a class whose count is said as `<5`."""
_OF_SITES = ("client_update_uploaded", "site_described", "run_described")


class Disclosure(Shape):
    """One kind of message of a site."""

    task: str
    messages: int
    payload_bytes: int
    """All of them together, as Flower counts."""
    contains: str
    sums: bool
    """Sums over rows are among it."""
    per_class: bool
    """Sums of the rows of one class are among it."""
    smallest_group: int | None
    """The fewest rows behind one of its numbers; `null` where nobody here knows."""


class SiteDisclosures(Shape):
    node_id: str
    rows: int | None
    sent: list[Disclosure]


class Disclosures(Shape):
    """What has left the sites of a run; pictures never do."""

    run_id: str
    protection: str
    sites: list[SiteDisclosures]


def disclosures(session: Session, run: RunRow) -> Disclosures:
    """Counted from the run's events."""
    query = (
        select(EventRow.type, EventRow.node_id, EventRow.body)
        .where(EventRow.run_id == run.run_id, col(EventRow.type).in_(_OF_SITES))
        .order_by(col(EventRow.seq))
    )
    configuration: dict[str, Any] = {}
    described: dict[str, dict[str, Any]] = {}
    counted: dict[str, dict[str, list[int]]] = {}
    for kind, node_id, body in session.exec(query):
        event = json.loads(body)
        if kind == "run_described":
            configuration = event["configuration"]
        elif kind == "site_described":
            classes = event["rows_per_class"] or described.get(node_id, {}).get("rows_per_class")
            described[node_id] = event | {"rows_per_class": classes}
        else:
            of_task = counted.setdefault(node_id, {}).setdefault(event["task"], [0, 0])
            of_task[0] += 1
            of_task[1] += event["payload_bytes"] or 0
    return Disclosures(
        run_id=run.run_id,
        protection=_PROTECTION,
        sites=[
            SiteDisclosures(
                node_id=node_id,
                rows=described.get(node_id, {}).get("rows"),
                sent=[
                    _disclosure(task, messages, size, configuration, described.get(node_id, {}))
                    for task, (messages, size) in tasks.items()
                ],
            )
            for node_id, tasks in sorted(counted.items())
        ],
    )


def _disclosure(
    task: str, messages: int, size: int, configuration: Mapping[str, Any], site: Mapping[str, Any]
) -> Disclosure:
    federation = configuration.get("federation", {})
    closed_form = federation.get("strategy", {}).get("name") == "closed_form"
    per_class = (task == "statistics" and federation.get("warm_start") == "closed_form") or (
        task == "train" and closed_form
    )
    sums = task == "statistics" or per_class
    if task == "evaluate":
        contains, group = "scores of the model on the site's validation rows", site.get("validation_rows")
    elif per_class:
        contains, group = "second moments of all rows' features and sums of each class's", _smallest(site)
    elif sums:
        contains, group = "sums and sums of squares of all rows' features", site.get("rows")
    else:
        contains, group = "the trained weights and their scores", site.get("rows")
    if task == "train" and federation.get("site_data") == "own" and site.get("rows_per_class"):
        contains += "; once, how many rows each class has, no count below 5"
    return Disclosure(
        task=task,
        messages=messages,
        payload_bytes=size,
        contains=contains,
        sums=sums,
        per_class=per_class,
        smallest_group=group,
    )


def _smallest(site: Mapping[str, Any]) -> int | None:
    """Of the classes that the site has; training and validation rows are counted together there, so at most that."""
    counts: Iterable[int | str] = [count for count in site.get("rows_per_class") or [] if count]
    known = [_MOST_WITHHELD if count == "<5" else count for count in counts if count != ">=5"]
    return min((count for count in known if isinstance(count, int)), default=None)
