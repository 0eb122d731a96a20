"""The model registry: MLflow runs and versions, and the bundles behind them."""

from many_models.registry.files import StoredFiles
from many_models.registry.location import default_tracking_uri
from many_models.registry.redaction import redact
from many_models.registry.store import Column, Flavor, Record, Registry, Version

__all__ = [
    "Column",
    "Flavor",
    "Record",
    "Registry",
    "StoredFiles",
    "Version",
    "default_tracking_uri",
    "redact",
]
