"""Process-wide settings of third parties, made before they are imported."""

from __future__ import annotations

import importlib.util
import os
import sys

from fedforge_runtime.errors import ConfigError

ATTEMPT = "FEDFORGE_ATTEMPT"
"""The number that a monitor has given to the attempt that a process is started for."""
MPS_FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"

_LARGEST_PACKAGE = "torch"
_SETTINGS = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_LOG_LEVEL": "ERROR",  # strategies narrate each step; a run's event log says more
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def configure_third_parties() -> None:
    """No telemetry, no update checks, no chatter; what the user has set already stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def keep_compiled_files() -> None:
    """Where nobody keeps what Python compiles, keep it in a cache of our own, for this process and those it starts.

    `PYTHONDONTWRITEBYTECODE`, which many images and CI systems set, means that nothing is written beside the sources.
    Without more, torch and all that it takes would be compiled anew at every start, for ten seconds. Packages that
    were compiled when they were installed stay as they are, and so does a prefix that the user has chosen.
    """
    if not sys.dont_write_bytecode or sys.pycache_prefix or _is_compiled(_LARGEST_PACKAGE):
        return
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(root, "fedforge", "compiled")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError:  # as in a container of which nothing can be written: every start compiles
        return
    if not os.access(folder, os.W_OK) or os.stat(folder).st_uid != os.geteuid():
        return
    sys.pycache_prefix, sys.dont_write_bytecode = folder, False
    os.environ["PYTHONPYCACHEPREFIX"] = folder
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _is_compiled(package: str) -> bool:
    found = importlib.util.find_spec(package)
    return found is None or found.origin is None or os.path.exists(importlib.util.cache_from_source(found.origin))


def given_attempt() -> int:
    """The number that a claimant has given to this process's attempt; 1 where nobody has."""
    text = os.environ.get(ATTEMPT, "")
    return int(text) if text.isascii() and text.isdecimal() and text != "0" else 1


def secret(name: str) -> str:
    """What a variable holds, or the file that the variable of its name with `_FILE` names, as in containers; or "".

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    file = os.environ.get(f"{name}_FILE")
    if os.environ.get(name) or not file:
        return os.environ.get(name, "")
    try:
        with open(file, encoding="utf-8") as stream:
            value = stream.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}_FILE: cannot read {file}", cause=error) from error
    if not value:
        raise ConfigError(f"{name}_FILE: {file} is empty.", remedy="Write the secret into it.")
    return value


def allow_mps_fallback() -> None:
    """Let operations that `mps` lacks be done by the CPU: before any worker starts, for torch reads it on import."""
    os.environ[MPS_FALLBACK] = "1"
