"""What the federation itself costs for each client in each round, when the client's own work is nothing.

Run as a module it measures in a process of its own and prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import Future
from dataclasses import dataclass

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from benchmarks import trivial_client
from benchmarks.figures import Results
from benchmarks.product import run_json
from benchmarks.subject import WORKERS, Subject, fresh_home
from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.base import Federation
from fedforge_runtime.engines.inprocess import InprocessEngine
from fedforge_runtime.federation.grid import RunGrid
from fedforge_runtime.federation.rounds import RoundLoop, RoundRules
from fedforge_runtime.learning.parameters import Parameters, initial_head
from fedforge_runtime.processes import TEMPLATE
from fedforge_runtime.processes.environment import configure_third_parties
from fedforge_runtime.record.checkpoint import Checkpoint, CheckpointStore
from fedforge_runtime.record.participants import SeededSelection
from fedforge_runtime.record.records import write_tables
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.control import AlwaysRun
from fedforge_runtime.telemetry.emitter import Emitter

_FEATURES, _CLASSES = 192, 8
_SEED = 17
_CONNECT_SECONDS = 120.0
_TIMEOUT_SECONDS = 600.0


def measure(subject: Subject) -> Results:
    """Milliseconds for each client and round, for training alone and with the clients' evaluation."""
    effort = subject.effort
    size = ["--clients", str(effort.overhead_clients), "--rounds", str(effort.overhead_rounds)]
    command = [sys.executable, "-m", "benchmarks.overhead", *size]
    training, both = run_json(command), run_json([*command, "--evaluate"])
    return {
        "client_round_overhead_ms": training["milliseconds"],
        "client_round_overhead_with_evaluation_ms": both["milliseconds"],
        "client_round_overhead_clients": effort.overhead_clients,
        "client_round_overhead_rounds": effort.overhead_rounds,
        "client_round_overhead_includes": (
            "messages to worker processes and back, a client that adds a number with numpy, events of client and "
            "server with heartbeats, checks, FedAvg, records, tables and durable checkpoints; without evaluation "
            "unless named so"
        ),
    }


@dataclass
class _Server:
    """The product's grid, round loop, strategy, log and checkpoints around a model that nobody evaluates."""

    folder: RunFolder
    clients: int
    rounds: int
    evaluate: bool
    seconds: float = 0.0

    def main(self, grid: Grid, context: Context) -> None:
        """Time the rounds, the discovery of clients not counted."""
        with Emitter(self.folder.events, run_id=self.folder.run_id, role="server") as emitter:
            run_grid = RunGrid(grid, control=AlwaysRun(), emitter=emitter, sites=range(self.clients))
            run_grid.discover(self.clients, timeout=_CONNECT_SECONDS)
            checkpoints = CheckpointStore(self.folder.checkpoints)

            def save(checkpoint: Checkpoint) -> None:
                checkpoints.save(checkpoint)
                write_tables(self.folder, checkpoint.records)

            loop = RoundLoop(
                grid=run_grid,
                strategy=FedAvg(fraction_evaluate=float(self.evaluate), min_train_nodes=1, min_evaluate_nodes=1),
                selection=SeededSelection(seed=_SEED, sites=range(self.clients), clients_per_round=None),
                rules=RoundRules(_SEED, self.rounds, self.clients, _TIMEOUT_SECONDS),
                emitter=emitter,
                evaluate_centrally=_evaluate_nothing,
                save=save,
            )
            start = Checkpoint(0, initial_head(_FEATURES, _CLASSES, seed=_SEED), {}, None, [])
            started = monotonic()
            loop.run(start)
            self.seconds = monotonic() - started


def _evaluate_nothing(parameters: Parameters) -> Future[dict[str, float]]:
    done: Future[dict[str, float]] = Future()
    done.set_result({})
    return done


def _time_rounds(clients: int, rounds: int, evaluate: bool) -> Results:
    configure_third_parties()
    TEMPLATE.start()
    with fresh_home() as home:
        folder = home.run("overhead")
        folder.path.mkdir(parents=True)
        server = _Server(folder, clients, rounds, evaluate)
        server_app = ServerApp()
        server_app.main()(server.main)
        run_config = {trivial_client.EVENTS: str(folder.events)}
        InprocessEngine().run(
            Federation(server_app, run_config, clients, WORKERS, client_app="benchmarks.trivial_client:app")
        )
        return {"milliseconds": server.seconds * 1000 / (clients * rounds)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--evaluate", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(_time_rounds(arguments.clients, arguments.rounds, arguments.evaluate)))
