"""The figures for people, as a table, and for machines, as one flat JSON object."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import FIGURES, Figure, Results, Verdict
from benchmarks.subject import REPOSITORY

LATEST = REPOSITORY / "benchmarks" / "results" / "latest.json"
_STYLE: dict[Verdict, str] = {"aim": "green", "floor": "yellow", "below": "red", "": ""}
_FIGURES_KEPT = 5
_DISTURBING_LOAD_PERCENT = 15.0
_NARROWEST_TABLE = 130


def write_results(results: Results, path: Path = LATEST) -> None:
    """Replace `path`; numbers keep five significant figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: _rounded(value) for name, value in results.items()}, indent=2) + "\n")


def print_results(results: Results) -> None:
    """Measured value, floor and aim of every figure that was measured."""
    table = Table(title=_title(results))
    table.add_column("figure", no_wrap=True)
    for heading in ("measured", "", "floor", "aim", "reaches", "elsewhere"):
        table.add_column(heading)
    for name, figure in FIGURES.items():
        value = results.get(name)
        if isinstance(value, (int, float)):
            verdict = figure.verdict(value)
            shown = f"[{_STYLE[verdict]}]{_number(value)}[/]" if verdict else _number(value)
            table.add_row(
                name, shown, figure.unit, _bound(figure, figure.floor), _bound(figure, figure.aim), verdict,
                figure.elsewhere,
            )  # fmt: skip
    Console(width=max(Console().width, _NARROWEST_TABLE)).print(table)


def _title(results: Results) -> str:
    warnings = []
    if results["data"] == "phantom":
        warnings.append("PHANTOM DATA")
    if not results["backbone_trained"]:
        warnings.append("UNTRAINED BACKBONE")
    if results["quick"]:
        warnings.append("QUICK: FOR TRYING OUT ONLY")
    load = results["largest_load_by_others_percent"]
    if isinstance(load, float) and load > _DISTURBING_LOAD_PERCENT:
        warnings.append(f"OTHERS WERE AT WORK ON THIS MACHINE ({load:.0f} % of its cores): DO NOT QUOTE")
    if results.get("peak_memory_others_with_torch"):
        warnings.append("OTHER PROCESSES SHARED TORCH'S MEMORY: PEAK_MEMORY_MB IS TOO LOW")
    about = f"{results['data']} data, {results['backbone']}, {results['cores']} cores, {results['cpu']}"
    return "\n".join([about, *warnings])


def _bound(figure: Figure, bound: float | None) -> str:
    return "" if bound is None else f"{'≥' if figure.larger_is_better else '≤'} {bound:,g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: object) -> object:
    return float(f"{value:.{_FIGURES_KEPT}g}") if isinstance(value, float) else value
