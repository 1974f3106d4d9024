"""The events of a run and the request for one: pure pydantic, imported by every emitter and reader.

An event is one fact about one run. `event_id` makes its delivery idempotent; `emitter_id` and `emitter_seq`
make a loss visible (each emitting process counts 1, 2, 3 …); the monitor adds `seq` and `received_at`.
With each acknowledgement it says what it holds, so that a sender notices when that is less than it was told before.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from monitor.schema.base import (
    LARGEST,
    LARGEST_EVENT_BYTES,
    NO_TRUTH,
    EventBase,
    Identifier,
    Number,
    Reason,
    Role,
    Sha256,
    Task,
)
from monitor.schema.deeds import (
    CommandAcknowledged,
    CommandGiven,
    CommandName,
    CommandSettled,
    Deed,
    LeaseEnded,
    Link,
    Person,
    RunBack,
    RunClaimed,
    RunLost,
)
from monitor.schema.delivery import Holding, Position
from monitor.schema.description import (
    STAND_INS,
    BackboneDescription,
    ClassEvaluation,
    CodeDescription,
    DataDescription,
    PartitionDescription,
    RunBounded,
    RunDescribed,
    RunEvaluated,
    Score,
    ScoreInterval,
    SiteBounded,
    SiteDescribed,
    SiteEvaluated,
    Spread,
    StandIn,
    stand_ins,
)
from monitor.schema.lifecycle import (
    RunCompleted,
    RunFailed,
    RunPaused,
    RunRequested,
    RunResumed,
    RunStarted,
    RunStopped,
    SitesAwaited,
    Stage,
    StageProgress,
)
from monitor.schema.request import OverrideValue, RunRequest
from monitor.schema.rounds import (
    AggregationCompleted,
    AggregationStarted,
    CheckpointSaved,
    ClientEvaluated,
    ClientTrainCompleted,
    ClientTrainStarted,
    ClientUpdateArriving,
    ClientUpdateUploaded,
    ModelDispatched,
    NodeError,
    NodeHeartbeat,
    RoundCompleted,
    RoundStarted,
)
from monitor.schema.sites import EventsDropped, SiteSeen
from monitor.schema.words import SENTENCES, STAGES, TASKS, Sentence, sentence, sentence_of

Event = Annotated[
    RunRequested
    | RunStarted
    | StageProgress
    | SiteSeen
    | EventsDropped
    | RunDescribed
    | SiteDescribed
    | SitesAwaited
    | RunPaused
    | RunResumed
    | RunStopped
    | RunCompleted
    | RunFailed
    | NodeHeartbeat
    | NodeError
    | RoundStarted
    | ModelDispatched
    | ClientTrainStarted
    | ClientTrainCompleted
    | ClientUpdateArriving
    | ClientUpdateUploaded
    | ClientEvaluated
    | AggregationStarted
    | AggregationCompleted
    | CheckpointSaved
    | RoundCompleted
    | SiteEvaluated
    | RunEvaluated
    | RunBounded
    | SiteBounded
    | CommandGiven
    | CommandAcknowledged
    | CommandSettled
    | RunClaimed
    | LeaseEnded
    | RunLost
    | RunBack,
    Field(discriminator="type"),
]
event_adapter: TypeAdapter[Event] = TypeAdapter(Event)

__all__ = [
    "LARGEST",
    "LARGEST_EVENT_BYTES",
    "NO_TRUTH",
    "SENTENCES",
    "STAGES",
    "STAND_INS",
    "TASKS",
    "AggregationCompleted",
    "AggregationStarted",
    "BackboneDescription",
    "CheckpointSaved",
    "ClassEvaluation",
    "ClientEvaluated",
    "ClientTrainCompleted",
    "ClientTrainStarted",
    "ClientUpdateArriving",
    "ClientUpdateUploaded",
    "CodeDescription",
    "CommandAcknowledged",
    "CommandGiven",
    "CommandName",
    "CommandSettled",
    "DataDescription",
    "Deed",
    "Event",
    "EventBase",
    "EventsDropped",
    "Holding",
    "Identifier",
    "LeaseEnded",
    "Link",
    "ModelDispatched",
    "NodeError",
    "NodeHeartbeat",
    "Number",
    "OverrideValue",
    "PartitionDescription",
    "Person",
    "Position",
    "Reason",
    "Role",
    "RoundCompleted",
    "RoundStarted",
    "RunBack",
    "RunBounded",
    "RunClaimed",
    "RunCompleted",
    "RunDescribed",
    "RunEvaluated",
    "RunFailed",
    "RunLost",
    "RunPaused",
    "RunRequest",
    "RunRequested",
    "RunResumed",
    "RunStarted",
    "RunStopped",
    "Score",
    "ScoreInterval",
    "Sentence",
    "Sha256",
    "SiteBounded",
    "SiteDescribed",
    "SiteEvaluated",
    "SiteSeen",
    "SitesAwaited",
    "Spread",
    "Stage",
    "StageProgress",
    "StandIn",
    "Task",
    "event_adapter",
    "sentence",
    "sentence_of",
    "stand_ins",
]
