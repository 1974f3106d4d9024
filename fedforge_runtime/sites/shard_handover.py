"""Hands shards to sites whose nodes look for them in a folder that they share with the run, as volumes of containers.

Below one folder there is a folder for each site, which that site alone can read; in it a shard for each key.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from fedforge_runtime.errors import DataError
from fedforge_runtime.errors.system import explained
from fedforge_runtime.sites.shards import Shard, folder_bytes, open_shard, require_room, site_folder
from fedforge_runtime.storage.artifacts import Artifact, publish_folder, turn


def hand_over(artifact: Artifact, folder: Path, sites: Iterable[int], hear: Callable[[], None]) -> list[Shard]:
    """Have `folder/site-00000/KEY`, … hold the sites' shards; whole ones that are there already stay.

    A node never sees one in part: it appears at once. Others are left as they are.

    Args:
        sites: which get theirs.
        hear: called often; whatever it raises ends the work.

    Raises:
        StorageError: no room, or a folder cannot be written; says which.
    """
    handed = []
    for site in sites:
        place = folder / site_folder(site)
        target = place / artifact.key
        try:
            place.mkdir(parents=True, exist_ok=True)
            with turn(place / ".lock", hear):
                if not _is_whole(target):
                    _copy(artifact.path / site_folder(site), target, hear)
        except OSError as error:
            raise explained(error, place) or error from error
        handed.append(open_shard(target))
    return handed


def _is_whole(folder: Path) -> bool:
    with suppress(DataError):
        open_shard(folder)
        return True
    return False


def _copy(source: Path, target: Path, hear: Callable[[], None]) -> None:
    temporary = target.with_name(f".{target.name}.partial")
    for left in (temporary, target):  # of a copy that was cut off, or has lost files
        shutil.rmtree(left, ignore_errors=True)
    require_room(target.parent, folder_bytes(source))

    def copy_file(here: str, there: str) -> str:
        hear()
        return shutil.copyfile(here, there)

    try:
        shutil.copytree(source, temporary, copy_function=copy_file)
        publish_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
