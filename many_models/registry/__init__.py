"""The model registry: MLflow runs and versions, and the bundles behind them."""

from many_models.registry.files import StoredFiles
from many_models.registry.location import default_tracking_uri
from many_models.registry.records import Column, ColumnType, Flavor, Part, Record, Version
from many_models.registry.redaction import redact
from many_models.registry.store import Registry

__all__ = [
    "Column",
    "ColumnType",
    "Flavor",
    "Part",
    "Record",
    "Registry",
    "StoredFiles",
    "Version",
    "default_tracking_uri",
    "redact",
]
