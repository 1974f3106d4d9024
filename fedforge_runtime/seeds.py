"""Every random draw comes from a named seed, so that order and process placement cannot change it."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *purpose: int | str) -> int:
    """A 31-bit seed for one purpose of one run, for example `derive_seed(17, "train", round, client)`.

    Independent of process, platform and call order: SHA-256 of the arguments' canonical text.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFF_FFFF
