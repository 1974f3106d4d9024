"""Every figure that is measured: its unit, what the product must reach, what it wants, and what others need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Value = float | int | str | bool | None
Results = dict[str, Value]
Verdict = Literal["aim", "floor", "below", ""]


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Args:
        unit: as printed.
        floor: what must be reached; `None` where nothing was promised.
        aim: what is wanted.
        larger_is_better: otherwise smaller is.
        elsewhere: the same work without this product, measured earlier on a machine with two cores.
    """

    unit: str
    floor: float | None = None
    aim: float | None = None
    larger_is_better: bool = False
    elsewhere: str = ""

    def verdict(self, measured: float) -> Verdict:
        """Which of the two bounds `measured` reaches."""
        if self.floor is None and self.aim is None:
            return ""
        for name, bound in (("aim", self.aim), ("floor", self.floor)):
            if bound is not None and (measured >= bound if self.larger_is_better else measured <= bound):
                return "aim" if name == "aim" else "floor"
        return "below"


FIGURES: Mapping[str, Figure] = {
    "feature_images_per_second": Figure("images/s", larger_is_better=True, elsewhere="bare backbone 56"),
    "cached_round_seconds": Figure("s"),
    "uncached_round_seconds": Figure("s", elsewhere="Flower 1.41 simulation 332"),
    "uncached_round_ratio": Figure("×", floor=100, aim=400, larger_is_better=True),
    "twenty_rounds_with_features_seconds": Figure("s"),
    "twenty_uncached_rounds_seconds": Figure("s"),
    "twenty_rounds_ratio": Figure("×", larger_is_better=True),
    "last_block_round_seconds": Figure("s"),
    "last_block_uncached_round_seconds": Figure("s"),
    "last_block_round_ratio": Figure("×", larger_is_better=True),
    "last_block_token_kilobytes_an_image": Figure("kB"),
    "trainer_over_raw_ratio": Figure("×", aim=2, elsewhere="stock Trainer 4 to 6"),
    "cached_round_trainer_seconds": Figure("s", aim=1, elsewhere="Flower 1.41 simulation 3.4"),
    "cached_round_trainer_with_evaluation_seconds": Figure("s"),
    "ray_round_seconds": Figure("s"),
    "ray_round_with_evaluation_seconds": Figure("s"),
    "ray_round_ratio": Figure("×", larger_is_better=True),
    "superlink_round_seconds": Figure("s", floor=4, aim=2, elsewhere="Flower 1.41, numpy only 10"),
    "superlink_startup_seconds": Figure("s", floor=10),
    "superlink_inprocess_round_seconds": Figure("s"),
    "stock_flower_round_seconds": Figure("s"),
    "stock_flower_startup_seconds": Figure("s"),
    "stock_flower_round_ratio": Figure("×", larger_is_better=True),
    "idle_federation_cpu_percent": Figure("% of a core", floor=5),
    "idle_federation_memory_mb": Figure("MB"),
    "idle_owner_memory_mb": Figure("MB"),
    "idle_superlink_memory_mb": Figure("MB"),
    "idle_node_memory_mb": Figure("MB"),
    "startup_seconds": Figure("s", floor=10, aim=5, elsewhere="Flower 1.41 simulation 23 to 31"),
    "ray_startup_seconds": Figure("s"),
    "startup_compiling_seconds": Figure("s"),
    "startup_compiled_by_it_seconds": Figure("s", floor=10, aim=5),
    "line_head_only_megabytes_a_round": Figure("MB"),
    "line_head_only_20_round_seconds": Figure("s"),
    "line_head_only_100_round_seconds": Figure("s"),
    "line_head_only_1000_round_seconds": Figure("s"),
    "line_last_block_megabytes_a_round": Figure("MB"),
    "line_last_block_20_round_seconds": Figure("s"),
    "line_last_block_100_round_seconds": Figure("s"),
    "line_last_block_1000_round_seconds": Figure("s"),
    "line_full_megabytes_a_round": Figure("MB"),
    "line_full_1000_round_seconds": Figure("s"),
    "stop_inprocess_seconds": Figure("s", floor=2),
    "stop_inprocess_worst_seconds": Figure("s", floor=2),
    "stop_inprocess_until_no_process_seconds": Figure("s", floor=2),
    "stop_inprocess_until_no_process_worst_seconds": Figure("s", floor=2),
    "stop_superlink_seconds": Figure("s", floor=2),
    "stop_superlink_worst_seconds": Figure("s", floor=2),
    "stop_superlink_until_no_process_seconds": Figure("s", floor=2),
    "stop_superlink_until_no_process_worst_seconds": Figure("s", floor=2),
    "stop_standing_seconds": Figure("s", floor=2),
    "stop_standing_worst_seconds": Figure("s", floor=2),
    "stop_standing_until_no_process_seconds": Figure("s", floor=2),
    "stop_standing_until_no_process_worst_seconds": Figure("s", floor=2),
    "stop_ray_seconds": Figure("s", floor=2),
    "stop_ray_worst_seconds": Figure("s", floor=2),
    "stop_ray_until_no_process_seconds": Figure("s", floor=2),
    "stop_ray_until_no_process_worst_seconds": Figure("s", floor=2),
    "client_round_overhead_ms": Figure("ms", floor=20, aim=3, elsewhere="Flower 1.41 simulation 8.2"),
    "client_round_overhead_with_evaluation_ms": Figure("ms"),
    "monitor_events_per_second": Figure("events/s", aim=5000, larger_is_better=True),
    "monitor_several_senders_events_per_second": Figure("events/s", aim=5000, larger_is_better=True),
    "monitor_writer_events_per_second": Figure("events/s", larger_is_better=True),
    "monitor_latency_p50_ms": Figure("ms"),
    "monitor_latency_p99_ms": Figure("ms", aim=100),
    "monitor_latency_largest_ms": Figure("ms"),
    "monitor_acknowledged_p50_ms": Figure("ms"),
    "monitor_acknowledged_p99_ms": Figure("ms"),
    "monitor_timeline_seconds": Figure("s", aim=2),
    "monitor_timeline_bytes": Figure("B"),
    "monitor_series_seconds": Figure("s"),
    "monitor_series_bytes": Figure("B"),
    "monitor_snapshot_seconds": Figure("s"),
    "monitor_snapshot_bytes": Figure("B"),
    "monitor_search_seconds": Figure("s"),
    "monitor_search_bytes": Figure("B"),
    "monitor_newest_seconds": Figure("s"),
    "monitor_newest_bytes": Figure("B"),
    "monitor_runs_seconds": Figure("s"),
    "monitor_runs_bytes": Figure("B"),
    "monitor_stream_replay_seconds": Figure("s"),
    "monitor_stream_replay_events_per_second": Figure("events/s", larger_is_better=True),
    "monitor_pages_replay_seconds": Figure("s"),
    "monitor_pages_replay_events_per_second": Figure("events/s", larger_is_better=True),
    "monitor_export_replay_seconds": Figure("s"),
    "monitor_export_replay_events_per_second": Figure("events/s", larger_is_better=True),
    "monitor_memory_early_mb": Figure("MB"),
    "monitor_memory_end_mb": Figure("MB"),
    "monitor_memory_largest_mb": Figure("MB"),
    "monitor_soak_cpu_percent": Figure("% of a core"),
    "monitor_database_bytes_an_event": Figure("B"),
    "dashboard_100_frames_kept": Figure("of an empty page's", aim=0.9, larger_is_better=True),
    "dashboard_100_longest_frame_ms": Figure("ms", aim=200),
    "dashboard_100_event_to_screen_p95_ms": Figure("ms", aim=250),
    "dashboard_1000_frames_kept": Figure("of an empty page's", aim=0.6, larger_is_better=True),
    "dashboard_1000_longest_frame_ms": Figure("ms"),
    "dashboard_1000_event_to_screen_p95_ms": Figure("ms"),
    "dashboard_open_seconds": Figure("s", aim=3),
    "dashboard_first_step_back_seconds": Figure("s"),
    "dashboard_heap_growth_mb": Figure("MB", aim=20),
    "dashboard_ingest_kept": Figure("of without pages", aim=0.8, larger_is_better=True),
    "dagster_click_to_first_step_seconds": Figure("s"),
    "dagster_click_to_first_round_seconds": Figure("s"),
    "request_to_starting_seconds": Figure("s", floor=10),
    "request_to_running_seconds": Figure("s", floor=20),
    "audit_seconds": Figure("s", floor=180),
    "audit_peak_memory_mb": Figure("MB", floor=2000),
    "peak_memory_mb": Figure("MB", floor=2000, aim=1200, elsewhere="Flower 1.41 simulation 2,710"),
    "peak_memory_rss_mb": Figure("MB"),
    "ray_peak_memory_mb": Figure("MB"),
    "ray_peak_memory_rss_mb": Figure("MB"),
}
"""In the order in which they are shown."""
