"""Model states as bytes, and thousands of them with their index as one folder."""

from many_models.bundle.container import State, content_id, pack, unpack
from many_models.bundle.store import Bundle, StoredModel, write_bundle

__all__ = ["Bundle", "State", "StoredModel", "content_id", "pack", "unpack", "write_bundle"]
