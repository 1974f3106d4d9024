"""The curriculum Blood, Derma, Path as a Dagster asset graph."""
