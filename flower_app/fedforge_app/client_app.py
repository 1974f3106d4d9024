"""The ClientApp of the installed package."""

from fedforge_runtime.federation.client_app import app

__all__ = ["app"]
