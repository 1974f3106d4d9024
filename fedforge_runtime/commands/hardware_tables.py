"""The hardware check for people, on standard output."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedforge_runtime.commands.tables import print_table
from fedforge_runtime.hardware.check import HardwareReport
from fedforge_runtime.hardware.devices import CLOSENESS, MPS_BATCH_SIZES
from fedforge_runtime.wording import rough_duration, size

_BUSY = 0.2


def print_hardware(report: HardwareReport) -> None:
    """Machine, devices, determinism and estimates."""
    console = Console()
    for title, rows in (
        ("machine", _machine_rows(report)),
        ("devices", _device_rows(report)),
        ("determinism", _determinism_rows(report)),
    ):
        print_table(console, _facts(title, rows))
        console.print()
    print_table(console, _estimates(report))
    for line in _how_measured(report):
        console.print(line, highlight=False)
    for warning in warnings(report):
        console.print(f"[yellow]{warning}[/yellow]", highlight=False)


def warnings(report: HardwareReport) -> list[str]:
    """What makes the estimates too long, and what this machine has no room for."""
    free = report.machine.disk_free_bytes
    lines = []
    if report.machine.busy > _BUSY:
        lines.append(
            f"Other work took {report.machine.busy:.0%} of the cores when the check began: these times are too long."
        )
    for each in report.estimates:
        if each.feature_bytes > free:
            lines.append(f"The features of {each.phase} need {size(each.feature_bytes)}, and {size(free)} are free.")
        elif each.feature_bytes + each.token_bytes > free:
            lines.append(
                f"last_block of {each.phase} needs {size(each.token_bytes)} for tokens, and {size(free)} are free."
            )
    return lines


def _facts(title: str, rows: list[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, escape(value))
    return table


def _machine_rows(report: HardwareReport) -> list[tuple[str, str]]:
    machine, torch = report.machine, report.torch
    core_limit = f", the container gives {machine.cgroup_cores:g}" if machine.cgroup_cores else ""
    memory_limit = f", the container gives {size(machine.cgroup_memory_bytes)}" if machine.cgroup_memory_bytes else ""
    return [
        ("processor", machine.processor),
        ("platform", f"{machine.platform}, Python {machine.python}"),
        ("cores", f"{machine.cores_usable} usable of {machine.cores_present}{core_limit}"),
        (
            "memory",
            f"{size(machine.memory_total_bytes)}, {size(machine.memory_available_bytes)} available{memory_limit}",
        ),
        ("disk", f"{size(machine.disk_free_bytes)} free at {machine.disk_folder}"),
        ("software", f"torch {torch.torch}, transformers {torch.transformers}"),
        ("workers", f"{report.workers} by default, {torch.threads_per_worker} thread each"),
    ]


def _device_rows(report: HardwareReport) -> list[tuple[str, str]]:
    torch, mps = report.torch, report.mps
    cuda = f"{torch.cuda_devices} present" if torch.cuda_devices else "none present"
    rows = [
        ("cpu", "used unless mps is asked for: every result is defined by it"),
        (
            "mps",
            f"{'built in' if torch.mps_built else 'not built in'}, "
            f"{'available here' if torch.mps_available else 'not on this machine'}",
        ),
        ("cuda", f"{cuda}; not offered and never used"),
    ]
    if mps.checks:
        rows += [
            (f"  {check.name}", f"{'passed' if check.passed else 'FAILED'}: {check.detail}") for check in mps.checks
        ]
    if mps.device == "mps":
        smallest, largest = MPS_BATCH_SIZES
        rows.append(
            (
                "--device mps",
                f"would run on mps with one worker, in batches of {smallest} to {largest}, the head alone first; "
                f"its bits differ from the CPU's (up to {CLOSENESS:g} of the largest value)",
            )
        )
    rows += [("--device mps", notice) for notice in mps.notices]
    return rows


def _determinism_rows(report: HardwareReport) -> list[tuple[str, str]]:
    check = report.determinism
    return [
        ("same training twice", _passed(check.repeatable, "same bits in two processes")),
        ("one worker or two", _passed(check.independent_of_workers, "same bits for every site")),
    ]


def _estimates(report: HardwareReport) -> Table:
    table = Table(
        "phase", "images", "features\ntime", "a round\ntime", "all rounds\ntime", "features\ndisk", "last_block\ndisk",
        title="estimates for the official images, head only",
        title_justify="left",
    )  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for each in report.estimates:
        table.add_row(
            each.phase,
            f"{each.images:,}",
            rough_duration(each.feature_seconds),
            rough_duration(each.round_seconds),
            f"{each.rounds}: {rough_duration(each.rounds_seconds)}",
            size(each.feature_bytes),
            size(each.token_bytes),
        )
    return table


def _how_measured(report: HardwareReport) -> list[str]:
    features, training = report.features, report.head.training
    backbone = report.backbone.name if report.backbone.trained else "an untrained backbone, which is as fast"
    rows_per_second = f"{1 / training.seconds_per_row:,.0f}" if training.seconds_per_row else "countless"
    return [
        f"Measured now: {features.images_per_second:.1f} images/s over {features.images:,} generated images through "
        f"{backbone}, with {features.workers} workers; Trainer {rows_per_second} rows/s and "
        f"{training.seconds_per_call * 1000:.0f} ms a call in each worker.",
        "Features are computed once and found afterwards. Rounds count training and evaluation; messages, "
        "aggregation and checkpoints come on top, and some seconds to start.",
    ]


def _passed(passed: bool, what: str) -> str:
    return f"passed: {what}" if passed else f"FAILED: not the {what}"
