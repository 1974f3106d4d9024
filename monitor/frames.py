"""What the stream says, frame by frame; the API's description has these models beside those of REST."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import AwareDatetime, Field, TypeAdapter

from monitor.shapes import RecordedEvent, RunView, Shape


class HelloFrame(Shape):
    """The first of each stream."""

    type: Literal["hello"] = "hello"
    run_id: str | None
    """`null` where it is of all runs."""
    database: str
    """Another one than before has other numbers: begin again with a snapshot."""
    after: int
    last_seq: int | None
    heartbeat_seconds: float
    now: AwareDatetime


class EventsFrame(Shape):
    """Events in their order; with what went before, none is missing."""

    type: Literal["events"] = "events"
    events: list[RecordedEvent]


class RunFrame(Shape):
    """A run, whenever it is another than it was shown last; of figures that move with each event, the next time."""

    type: Literal["run"] = "run"
    now: AwareDatetime
    run: RunView


class HeartbeatFrame(Shape):
    """Nothing else had to be said for a while."""

    type: Literal["heartbeat"] = "heartbeat"
    now: AwareDatetime
    last_seq: int | None


class ResyncFrame(Shape):
    """The cursor is not of this database any more: begin again with a snapshot; what follows comes after `after`."""

    type: Literal["resync"] = "resync"
    after: int
    reason: str


Frame = Annotated[HelloFrame | EventsFrame | RunFrame | HeartbeatFrame | ResyncFrame, Field(discriminator="type")]
frame_adapter: TypeAdapter[Frame] = TypeAdapter(Frame)


def describe_frames(app: FastAPI) -> None:
    """Have the description of an application name the frames of its stream, as the schema `StreamFrame`."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            frames = frame_adapter.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
            schemas = document["components"]["schemas"]
            for name, schema in frames.pop("$defs").items():
                schemas.setdefault(name, schema)
            schemas["StreamFrame"] = frames
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]
