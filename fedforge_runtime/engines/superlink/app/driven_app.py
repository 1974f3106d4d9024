"""The ServerApp in the bundle of a driven run: it says why nobody but the submitting process may run it."""

from __future__ import annotations

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    raise RuntimeError("this run is driven by the fedforge process that submitted it")
