"""What the `medmnist` package says of its archives: address, checksum, classes, licence, and what that allows."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_CREATIVE_COMMONS = re.compile(r"CC (BY(?:-NC)?(?:-SA|-ND)?) (\d\.\d)", re.IGNORECASE)


def archive_name(flag: str, size: int) -> str:
    """MedMNIST's file name for an archive, for example `bloodmnist.npz` or `bloodmnist_64.npz`."""
    return f"{flag}{_suffix(size)}.npz"


@dataclass(frozen=True)
class OfficialArchive:
    """One published archive."""

    flag: str
    size: int
    title: str
    """Its name in papers, which is also that of its class in `medmnist`."""
    url: str
    md5: str
    class_names: tuple[str, ...]
    """By class id."""
    rows: Mapping[str, int]
    """Images by split: `train`, `validation`, `test`."""
    licence: str

    @property
    def file_name(self) -> str:
        return archive_name(self.flag, self.size)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or self.url


def official_archive(flag: str, size: int) -> OfficialArchive:
    """The published archive of `flag` with images of `size` pixels."""
    info = _medmnist_info()[flag]
    labels: Mapping[str, str] = info["label"]
    return OfficialArchive(
        flag=flag,
        size=size,
        title=info["python_class"],
        url=info[f"url{_suffix(size)}"],
        md5=info[f"MD5{_suffix(size)}"],
        class_names=tuple(labels[str(class_id)] for class_id in range(len(labels))),
        rows={split: info["n_samples"][name] for split, name in _SPLITS.items()},
        licence=info["license"],
    )


def _suffix(size: int) -> str:
    return "" if size == 28 else f"_{size}"


def _medmnist_info() -> Mapping[str, Any]:
    if "medmnist" not in sys.modules:
        return _info_literal()
    from medmnist import INFO

    info: Mapping[str, Any] = INFO
    return info


@cache
def _info_literal() -> Mapping[str, Any]:
    """`medmnist.INFO`, read without running the package, which would load torch and make a folder in `~`."""
    package = find_spec("medmnist")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("medmnist is not installed", name="medmnist")
    for statement in ast.parse(Path(package.origin).with_name("info.py").read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "INFO":
            literal: Mapping[str, Any] = ast.literal_eval(statement.value)
            return literal
    raise RuntimeError("medmnist/info.py no longer defines INFO as a literal")


@dataclass(frozen=True)
class LicenceTerms:
    """The terms that data come under."""

    name: str
    """For example `CC BY-NC 4.0`."""
    hub_id: str
    """As model cards on the Hugging Face hub spell it, for example `cc-by-nc-4.0`."""
    non_commercial: bool
    assumed: bool
    """The data state none, and these are the terms of the official archive."""


def licence_terms(stated: str) -> LicenceTerms | None:
    """The Creative Commons terms that `stated` names; `None` where it names none, as for generated images.

    Args:
        stated: `DatasetFacts.licence`, for example `not stated (the official archive: CC BY-NC 4.0)`.
    """
    found = _CREATIVE_COMMONS.search(stated)
    if not found:
        return None
    kind, version = found[1].upper(), found[2]
    return LicenceTerms(
        name=f"CC {kind} {version}",
        hub_id=f"cc-{kind.lower()}-{version}",
        non_commercial="NC" in kind.split("-"),
        assumed=stated.startswith("not stated"),
    )


def licence_restriction(stated: str) -> str:
    """The sentence that must stand beside whatever was made from the data; empty where nothing is restricted."""
    terms = licence_terms(stated)
    if terms is None or not terms.non_commercial:
        return ""
    source = "the official archive of these images is" if terms.assumed else "the images are"
    return f"Non-commercial use only: {source} under {terms.name}, and what is made from them follows it."
