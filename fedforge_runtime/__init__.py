"""FedForge's runtime: data, model, federation. Knows nothing of Dagster, FastAPI or the dashboard."""

__version__ = "0.1.0"
