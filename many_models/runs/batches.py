"""What an engine hands back, as the rows, fingerprints and events of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from many_models.automl.rows import FOLDERS, read_rows
from many_models.engines.base import GroupJob, Panel
from many_models.panel.fingerprint import MARK_BYTES
from many_models.runs.chronicle import Chronicle, group_event
from many_models.runs.pooling import Attached
from many_models.runs.tally import Tally


@dataclass(frozen=True)
class Answered:
    """What came back for a group: the fingerprint of its data, and its rows by folder."""

    group: int
    mark: bytes
    tables: Mapping[str, pa.Table]


def batches(
    panel: Panel, job: GroupJob, groups: list[int], attached: Attached | None, chronicle: Chronicle
) -> Iterator[list[Answered]]:
    """The answers of each batch, in the order of the groups."""
    with closing(panel.map(job, groups, attached, chronicle.tell)) as answers:
        for batch in answers:
            yield [
                Answered(answer.group, answer.payload[:MARK_BYTES], read_rows(answer.payload[MARK_BYTES:]))
                for answer in sorted(batch, key=lambda a: a.group)
            ]


def together(answers: Sequence[Answered]) -> tuple[dict[int, bytes], dict[str, list[pa.Table]]]:
    """The fingerprint by group and the tables by folder of a batch."""
    tables: dict[str, list[pa.Table]] = {folder: [] for folder in FOLDERS}
    for answer in answers:
        for folder, table in answer.tables.items():
            tables[folder].append(table)
    return {answer.group: answer.mark for answer in answers}, tables


def batch_events(
    number: int, answers: Sequence[Answered], tally: Tally, series: int
) -> list[tuple[str, dict[str, Any]]]:
    """The events of a batch that was written: of its groups, of those that straggled, and of itself."""
    middle, limit = tally.middle_seconds, tally.straggling_seconds
    told: list[tuple[str, dict[str, Any]]] = []
    for answer in answers:
        results = answer.tables["results"]
        told.append(group_event(answer.group, number, results))
        longest = float(np.nanmax(results["seconds"].to_numpy(), initial=0.0))
        if longest > limit:
            facts = {"group": answer.group, "seconds": round(longest, 3), "median_seconds": round(middle, 3)}
            told.append(("straggler", facts))
    return [
        *told,
        ("batch written", {"batch": number, "groups": len(answers), "series": tally.series, "of": series}),
    ]
