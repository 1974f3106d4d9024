"""The monitor's contract with every emitter of events (see `monitor.schema`)."""
