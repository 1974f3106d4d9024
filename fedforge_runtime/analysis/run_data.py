"""`RunData`: one run as frames, wherever it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from fedforge_runtime.analysis.tables import client_of, frame
from fedforge_runtime.data.skew import effective_classes, jensen_shannon_distance
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.record.comparison import FEDERATED
from fedforge_runtime.record.summary import provenance
from monitor.schema import Event, RunDescribed, RunEvaluated, SiteDescribed, SiteEvaluated

EventT = TypeVar("EventT", bound=Event)

_TEST_SCORES = {
    "model": "str",
    "client": "Int64",
    "rows": "Int64",
    **dict.fromkeys(METRIC_NAMES, "float64"),
    "accuracy_low": "float64",
    "accuracy_high": "float64",
}
_SITES = {
    "client": "int64",
    "rows": "Int64",
    "validation_rows": "Int64",
    "jensen_shannon_distance": "float64",
    "effective_classes": "float64",
    "last_round": "Int64",
    "local_accuracy": "float64",
    "global_accuracy": "float64",
    "accuracy_low": "float64",
    "accuracy_high": "float64",
}


@dataclass(frozen=True)
class RunData:
    """One run. Frames have one line for what their name says, and no index but the number of the line.

    Args:
        run_id: the run.
        rounds: its completed rounds, as `rounds.csv`: `round`, `mode` (what was trained), `clients` (whose updates were
            used), `failures` (sites that were chosen and gave no usable answer), `training_loss` (mean over clients by
            rows), `validation_<metric>` (of the new model on the central validation split), `seconds`, `bytes_sent` and
            `bytes_received` (of the server), `model_sha256`.
        clients: sites in rounds, as `clients.csv`: `round`, `client`, `rows`, `validation_rows`, `training_loss`,
            `local_<metric>` (of the site's own model before aggregation, on its validation rows), `global_<metric>`
            (of the new model on the same rows; missing where the site did not answer), `seconds` (of training, on the
            site's clock), `round_trip_seconds` (of training, on the server's clock), `bytes_sent` (to it),
            `bytes_received`.
        events: everything that was said, as the contract has it: `ts` is UTC on the emitter's clock, `latency_ms`
            milliseconds, `payload_bytes` bytes; `sentence` says it in words. In the order of the source: that of the
            log, or that in which a monitor has recorded them, which has its own deeds (commands, claims) among them.
        bounds: what the run is compared with, on the test split: `model` (`closed form`, `all rows in one place`, and
            `alone` for each site's rows alone, with its `client`), `rows` and metrics; empty where there are none.
        log: the events themselves.
        damage: one sentence for everything of the source that could not be read and was left out.
    """

    run_id: str
    rounds: pd.DataFrame
    clients: pd.DataFrame
    events: pd.DataFrame
    bounds: pd.DataFrame
    log: Sequence[Event]
    damage: Sequence[str] = ()

    @property
    def description(self) -> RunDescribed | None:
        """What the latest attempt is made of; `None` where none came that far."""
        return self._last(RunDescribed)

    @property
    def label(self) -> str:
        """What must stand beside every number of the run: `PHANTOM DATA, UNTRAINED BACKBONE` for example.

        Empty where the images are the official ones and the backbone is trained.
        """
        described = self.description
        if described is None:
            return "DATA AND BACKBONE UNKNOWN"
        data, trained = described.data, described.backbone.trained
        if data.official and trained and data.site_data == "partition":
            return ""
        return provenance(
            {
                "site_data": data.site_data,
                "data": {"source": data.source, "fingerprint": data.fingerprint, "official": data.official},
                "backbone": {"name": described.backbone.name, "trained": trained},
            }
        )

    @property
    def test_scores(self) -> pd.DataFrame:
        """The run's model (`federated`) and what it is compared with (`bounds`) on the test split.

        Columns as in `bounds`, and `accuracy_low` and `accuracy_high`: the bootstrap's interval, of the run's model
        only.
        """
        evaluated = self._last(RunEvaluated)
        accuracy = evaluated.intervals.get("accuracy") if evaluated else None
        interval = {"accuracy_low": accuracy.low, "accuracy_high": accuracy.high} if accuracy else {}
        own = [{"model": FEDERATED, **evaluated.metrics, **interval}] if evaluated else []
        bounds = self.bounds.reindex(columns=list(_TEST_SCORES))
        return pd.concat([bounds, frame(own, _TEST_SCORES)], ignore_index=True).astype(_TEST_SCORES)

    @property
    def class_counts(self) -> pd.DataFrame:
        """Rows of each class at each site (index `client`, a column for each class), training and validation together.

        Empty where sites bring data of their own and say of a class only that it has fewer or more than 5 rows.
        """
        described = self.description
        names = described.data.class_names if described else []
        counts = {client: event.rows_per_class for client, event in self._of_sites(SiteDescribed).items()}
        if not names or not all(each and all(isinstance(count, int) for count in each) for each in counts.values()):
            counts = {}
        table = pd.DataFrame.from_dict(counts, orient="index", columns=names, dtype="int64")
        return table.rename_axis("client").sort_index()

    @property
    def sites(self) -> pd.DataFrame:
        """What each site holds, how unlike it is to all of them, and how the model of its last round does there.

        `jensen_shannon_distance` of the site's mix of classes to that of all rows (base 2; 0 the same, 1 no class in
        common) and `effective_classes` are missing where `class_counts` is empty; `global_accuracy` and
        `local_accuracy` are of the new model and of the site's own one in `last_round`, on the site's validation
        rows, and `accuracy_low` to `accuracy_high` is the Wilson interval of the former at 95 %, of a run that has
        ended.
        """
        counts, evaluated = self.class_counts, self._of_sites(SiteEvaluated)
        held = self._of_sites(SiteDescribed)
        last = self.clients.drop_duplicates("client", keep="last").set_index("client")
        rows = []
        for client in sorted({*held, *last.index}):
            described, ended = held.get(client), evaluated.get(client)
            interval = ended.intervals.get("accuracy") if ended else None
            latest = last.loc[client] if client in last.index else {}
            rows.append(
                {
                    "client": client,
                    "rows": described.rows if described else latest["rows"],
                    "validation_rows": described.validation_rows if described else latest["validation_rows"],
                    **(_skew(counts, client) if client in counts.index else {}),
                    "last_round": latest.get("round"),
                    "local_accuracy": latest.get("local_accuracy"),
                    "global_accuracy": latest.get("global_accuracy"),
                    **({"accuracy_low": interval.low, "accuracy_high": interval.high} if interval else {}),
                }
            )
        return frame(rows, _SITES)

    def _last(self, kind: type[EventT]) -> EventT | None:
        return next((event for event in reversed(self.log) if isinstance(event, kind)), None)

    def _of_sites(self, kind: type[EventT]) -> dict[int, EventT]:
        """The latest event of a kind of each site."""
        of_nodes = {client_of(event.node_id): event for event in self.log if isinstance(event, kind)}
        return {client: event for client, event in of_nodes.items() if client is not None}


def _skew(counts: pd.DataFrame, client: int) -> dict[str, float]:
    own, everybody = counts.loc[client].to_numpy(), np.asarray(counts.sum())
    return {
        "jensen_shannon_distance": jensen_shannon_distance(own, everybody),
        "effective_classes": effective_classes(own),
    }
