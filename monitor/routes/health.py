"""Whether the monitor lives, whether it can work, and its figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlmodel import Session, func, select

from monitor.attention import Attention, attention
from monitor.control import State
from monitor.service import Serviced
from monitor.shapes import Health
from monitor.tables import RunRow
from monitor.version import VERSION

router = APIRouter(tags=["operation"])


@router.get("/api/health")
async def health() -> Health:
    """The process lives."""
    return Health(version=VERSION)


@router.get("/api/attention")
async def show_attention(service: Serviced) -> Attention:
    """What needs somebody now, each with its next step, the most pressing first."""
    free = service.free_bytes()
    now = service.now()
    offers = service.offers.living(now)
    return await service.read(lambda session: attention(session, now, free_bytes=free, offers=offers))


@router.get("/api/ready")
async def ready(service: Serviced) -> Health:
    """It can read and write its database, and has just done so; 503 with the reason otherwise."""
    await service.require_ready()
    return Health(version=VERSION)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: Serviced) -> Response:
    """For Prometheus."""
    figures = await service.read(_figures)
    registry = CollectorRegistry()
    registry.register(_Figures(figures))
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")


def _figures(session: Session) -> list[Metric]:
    counts: dict[str, int] = dict(session.exec(select(RunRow.state, func.count()).group_by(RunRow.state)).all())
    runs = GaugeMetricFamily("fedforge_runs", "Runs by state.", labels=["state"])
    for state in State:
        runs.add_metric([state.value], counts.get(state.value, 0))
    events = GaugeMetricFamily("fedforge_run_events", "Events of a run that are kept.", labels=["run_id"])
    rounds = GaugeMetricFamily("fedforge_run_round", "The latest round of a run.", labels=["run_id"])
    for run in session.exec(select(RunRow).where(RunRow.state != State.COMPLETED.value)):
        events.add_metric([run.run_id], run.last_seq)
        rounds.add_metric([run.run_id], run.round)
    return [runs, events, rounds]


class _Figures(Collector):
    def __init__(self, figures: list[Metric]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        return self._figures
