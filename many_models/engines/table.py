"""Which engine runs what: the setting's, or Spark's for a Spark data frame."""

from __future__ import annotations

from typing import Any

from many_models.engines.base import Engine


def engine_for(settings: Any, source: Any = None) -> Engine:
    """The engine of the setting `engine.kind`; a Spark data frame is always run by Spark.

    Parameters
    ----------
    settings
        `EngineSpec`: kind and workers.
    source
        What will be opened.
    """
    workers = None if settings.workers == "auto" else int(settings.workers)
    on_spark = source is not None and type(source).__module__.startswith("pyspark.")
    if settings.kind == "local" and not on_spark:
        from many_models.engines.local import LocalEngine

        return LocalEngine(workers)
    from many_models.engines.spark import SparkEngine

    return SparkEngine("spark" if settings.kind == "local" else settings.kind, workers)
