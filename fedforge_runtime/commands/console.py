"""The narrator on a terminal: notices and progress on standard error, results on standard output."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from fedforge_runtime.clock import monotonic
from fedforge_runtime.commands.tables import print_table
from fedforge_runtime.config import read_run_config
from fedforge_runtime.learning.metric_names import METRIC_NAMES
from fedforge_runtime.progress import Progress as PassProgress
from fedforge_runtime.record.comparison import Bounds, compare_with_bounds
from fedforge_runtime.record.summary import ClientSummary, RoundSummary, RunSummary, provenance
from fedforge_runtime.storage.home import RunFolder
from fedforge_runtime.telemetry.emitter import EventLogReader
from fedforge_runtime.wording import rough_duration, size, some_of
from monitor.schema import Event, NodeError, RoundCompleted, RoundStarted, SitesAwaited, Stage

_FAR_OFF, _FAR_OFF_SECONDS = 0.5, 30.0
"""How much of what is left an estimate may be wrong before it is corrected, and how many seconds in any case."""
_FOLLOW_SECONDS = 0.2


class ConsoleNarrator:
    """Tells a person what happens, while it happens."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._expected_end: float | None = None
        """Of the present pass, as was said last."""

    def notice(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)

    def banner(self, text: str) -> None:
        self._console.print(Panel(escape(text), border_style="yellow", title="please note", title_align="left"))

    def stage(self, name: Stage) -> AbstractContextManager[None]:
        """What it does is told in words of its own."""
        return nullcontext()

    def download(self, done: int, total: int) -> None:
        self.notice(f"{size(done)} of {size(total)} are here.")

    def row_pass(self, progress: PassProgress) -> None:
        if self._progress is None:
            self.notice(
                f"Computing the backbone's {progress.what} once: {progress.rows_total:,} images, "
                f"{size(progress.bytes_total)} on disk"
                + (f"; {progress.rows_done:,} are there already." if progress.rows_done else ".")
            )
            self._expected_end = None
            self._progress = self._bar(progress.what)
            self._task = self._progress.add_task(progress.what, total=progress.rows_total)
            self._progress.start()
        if progress.seconds_left is not None:
            self._say_how_long(progress.seconds_left)
        self._progress.update(self._task, completed=progress.rows_done)
        if progress.rows_done == progress.rows_total:
            self.close()

    def _say_how_long(self, seconds: float) -> None:
        """Say it once, and again when it turns out to be far from true."""
        end = monotonic() + seconds
        if self._expected_end is None:
            self.notice(f"This takes about {rough_duration(seconds)}.")
        elif seconds > _FAR_OFF_SECONDS and abs(end - self._expected_end) > max(_FAR_OFF_SECONDS, _FAR_OFF * seconds):
            self.notice(f"It goes on for about {rough_duration(seconds)}.")
        else:
            return
        self._expected_end = end

    def bounds(self, models_done: int, models_total: int) -> None:
        if self._progress is None:
            self.notice("Training the bounds: each site alone, and all rows in one place.")
            self._progress = self._bar("models")
            self._task = self._progress.add_task("bounds", total=models_total)
            self._progress.start()
        self._progress.update(self._task, completed=models_done)
        if models_done == models_total:
            self.close()

    def bounded(self, folder: RunFolder) -> None:
        """They are shown with the run's own scores."""

    @contextmanager
    def rounds(self, folder: RunFolder) -> Iterator[None]:
        """Show rounds and failures as they are written to the run's event log."""
        total = read_run_config(folder.config).federation.rounds
        ended = threading.Event()
        reader = EventLogReader(folder.events)
        with self._bar("rounds") as progress:
            task = progress.add_task("rounds", total=total)

            def follow() -> None:
                while not ended.wait(_FOLLOW_SECONDS):
                    for event in reader.read_new():
                        self._show(event, progress, task)

            thread = threading.Thread(target=follow, name="follow-rounds", daemon=True)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
                for event in reader.read_new():
                    self._show(event, progress, task)

    def close(self) -> None:
        """End a progress bar that is still shown."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _show(self, event: Event, progress: Progress, task: TaskID) -> None:
        if isinstance(event, RoundStarted):
            progress.update(task, description=f"round {event.round}")
        elif isinstance(event, RoundCompleted):
            accuracy = event.metrics.get("accuracy", float("nan"))
            progress.update(task, completed=event.round, description=f"accuracy {accuracy:.3f}")
        elif isinstance(event, SitesAwaited):
            named = some_of(event.missing_nodes, of=event.missing)
            progress.console.print(f"waiting for {named}: {event.connected} connected", highlight=False)
        elif isinstance(event, NodeError):
            progress.console.print(f"[yellow]{event.node_id}[/yellow], round {event.round}: {escape(event.reason)}")

    def _bar(self, unit: str) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )


def print_run(summary: RunSummary) -> None:
    """Rounds, clients, scores and paths of a run, on standard output."""
    console = Console()
    console.print(_headline(summary), highlight=False, markup=False)
    if summary["latest"] and not summary["reason"]:  # which the headline has
        console.print(f"latest: {summary['latest']}", highlight=False, markup=False, soft_wrap=True)
    if summary["rounds"]:
        print_table(console, _rounds_table(summary["rounds"]))
        print_table(console, _clients_table(summary["clients"]))
    if summary["metrics"]:
        scores = ", ".join(
            f"{name} {summary['metrics'][name]:.4f}" for name in METRIC_NAMES if name in summary["metrics"]
        )
        console.print(f"test split: {scores}", highlight=False)
    if summary["bounds"]:
        print_table(console, _comparison_table(summary))
    if summary["model_sha256"]:
        console.print(f"model sha256 {summary['model_sha256']}", highlight=False)
    for name in ("model", "report", "run"):
        if name in summary["artifacts"]:
            console.print(f"{name:7}{summary['artifacts'][name]}", highlight=False, markup=False, soft_wrap=True)
    _print_damage(console, summary)


def print_runs(rows: list[RunSummary]) -> None:
    """One line a run, oldest first."""
    table = Table(Column("run", no_wrap=True), "phase", "state", "rounds", "accuracy", "data", "seed")
    for row in rows:
        accuracy = row["metrics"].get("accuracy")
        table.add_row(
            row["run_id"],
            row["phase"],
            row["state"],
            f"{row['rounds_completed']}/{row['rounds_total']}",
            f"{accuracy:.4f}" if accuracy is not None else "",
            provenance(row),
            str(row["seed"]),
        )
    console = Console()
    print_table(console, table)
    for row in rows:
        _print_damage(console, row)


def _print_damage(console: Console, summary: RunSummary) -> None:
    for sentence in summary["damaged"]:
        console.print(f"[yellow]damaged:[/yellow] {escape(sentence)}", highlight=False, soft_wrap=True)


def print_bounds(bounds: Bounds) -> None:
    """Scores on the test split of what a run lies between: each site alone, and all rows in one place."""
    metrics = ("accuracy", "balanced_accuracy", "loss")
    table = Table(
        "model", Column("rows", justify="right"), *(name.replace("_", " ") for name in metrics),
        title=f"test split; {bounds['budget_epochs']} epochs",
    )  # fmt: skip
    local = bounds["local"]
    rows_of_all = float(sum(site["rows"] for site in local))
    mean = {name: sum(site["test"][name] for site in local) / len(local) for name in metrics}
    for model, rows, scores in (
        *((f"client {site['client']} alone", float(site["rows"]), site["test"]) for site in local),
        ("a client alone, mean", rows_of_all / len(local), mean),
        ("closed form", rows_of_all, bounds["closed_form"]["test"]),
        ("all rows in one place", rows_of_all, bounds["centralized"]["test"]),
    ):
        table.add_row(model, f"{rows:,.0f}", *(f"{scores[name]:.4f}" for name in metrics))
    print_table(Console(), table)


def print_artifacts(rows: list[tuple[str, str, str]]) -> None:
    """Kind, whether it was made now, and path of prepared artifacts."""
    table = Table("artifact", "", "path")
    for row in rows:
        table.add_row(*map(escape, row))
    print_table(Console(), table)


def _headline(summary: RunSummary) -> str:
    reason = f" ({summary['reason']})" if summary["reason"] else ""
    return (
        f"run {summary['run_id']}: {summary['state']}{reason}, "
        f"{summary['rounds_completed']} of {summary['rounds_total']} rounds, engine {summary['engine']}, "
        f"strategy {summary['strategy']}, seed {summary['seed']} - {provenance(summary)}\n"
        f"mode {summary['mode']}: {summary['carried_over']}"
    )


def _rounds_table(rounds: list[RoundSummary]) -> Table:
    staged = len({row["mode"] for row in rounds}) > 1
    headings = ["round", *(["mode"] if staged else []), "clients", "accuracy", "balanced accuracy", "loss", "seconds"]
    table = Table(*headings, "bytes", title="validation split")
    for row in rounds:
        metrics = row["validation_metrics"]
        failed = f" (-{len(row['failures'])})" if row["failures"] else ""
        table.add_row(
            str(row["round"]),
            *([row["mode"]] if staged else []),
            f"{len(row['participants'])}{failed}",
            *(_score(metrics, name) for name in ("accuracy", "balanced_accuracy", "loss")),
            f"{row['seconds']:.2f}",
            f"{row['bytes_sent'] + row['bytes_received']:,}",
        )
    return table


def _comparison_table(summary: RunSummary) -> Table:
    metrics = ("accuracy", "balanced_accuracy", "loss")
    table = Table(
        Column("model", no_wrap=True), "rows", *(name.replace("_", " ") for name in metrics),
        title="test split: the federated model beside its bounds",
    )  # fmt: skip
    for model in compare_with_bounds({}, summary["metrics"], summary["bounds"]):
        scores = (f"{model.test[name]:.4f}" if name in model.test else "" for name in metrics)
        table.add_row(model.name, f"{model.rows:,.0f}" if model.rows else "", *scores)
    return table


def _clients_table(clients: list[ClientSummary]) -> Table:
    table = Table(
        "client", "rows", "rounds", "own model", "global model", "loss", "seconds", "bytes",
        title="clients, last round: accuracy on own validation rows",
    )  # fmt: skip
    for row in clients:
        table.add_row(
            str(row["client"]),
            f"{row['rows']:,}",
            str(row["rounds"]),
            _score(row["local_metrics"], "accuracy"),
            _score(row["global_metrics"], "accuracy"),
            f"{row['training_loss']:.4f}",
            f"{row['seconds']:.2f}",
            f"{row['bytes_sent'] + row['bytes_received']:,}",
        )
    return table


def _score(metrics: dict[str, float], name: str) -> str:
    return f"{metrics[name]:.4f}" if name in metrics else ""
