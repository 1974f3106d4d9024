"""Where a run is repeated to compare it with another."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'simulation' is not installed")
_ray_too = (needs_ray, pytest.mark.thorough)
RAY_TOO = pytest.param("ray", marks=_ray_too)
"""Where the suite shows the same in another engine."""
IN_ONE_WORKER_AND_IN_RAY = [
    pytest.param(["--set", "runtime.workers=1"], id="one worker", marks=pytest.mark.thorough),
    pytest.param(["--engine", "ray"], id="ray", marks=_ray_too),
]
"""Options of `fedforge run`."""
