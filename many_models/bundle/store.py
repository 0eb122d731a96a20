"""A bundle: the models of one training run and their index, as a folder of few files.

::

    bundle.json            the manifest: version, files, counts, and what the caller adds
    checksums.bin          a checksum per block of every Parquet file
    index/00000.parquet    one row per series, sorted by `digest`, the 16-byte hash of its key
    models/00000.parquet   one row per distinct model, in the order in which the index names them
    shared/00000.parquet   one row per model that others refer to, sorted by name; where there are some

Index and models are cut into shards of bounded size. A shard is found by a binary search in the
manifest, and what is in it by a binary search in the statistics of its row groups: opening a bundle
and finding one key cost the same for 1,000 and for 100,000 models, and from a remote store only the
shards that are needed are fetched. Everything that is read is verified first (see `blocks`), and a
model's bytes have the hash that is their name.
"""

from many_models.bundle.manifest import CHECKSUMS, MANIFEST, VERSION
from many_models.bundle.reading import Bundle
from many_models.bundle.writing import RESERVED, StoredModel, write_bundle

__all__ = ["CHECKSUMS", "MANIFEST", "RESERVED", "VERSION", "Bundle", "StoredModel", "write_bundle"]
