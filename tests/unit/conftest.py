"""Fixtures of several rooms."""

from tests.support.hardware_report import report
from tests.support.run_folders import make_run
from tests.support.run_settings import settings

__all__ = ["make_run", "report", "settings"]
