"""Spreads a dataset's training rows over clients, and splits each client's rows into training and validation.

Who gets which row is drawn by Flower's partitioners (flwr-datasets), called by name, or by a preset: groups of
sites with a story, each with its own partitioner. Whatever they return, a partition leaves this package only
after it is proven that every row belongs to exactly one client and slice.
"""

from fedforge_runtime.config.partitioners import PARTITIONERS, ParameterSpec, PartitionerSpec
from fedforge_runtime.data.partition.presets import (
    find_preset,
)
from fedforge_runtime.data.partition.rows import (
    ClientRows,
    Partition,
    check_partition,
    make_partition,
    parse_partition,
    partition_rows,
)
from fedforge_runtime.data.partition.storage import (
    load_client_rows,
    load_histograms,
    load_scanner_shift,
    load_skew,
    prepare_partition,
    row_shifts,
)

__all__ = [
    "PARTITIONERS",
    "ClientRows",
    "ParameterSpec",
    "Partition",
    "PartitionerSpec",
    "check_partition",
    "find_preset",
    "load_client_rows",
    "load_histograms",
    "load_scanner_shift",
    "load_skew",
    "make_partition",
    "parse_partition",
    "partition_rows",
    "prepare_partition",
    "row_shifts",
]
