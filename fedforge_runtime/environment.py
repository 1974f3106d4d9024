"""Process-wide settings of third parties, made before they are imported."""

from __future__ import annotations

import os

ATTEMPT = "FEDFORGE_ATTEMPT"
"""The number that a monitor has given to the attempt that a process is started for."""
MPS_FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"

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


def given_attempt() -> int:
    """The number that a claimant has given to this process's attempt; 1 where nobody has."""
    text = os.environ.get(ATTEMPT, "")
    return int(text) if text.isascii() and text.isdecimal() and text != "0" else 1


def allow_mps_fallback() -> None:
    """Let operations that `mps` lacks be done by the CPU: before any worker starts, for torch reads it on import."""
    os.environ[MPS_FALLBACK] = "1"
