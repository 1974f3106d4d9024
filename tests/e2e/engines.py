"""Engines that a test is repeated in."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'simulation' is not installed")
RAY_TOO = pytest.param("ray", marks=[needs_ray, pytest.mark.thorough])
"""Where the suite shows the same in another engine."""
