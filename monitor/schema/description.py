"""What a run is made of and what it gave: said once by each attempt, so that no reader needs a file of the run.

What there is of each site is an event of its own. Of data that a site brought itself only what the site reports is
said: rows and metrics, and of classes nothing from which a count below 5 follows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from monitor.schema.base import LARGEST, Contract, EventBase, Identifier, Number, Sha256

Count = Annotated[int, Field(ge=0, le=LARGEST)]
Name = Annotated[str, Field(min_length=1, max_length=500)]
StandIn = Literal["phantom_data", "untrained_backbone"]
"""What stands in for the real thing: no score made with it says anything of medicine."""
STAND_INS: dict[StandIn, str] = {"phantom_data": "PHANTOM DATA", "untrained_backbone": "UNTRAINED BACKBONE"}
"""As it is named wherever such a score shows."""


def stand_ins(*, phantom: bool, trained: bool) -> list[StandIn]:
    """What of a run is not real.

    Args:
        phantom: its images are generated.
        trained: its backbone is; else its weights are random.
    """
    found: list[StandIn] = ["phantom_data"] if phantom else []
    return found if trained else [*found, "untrained_backbone"]


class ScoreInterval(Contract):
    """How far a score may be off because the rows behind it are a sample."""

    low: Number
    high: Number


class Score(Contract):
    """A score and the interval around it."""

    value: Number
    low: Number
    high: Number


class DataDescription(Contract):
    """The images: those that the model is scored on, where the sites bring their own."""

    site_data: Literal["partition", "own"]
    source: Name
    official: bool
    """The published archive, verified by its checksum."""
    phantom: bool
    """Generated: scores say nothing about medical images."""
    title: str
    fingerprint: str
    licence: str
    rows: dict[str, Count]
    """By split."""
    class_names: list[str] = Field(max_length=1000)
    """By class id."""


class BackboneDescription(Contract):
    name: str
    sha256: str
    trained: bool
    """Where not, its weights are random."""
    block_from: str | None = None
    """The run whose last block stands in for the backbone's own."""


class PartitionDescription(Contract):
    """Who holds what, where one dataset is spread over the sites."""

    name: str
    parameters: dict[str, JsonValue]


class CodeDescription(Contract):
    version: str
    commit: str | None
    """Of the checkout it runs from, with `-dirty` where it was changed; `null` outside one."""
    packages: dict[str, str]


class RunDescribed(EventBase):
    """What this attempt is made of; the federated part begins."""

    type: Literal["run_described"] = "run_described"
    status: Literal["described"] = "described"
    phase: Identifier
    configuration: dict[str, JsonValue]
    """All of it, defaults included."""
    artifacts: dict[str, str]
    """What was prepared, by kind: its key."""
    data: DataDescription
    backbone: BackboneDescription
    partition: PartitionDescription | None
    """`null` where the sites bring their own data."""
    code: CodeDescription

    @property
    def stand_ins(self) -> list[StandIn]:
        """What of it is not real."""
        return stand_ins(phantom=self.data.phantom, trained=self.backbone.trained)


class SiteDescribed(EventBase):
    """What a site holds."""

    type: Literal["site_described"] = "site_described"
    status: Literal["described"] = "described"
    rows: Count
    """For training."""
    validation_rows: Count
    rows_per_class: list[Count | Literal["<5", ">=5"]] | None = Field(default=None, max_length=1000)
    """By class id, training and validation together. Of a site's own data a count of 1 to 4 is `<5`, and one more is
    `>=5` that it could be solved from; `null` where they say too much even so."""
    scanner: str | None = None
    """What its simulated scanner does to images."""


class SiteEvaluated(EventBase):
    """How the final model does on a site's own validation rows (`metrics`), and how the site's own model did there.

    A metric is not there where the rows cannot tell, the AUC with one class for example.
    """

    type: Literal["site_evaluated"] = "site_evaluated"
    status: Literal["evaluated"] = "evaluated"
    rows: Count
    """Behind each metric."""
    last_round: Count
    """In which the site took part; its metrics are of the model of that round."""
    local_metrics: dict[str, Number]
    """Of the model that it trained in that round, before the server combined it with others."""
    intervals: dict[str, ScoreInterval]
    """Wilson intervals at 95 %, of the metrics that are parts of rows."""


class ClassEvaluation(Contract):
    """How well one class is told from all others; `null` where no row can say."""

    name: str
    rows: Count
    sensitivity: Score | None
    """Part of the class's rows that are found."""
    specificity: Score | None
    """Part of the other rows that are not taken for this class."""


class RunEvaluated(EventBase):
    """The final model on the test split: `metrics`, and how sure they are."""

    type: Literal["run_evaluated"] = "run_evaluated"
    status: Literal["evaluated"] = "evaluated"
    split: Literal["test"] = "test"
    model_sha256: Sha256
    rows: Count
    intervals: dict[str, ScoreInterval]
    """Percentile bootstrap over rows, by metric."""
    level: Number = Field(gt=0, lt=1)
    """The part of the draws that an interval holds."""
    resamples: Count
    classes: list[ClassEvaluation] = Field(max_length=1000)
    """By class id."""
    confusion: list[list[Count]] = Field(max_length=1000)
    """Rows of each true class by predicted class."""


class Spread(Contract):
    """One figure of many models."""

    lowest: Number
    median: Number
    highest: Number


class RunBounded(EventBase):
    """What the run's scores on the test split lie between, on the same budget of epochs."""

    type: Literal["run_bounded"] = "run_bounded"
    status: Literal["bounded"] = "bounded"
    budget_epochs: Number = Field(ge=0)
    centralized: dict[str, Number]
    """Of the model of all rows in one place."""
    closed_form: dict[str, Number]
    """Of the ridge head of all rows."""
    sites: Count
    local: dict[str, Spread]
    """Of the models of each site alone, by metric."""


class SiteBounded(EventBase):
    """The model of one site's rows alone, on the test split (`metrics`)."""

    type: Literal["site_bounded"] = "site_bounded"
    status: Literal["bounded"] = "bounded"
    rows: Count
    """That it was trained on."""
