"""Between the rows of the database and what the reducer works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from monitor.control import Command, Control, Desired, State
from monitor.reducer import CommandFacts, History, NodeFacts, RunFacts
from monitor.tables import CommandRow, NodeRow, RunRow

_AS_THEY_ARE = (
    "phase", "request", "requested_by", "asked_here", "reason", "engine", "rounds_total", "clients", "round",
    "model_sha256", "last_seq", "last_event_at", "claimant_url", "lease_over", "activity", "progress_at",
    "longest_gaps", "metrics", "stand_ins",
)  # fmt: skip
_OF_NODES = ("role", "status", "type", "round", "attempt", "last_seen_at", "reason")
_OF_COMMANDS = ("given_by", "attempt", "requested_at", "acknowledged_at", "effective_at", "effective_round", "outcome")


def control_of(run: RunRow) -> Control:
    """Where a run is."""
    before_lost = None if run.before_lost is None else State(run.before_lost)
    return Control(State(run.state), run.attempt, run.claimable, before_lost, cast("Desired | None", run.closing))


def run_facts(row: RunRow) -> RunFacts:
    """What is known of a run."""
    return RunFacts(
        run_id=row.run_id,
        created_at=row.created_at,
        control=control_of(row),
        claimed_by=row.leased_by,
        history=History(**row.history),
        **_values(row, _AS_THEY_ARE),
    )


def keep_run(row: RunRow, run: RunFacts) -> None:
    """Write down what is known of a run now."""
    control = run.control
    values = _values(run, _AS_THEY_ARE)
    values |= {"state": control.state.value, "attempt": control.attempt, "claimable": control.claimable}
    values |= {
        "before_lost": None if control.before_lost is None else control.before_lost.value,
        "closing": control.closing,
        "leased_by": run.claimed_by,
        "history": asdict(run.history),
    }
    _keep(row, values)


def node_facts(row: NodeRow) -> NodeFacts:
    """What is known of a node."""
    return NodeFacts(row.node_id, **_values(row, _OF_NODES))


def node_row(run_id: str, node: NodeFacts) -> NodeRow:
    """A row for a node of which there is none yet."""
    return NodeRow(run_id=run_id, node_id=node.node_id, **_values(node, _OF_NODES))


def keep_node(row: NodeRow, node: NodeFacts) -> None:
    """Write down what is known of a node now."""
    _keep(row, _values(node, _OF_NODES))


def command_facts(row: CommandRow) -> CommandFacts:
    """What is known of a command."""
    return CommandFacts(row.command_id, Command(row.command), **_values(row, _OF_COMMANDS))


def command_row(run_id: str, command: CommandFacts) -> CommandRow:
    """A row for a command that was just given."""
    values = _values(command, _OF_COMMANDS)
    return CommandRow(command_id=command.command_id, run_id=run_id, command=command.command.value, **values)


def keep_command(row: CommandRow, command: CommandFacts) -> None:
    """Write down what became of a command."""
    _keep(row, _values(command, _OF_COMMANDS))


def _values(found: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(found, name) for name in names}


def _keep(row: RunRow | NodeRow | CommandRow, values: Mapping[str, object]) -> None:
    """Only what is new, so that nothing else is written."""
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
