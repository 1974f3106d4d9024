"""A partition on a terminal: who holds what, how unlike the sites are, and what to be warned of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

from fedforge_runtime.commands.tables import print_table
from fedforge_runtime.config.files import load_preset, preset_names
from fedforge_runtime.config.partitioners import PARTITIONERS, PartitionerSpec
from fedforge_runtime.data.partition.preview import PartitionPreview
from fedforge_runtime.data.skew import SiteSkew, Skew
from fedforge_runtime.data.sources.datasets import DatasetFacts
from fedforge_runtime.wording import short_name

_BAR = 10
_SHORT_BAR = 5
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# From light to strong; written with its own ink, so that it is legible on any terminal's ground.
_PALE, _STRONG = (232, 241, 248), (8, 81, 130)


def print_preview(preview: PartitionPreview, headline: str, *, console: Console | None = None) -> None:
    """Everything of a preview, on standard output; `headline` says which data it is of."""
    console = console or Console()
    console.print(Text(headline, style="bold"))
    if preview.story:
        console.print(
            Panel(escape(preview.story), title=Text(preview.title, "bold"), title_align="left", width=_width(console))
        )
    else:
        console.print(Text(f"{preview.argument}: {preview.title}"))
    if len(preview.groups) > 1:
        groups = "   ".join(f"{group.sites}: {group.name}" for group in preview.groups)
        console.print(Text(groups, style="italic"))
    console.print()
    print_table(console, _sites_table(preview, console.width))
    console.print()
    console.print(_legend(preview, console.width))
    if preview.shifts:
        console.print()
        print_table(console, _scanners_table(preview))
    if preview.warnings:
        text = Text("\n").join(Text(f"• {warning}") for warning in preview.warnings)
        console.print(
            Padding(
                Panel(text, title="before you run", title_align="left", border_style="yellow", width=_width(console)),
                (1, 0, 0, 0),
            )
        )


def data_line(facts: DatasetFacts) -> str:
    """Which data a preview is of, in a few words: phantom and unofficial data never go unnamed."""
    origin = {"official": "official", "local": "a local file, unofficial", "phantom": "PHANTOM DATA"}[facts.source]
    return f"{facts.flag} at {facts.size} px ({origin})"


def print_partitions(*, console: Console | None = None) -> None:
    """Every partitioner and preset that a configuration can name."""
    console = console or Console()
    partitioners = Table(Column("partitioner", no_wrap=True), "what it does", box=None, padding=(0, 2, 0, 0))
    for spec in PARTITIONERS.values():
        partitioners.add_row(_usage(spec), _description(spec))
    print_table(console, partitioners)
    console.print()
    for name in preset_names():
        preset = load_preset(name)
        heading = Text.assemble((name, "bold"), f"  {preset.title}")
        console.print(Panel(preset.story.strip(), title=heading, title_align="left", width=_width(console)))
    console.print(
        "Use: --partition NAME[:ARGUMENT], --partition PRESET, or --partition FILE.yaml with a preset of your own.",
        highlight=False,
    )
    console.print(
        "Scanners that differ between sites, with any of them: --set partition.feature_skew.strength=0.5",
        highlight=False,
    )


def partitions_json() -> dict[str, list[Mapping[str, object]]]:
    """The same as one object."""
    return {
        "partitioners": [
            {
                "name": spec.name,
                "description": spec.description,
                "parameters": [
                    {
                        "name": parameter.name,
                        "description": parameter.description,
                        "default": parameter.default,
                        "required": parameter.required,
                        "expects": parameter.expectation,
                    }
                    for parameter in spec.parameters
                ],
            }
            for spec in PARTITIONERS.values()
        ],
        "presets": [
            {"name": name, **load_preset(name).model_dump(mode="json", exclude_none=True)} for name in preset_names()
        ],
    }


def _width(console: Console) -> int:
    """Prose wider than this is hard to read."""
    return min(console.width, 100)


def _sites_table(preview: PartitionPreview, width: int) -> Table:
    """One row a site; bars give way when the terminal is narrow."""
    skew = preview.skew
    cell = max(len(str(max(skew.class_rows))), len(str(len(preview.class_names)))) + 1
    numbers = len("site") + len(f"{sum(skew.class_rows):,}") + len("⌀ 0.00") + len("classes") + 4
    left = width - numbers - cell * len(preview.class_names)
    size_bar = _BAR if left > _BAR else 0
    distance_bar = _SHORT_BAR if left > size_bar + _SHORT_BAR + 2 else 0
    table = Table(
        Column("site", justify="right", no_wrap=True),
        Column("rows", justify="right", no_wrap=True),
        Column("", no_wrap=True),
        # One column, so that the cells of the map touch each other.
        Column("".join(str(code).rjust(cell) for code in range(len(preview.class_names))), no_wrap=True),
        Column("distance" if distance_bar else "dist.", justify="right", no_wrap=True),
        Column("classes", justify="right", no_wrap=True),
        box=None,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )
    largest = max(site.rows for site in skew.sites)
    for site in skew.sites:
        table.add_row(
            str(site.client),
            f"{site.rows:,}",
            Text(_bar(site.rows / largest, size_bar), style="cyan"),
            _heat(site, skew, cell),
            Text.assemble((_bar(site.distance, distance_bar), "magenta"), f" {site.distance:.2f}"),
            f"{site.effective_classes:.1f}",
        )
    table.add_row(
        "all",
        f"{sum(skew.class_rows):,}",
        "",
        "".join(str(rows).rjust(cell) for rows in skew.class_rows),
        f"⌀ {skew.mean_distance:.2f}",
        f"{skew.effective_classes:.1f}",
        style="bold",
    )
    return table


def _heat(site: SiteSkew, skew: Skew, cell: int) -> Text:
    """A site's rows by class, each on a ground as strong as the class's part of the site."""
    line = Text()
    for rows, total in zip(site.class_rows, skew.class_rows, strict=True):
        if rows:
            line.append(str(rows).rjust(cell), style=_shade(rows / site.rows))
        else:
            line.append("–".rjust(cell), style="bold red" if total else "dim")
    return line


def _shade(share: float) -> Style:
    """The ground of a class that is this part of a site's rows."""
    strength = min(share / 0.6, 1.0) ** 0.7
    red, green, blue = (round(low + (high - low) * strength) for low, high in zip(_PALE, _STRONG, strict=True))
    ink = "rgb(255,255,255)" if strength > 0.5 else "rgb(20,30,40)"
    return Style.parse(f"{ink} on rgb({red},{green},{blue})")


def _bar(part: float, width: int) -> str:
    """A bar of `part` (0 to 1) of `width` characters, padded to it; anything above nothing is seen."""
    if not width:
        return ""
    eighths = max(round(part * width * 8), 1 if part > 0 else 0)
    whole, rest = divmod(min(eighths, width * 8), 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def _legend(preview: PartitionPreview, width: int) -> Text:
    skew = preview.skew
    numbers = (
        f"distance: Jensen-Shannon distance of a site's mix of classes to that of all rows; 0 equal, 1 nothing in "
        f"common. classes: effective number. Sizes: Gini {skew.size_gini:.2f}; 0 equal, 1 one site holds everything. "
        "–: the site lacks the class. Shade: the class's part of the site's rows."
    )
    return Text.assemble(_class_key(preview.class_names, width), "\n", (numbers, "dim"))


def _class_key(class_names: Sequence[str], width: int) -> str:
    """What the numbers of the classes stand for; no line ends between a number and its name."""
    lines = [""]
    for code, name in enumerate(class_names):
        entry = f"{code} {short_name(name)}"
        if lines[-1] and len(lines[-1]) + len(entry) + 3 > width:
            lines.append("")
        lines[-1] += f"   {entry}" if lines[-1] else entry
    return "\n".join(lines)


def _scanners_table(preview: PartitionPreview) -> Table:
    table = Table(
        Column("site", justify="right"), "what its scanner does to its images", box=None, padding=(0, 1, 0, 0),
        header_style="dim",
    )  # fmt: skip
    for number, shift in enumerate(preview.shifts):
        table.add_row(str(number), shift.describe())
    return table


def _usage(spec: PartitionerSpec) -> str:
    main = spec.main_parameter
    if main is None:
        return spec.name
    return f"{spec.name}:{main.name.upper()}" if main.required else f"{spec.name}[:{main.name.upper()}]"


def _description(spec: PartitionerSpec) -> str:
    more = [
        f"{parameter.name}: {parameter.description}"
        + (f" ({parameter.default:g})" if isinstance(parameter.default, (int, float)) else "")
        for parameter in spec.parameters
    ]
    return "; ".join([spec.description, *more])
