"""`python -m monitor.openapi`: the API's description, which the dashboard's types are generated from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from monitor.app import create_app
from monitor.settings import Settings


def describe() -> str:
    """The OpenAPI document as it is kept in `dashboard/openapi.json`."""
    return json.dumps(create_app(Settings(home=Path("."))).openapi(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(describe())
