"""Which patient, lesion or slide every row shows: a CSV file with the columns `split`, `index`, `group`."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedforge_runtime.data.sources.datasets import SPLITS, Split
from fedforge_runtime.errors import DataError

GROUP_COLUMNS = ("split", "index", "group")
_SPLIT_NAMES: Mapping[str, Split] = {**{split: split for split in SPLITS}, "val": "validation"}


@dataclass(frozen=True)
class Groups:
    """The group of every row of a dataset."""

    path: Path
    sha256: str
    """Of the file."""
    names: tuple[str, ...]
    """By group number, sorted."""
    of_split: Mapping[Split, NDArray[np.int64]]
    """Group numbers by split, each (rows,)."""

    @property
    def of_rows(self) -> NDArray[np.int64]:
        """Group numbers of all rows, the splits one after another."""
        return np.concatenate([self.of_split[split] for split in SPLITS])


def read_groups(path: Path, rows: Mapping[Split, int]) -> Groups:
    """Read a groups file strictly.

    Args:
        path: CSV in UTF-8 with the header `split,index,group`: `train`, `validation` (or `val`) or `test`, the
            row's number in its split from 0, and any text that is the same for rows that belong together.
        rows: how many rows the dataset's splits have; each must be named exactly once.

    Raises:
        DataError: names the file, the line and what it should be.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(f"cannot read the groups file {path}: {reason}.", remedy=_FORMAT) from error
    groups = {split: [""] * rows[split] for split in SPLITS}
    lines: dict[tuple[Split, int], int] = {}
    for line, split, index, group in _records(path, text, rows):
        if (split, index) in lines:
            raise DataError(
                f"{path}, line {line}: {split} row {index} is named a second time (first in line "
                f"{lines[split, index]}).",
                remedy="Name every row once.",
            )
        lines[split, index] = line
        groups[split][index] = group
    for split in SPLITS:
        if missing := groups[split].count(""):
            raise DataError(
                f"{path}: {split} row {groups[split].index('')} has no group ({missing} such rows in {split}).",
                remedy="Give every row of the dataset a group, one of its own where nothing is known.",
            )
    names, codes = np.unique(np.concatenate([np.asarray(groups[split], dtype=object) for split in SPLITS]).astype(str),
                             return_inverse=True)  # fmt: skip
    ends = np.cumsum([rows[split] for split in SPLITS])
    parts = np.split(codes.astype(np.int64), ends[:-1])
    return Groups(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        names=tuple(str(name) for name in names),
        of_split=dict(zip(SPLITS, parts, strict=True)),
    )


_FORMAT = "It is CSV with the header split,index,group and one line for each row of the dataset, such as train,0,A17."


def _records(path: Path, text: str, rows: Mapping[Split, int]) -> Iterator[tuple[int, Split, int, str]]:
    """Line number, split, row and group of every record."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise DataError(f"{path} is empty.", remedy=_FORMAT)
        names = [name.strip() for name in header]
        if sorted(names) != sorted(GROUP_COLUMNS):
            raise DataError(
                f"{path}, line 1: the columns are {', '.join(names) or 'none'}, expected {', '.join(GROUP_COLUMNS)}.",
                remedy=_FORMAT,
            )
        split_at, index_at, group_at = (names.index(column) for column in GROUP_COLUMNS)
        for record in reader:
            line = reader.line_num
            if not record:
                continue
            if len(record) != len(GROUP_COLUMNS):
                raise DataError(
                    f"{path}, line {line}: {len(record)} values, expected {len(GROUP_COLUMNS)}.", remedy=_FORMAT
                )
            split = _SPLIT_NAMES.get(record[split_at].strip())
            if split is None:
                raise DataError(
                    f"{path}, line {line}: unknown split {record[split_at]!r}.",
                    remedy="Write train, validation (or val) or test.",
                )
            index = record[index_at].strip()
            if not (index.isascii() and index.isdigit()) or int(index) >= rows[split]:
                raise DataError(
                    f"{path}, line {line}: index {index!r} is no row of {split}, which has {rows[split]:,} rows.",
                    remedy=f"Rows are numbered from 0 to {rows[split] - 1}; the file must be of these very data.",
                )
            group = record[group_at].strip()
            if not group:
                raise DataError(f"{path}, line {line}: the group is empty.", remedy="Give every row a group.")
            yield line, split, int(index), group
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}", cause=error, remedy=_FORMAT) from error
