"""The cases that every engine has to pass alike: each gives a plain answer, compared across engines.

A case is `case(bench) -> JSON value`. `Bench` hides how a source is handed over: on Spark a
frame goes as a Spark DataFrame, on the local engine as a pandas one; files are files.
"""

from __future__ import annotations

import datetime
import decimal
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import engine_jobs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from many_models.errors import InputError
from many_models.panel.allowance import Allowance
from many_models.spec import DataSpec

ZONE = "Europe/Berlin"


@dataclass
class Bench:
    """An engine, an empty folder, and how frames are handed over."""

    engine: Any
    folder: Path
    spark: Any = None

    def frame(self, table: pa.Table) -> Any:
        """The table as this engine's own kind of data frame."""
        if self.spark is None:
            return table.to_pandas()
        path = self.folder / "handed.parquet"
        pq.write_table(table, path)
        return self.spark.read.parquet(path.as_uri())

    def open(self, source: Any, cutoff: Any = None, **data: Any) -> Any:
        spec = DataSpec(**({"time": "when", "target": "sold", "series": ["shop"]} | data))
        return self.engine.open(source, spec, self.folder / ".staging", cutoff)

    def told(self, source: Any, cutoff: Any = None, **data: Any) -> Any:
        """Layout, groups and all canonical rows of a source, or the problems it is refused with."""
        try:
            panel = self.open(source, cutoff, **data)
        except InputError as error:
            return {"error": type(error).__name__, "problems": [str(problem) for problem in error.problems]}
        told = {
            "layout": panel.layout.to_dict(),
            "groups": shown(panel.groups),
            "rows": panel.rows,
            "last": panel.last_observed(),
            "canonical": shown(panel.sample(len(panel.groups))),
        }
        panel.close()
        staging = self.folder / ".staging"
        told["left"] = sorted(path.name for path in staging.iterdir()) if staging.exists() else []
        return told

    def answers(self, panel: Any, job: Any, groups: list[int] | None = None) -> list[Any]:
        """The payloads in group order, after checking that each group answered once."""
        wanted = list(panel.groups.index) if groups is None else groups
        found = [answer for batch in panel.map(job, wanted) for answer in batch]
        assert sorted(answer.group for answer in found) == wanted
        return [json.loads(answer.payload) for answer in sorted(found, key=lambda answer: answer.group)]


def shown(frame: pd.DataFrame) -> Any:
    """A data frame as JSON, every bit and type of it."""
    rows = [[_plain(value) for value in row] for row in frame.itertuples(index=False)]
    return {"columns": list(frame.columns), "types": [str(t) for t in frame.dtypes], "rows": rows}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value.hex()
    return value.item() if isinstance(value, np.generic) else value


def nasty() -> pa.Table:
    """Odd names, odd keys, holes, duplicates, no order."""
    shops = ["Ōsaka 🍊", "a b/c", "../x", "007", "NA", "007"]
    rows = [
        {
            "shop": shop,
            "sku id": [12, -3, 2**62 + 1][number % 3],
            "when": datetime.datetime(2024, 3, 29 + day % 3, 2, 30) + datetime.timedelta(days=day),
            "sold": None if day == 1 else float(number * day) / 3,
            "Price.usd": [1.25, None, float("inf"), 1e300, -0.0][day],
            "price.USD": number + day,
            "deal": [True, None, False, True, False][day],
            "wea`ther": ["sun", None, "", "regn é", "NA"][day],
            "stock out": day == 3,
            "unused": [b"x"],
        }
        for number, shop in enumerate(shops)
        for day in range(5)
    ]
    table = pa.Table.from_pylist(rows)
    order = np.random.default_rng(1).permutation(len(rows))
    return table.take(pa.array(order))


NASTY = {
    "series": ["sku id", "shop"],
    "group": ["shop"],
    "known": ["Price.usd", "deal"],
    "static": ["wea`ther"],
    "mask": "stock out",
}


def odd_names_and_keys(bench):
    source = bench.frame(nasty().drop(["price.USD"]))
    panel = bench.open(source, **NASTY)
    two = shown(panel.sample(2))
    panel.close()
    return bench.told(source, **NASTY) | {"two": two}


def odd_names_and_keys_from_pandas(bench):
    return bench.told(nasty().to_pandas(), **(NASTY | {"known": ["Price.usd", "price.USD", "deal"]}))


def columns_that_differ_only_in_case(bench):
    path = bench.folder / "case.parquet"
    pq.write_table(nasty(), path)
    return bench.told(str(path), **(NASTY | {"known": ["price.USD", "Price.usd"]}))


def one_group_for_all(bench):
    return bench.told(bench.frame(nasty().drop(["price.USD"])), **(NASTY | {"group": []}))


def boolean_keys(bench):
    table = pa.table(
        {
            "shop": [True, False, True, False],
            "floor": ["b", "a", "a", "a"],
            "when": [1, 2, 2, 1],
            "sold": [1, 2, None, 4],
        }
    )
    return bench.told(bench.frame(table), series=["floor", "shop"], group=["shop"])


def hours(first, number, zone=None):
    """Two shops, hourly from a stamp in UTC (of the zone's column) on."""
    start = np.datetime64(first, "us").astype(np.int64)
    micros = np.repeat(start + np.arange(number) * 3_600_000_000, 2)
    return pa.table(
        {
            "shop": pa.array([1, 2] * number, pa.int32()),
            "when": pa.array(micros, pa.int64()).cast(pa.timestamp("us", tz=zone)),
            "sold": pa.array(range(2 * number), pa.float32()),
        }
    )


def instants_over_the_spring_change(bench):
    return bench.told(bench.frame(hours("2024-03-30T22:00", 6, ZONE)))


def instants_over_the_autumn_change(bench):
    return bench.told(bench.frame(hours("2024-10-26T21:00", 6, ZONE)), cutoff="2024-10-27 02:30")


def instants_in_a_file_keep_its_zone(bench):
    path = bench.folder / "aware.parquet"
    pq.write_table(hours("2024-03-31T03:00", 6, "America/New_York"), path)
    return bench.told(str(path))


def wall_clock_that_no_zone_has(bench):
    return bench.told(bench.frame(hours("2024-03-31T00:30", 5)))


def wall_clock_read_in_a_zone(bench):
    return bench.told(bench.frame(hours("2024-03-30T20:30", 4)), timezone="Asia/Kathmandu")


def stamps_of_long_ago(bench):
    table = hours("1500-01-01T00:00:01.5", 3)
    return bench.told(bench.frame(table))


def dates_and_decimals(bench):
    days = [datetime.date(1582, 10, 3), datetime.date(1969, 12, 31), datetime.date(2024, 2, 29)]
    table = pa.table(
        {
            "shop": pa.array([decimal.Decimal(7)] * 3, pa.decimal128(10, 0)),
            "when": pa.array(days, pa.date32()),
            "sold": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("-3.3")], pa.decimal128(8, 2)),
        }
    )
    path = bench.folder / "dates.parquet"
    pq.write_table(table, path)
    return [bench.told(bench.frame(table)), bench.told(str(path), cutoff="2000-01-01")]


def nanosecond_parquet(bench):
    frame = pd.DataFrame(
        {"shop": ["a", "a"], "when": pd.to_datetime(["2024-01-02", "2024-01-01"]), "sold": [1, 2]}
    )
    frame["when"] = frame["when"].astype("datetime64[ns]")
    path = bench.folder / "nano.parquet"
    frame.to_parquet(path)
    assert pq.read_schema(path).field("when").type == pa.timestamp("ns")
    return bench.told(str(path))


CSV = 'shop,when,sold,note.s,"a ""quoted"" name"\n007,2024-01-01,1.5,NA,x\nNA,2024-01-01,2,,"two\nlines"\n'
CSV += '007,2024-01-02,NA,"a,b",\n"",2024-01-02,3,é,y\n'


def text_files(bench):
    folder = bench.folder / "csv"
    folder.mkdir()
    good = CSV.replace('\n"",', "\n08,")
    (folder / "b.csv").write_text(good, encoding="utf-8")
    (folder / "a.csv").write_text("\ufeff" + good.replace("2024-01", "2024-02"), encoding="utf-8")
    return bench.told(str(folder), known=["note.s"], static=['a "quoted" name'])


def text_file_with_an_empty_key(bench):
    path = bench.folder / "empty.csv"
    path.write_text(CSV, encoding="utf-8")
    return bench.told(str(path))


def integers_as_text_files(bench):
    path = bench.folder / "integers.csv"
    path.write_text("shop,when,sold\n12,3,1\n-7,1,2\n12,1,\n", encoding="utf-8")
    return [bench.told(str(path)), bench.told(str(path), cutoff="2"), bench.told(str(path), cutoff=1)]


def a_day_is_cut_off_whole(bench):
    table = hours("2024-01-01T22:00", 30)
    return [bench.told(bench.frame(table), cutoff=day) for day in ("2024-01-01", "2024-01-02 01:00")]


def later_rows_are_not_read(bench):
    path = bench.folder / "later.csv"
    path.write_text("shop,when,sold\n1,2024-01-01,1\nx,2024-01-03,wrong\n", encoding="utf-8")
    return [
        bench.told(str(path), cutoff="2024-01-02"),
        bench.told(str(path)),
        bench.told(str(path), cutoff="2023"),
    ]


def every_problem_at_once(bench):
    table = pa.table({"shop": ["a", None], "When": [1, 2], "sold": ["x", "1"]})
    return [bench.told(bench.frame(table)), bench.told(bench.frame(table), time="When")]


def a_path_that_is_not_there(bench):
    (bench.folder / "sales.parquet").touch()
    refused = bench.told(str(bench.folder / "slaes.parquet"))
    return [problem.replace(str(bench.folder), "FOLDER") for problem in refused["problems"]]


def one_bad_group_costs_only_itself(bench):
    names = [f"good {i}" for i in range(6)] + ["segfault", "hang", "raise", "exit", "allocate", "hopeless"]
    table = pa.table({"shop": names * 3, "when": [0] * 12 + [1] * 12 + [2] * 12, "sold": [1.0] * 36})
    panel = bench.open(bench.frame(table))
    attempts = bench.folder / "attempts"
    attempts.mkdir()
    deeds = {name: name for name in names} | {"hopeless": "raise", "hopeless!": "raise"}
    deeds["attempts"] = str(attempts)
    found = bench.answers(panel, engine_jobs.job(deeds, deadline_seconds=2.0))
    panel.close()
    tried = Counter(path.name.rpartition("-")[0] for path in attempts.iterdir())
    told = ("key", "by", "rows", "status", "code")
    return [[*(answer[name] for name in told), tried[answer["key"][0]]] for answer in found]


def each_group_has_the_time_of_its_own_size(bench):
    shops, stamps = ["long"] * 1000 + ["short"] * 2, [*range(1000), 0, 1]
    table = pa.table({"shop": shops, "when": stamps, "sold": [1.0] * 1002})
    panel = bench.open(bench.frame(table))
    nap = engine_jobs.job({"long": 1.5, "short": 60.0}, Allowance(least=0.5, each=1.0), engine_jobs.nap)
    found = bench.answers(panel, nap)
    panel.close()
    return [[answer[name] for name in ("key", "by", "code")] for answer in found]


def the_same_answers_for_any_number_of_tasks(bench):
    rows = [(i % 37, t, i * t / 7) for i in range(37) for t in range(3 + i % 5)]
    shop, when, sold = zip(*rows, strict=True)
    panel = bench.open(bench.frame(pa.table({"shop": shop, "when": when, "sold": sold})))
    answers = bench.answers(panel, engine_jobs.job())
    if bench.spark is not None:
        panel._workers = 5
    again = bench.answers(panel, engine_jobs.job())
    some = bench.answers(panel, engine_jobs.job(), [3, 5, 36])
    panel.close()
    assert answers == again
    assert some == [answers[3], answers[5], answers[36]]
    return answers


def groups_are_cut_again_and_carry_what_is_attached(bench):
    rows = [(f"s{i % 3}", f"i{i % 5}", t, i * t / 7) for i in range(15) for t in range(2 + i % 4)]
    shop, item, when, sold = zip(*rows, strict=True)
    table = pa.table({"shop": shop, "item": item, "when": when, "sold": sold})
    panel = bench.open(bench.frame(table), series=["shop", "item"], group=["item"])
    each = panel.regrouped((0, 1))
    job = engine_jobs.job({"s1": "raise"}, run=engine_jobs.with_attachment)
    attached = {group: f"{group} says {'x' * group}".encode() for group in range(15)}
    wanted = list(range(15))
    found = [answer for batch in each.map(job, wanted, attached) for answer in batch]
    assert sorted(answer.group for answer in found) == wanted
    told = {
        "groups": shown(panel.groups),
        "series": shown(each.groups),
        "by item": bench.answers(panel, engine_jobs.job()),
        "by series": [json.loads(a.payload) for a in sorted(found, key=lambda answer: answer.group)],
    }
    panel.close()
    return told


def closing_cancels(bench):
    names = [f"quick {i}" for i in range(40)] + [f"slow {i}" for i in range(4)]
    table = pa.table({"shop": names * 2, "when": [0] * 44 + [1] * 44, "sold": [1.0] * 88})
    panel = bench.open(bench.frame(table))
    slow = engine_jobs.job({name: "sleep" for name in names if name.startswith("slow")})
    batches = panel.map(slow, list(range(44)))
    first = next(filter(None, batches))
    batches.close()
    assert first
    found = bench.answers(panel, engine_jobs.job())
    panel.close()
    return [answer["by"] for answer in found]


def a_lazy_frame_is_evaluated_once(bench):
    if bench.spark is None:
        return "once"
    log = bench.folder / "evaluations"

    def traced(batches, path=str(log)):
        with open(path, "a") as lines:
            lines.write("evaluated\n")
        yield from batches

    table = pa.table({"shop": ["a", "b"], "when": [1, 1], "sold": [1.0, 2.0]})
    lazy = bench.frame(table).repartition(1).mapInArrow(traced, "shop string, when bigint, sold double")
    panel = bench.open(lazy, cutoff=5)
    bench.answers(panel, engine_jobs.job())
    bench.answers(panel, engine_jobs.job())
    panel.close()
    return {1: "once"}[len(log.read_text().splitlines())]


def columns_of_the_siblings(bench):
    rows = [(shop, item, day) for shop in "ab" for item in range(15) for day in range(4) if (item + day) % 5]
    shop, item, when = zip(*rows, strict=True)
    price = [None if (7 * i) % 11 == 0 else (1 + (i * i) % 13) / 7 for i in range(len(rows))]
    advert = [i % 3 == 0 for i in range(len(rows))]
    columns = {
        "shop": shop,
        "item": item,
        "when": when,
        "sold": [1.0] * len(rows),
        "price": price,
        "ad": advert,
    }
    table = pa.table(columns)
    few = table.filter(pc.less(table["item"], 6))
    path = bench.folder / "siblings.csv"
    pd.DataFrame(few.to_pydict()).to_csv(path, index=False)
    roles = {"series": ["shop", "item"], "known": ["price", "ad"]}

    def context(*by):
        return {**roles, "context": {"by": list(by), "columns": ["price", "ad"]}}

    return [
        bench.told(bench.frame(table), **context("shop")),
        bench.told(bench.frame(table), **context("item")),
        bench.told(bench.frame(few), cutoff=2, **context("shop")),
        bench.told(bench.frame(few), **{**context(), "group": ["item"]}),
        bench.told(few.to_pandas(), **context("item")),
        bench.told(str(path), **context("shop")),
    ]


CASES = {
    case.__name__: case
    for case in (
        odd_names_and_keys,
        odd_names_and_keys_from_pandas,
        columns_that_differ_only_in_case,
        one_group_for_all,
        boolean_keys,
        instants_over_the_spring_change,
        instants_over_the_autumn_change,
        instants_in_a_file_keep_its_zone,
        wall_clock_that_no_zone_has,
        wall_clock_read_in_a_zone,
        stamps_of_long_ago,
        dates_and_decimals,
        nanosecond_parquet,
        text_files,
        text_file_with_an_empty_key,
        integers_as_text_files,
        a_day_is_cut_off_whole,
        later_rows_are_not_read,
        every_problem_at_once,
        a_path_that_is_not_there,
        one_bad_group_costs_only_itself,
        each_group_has_the_time_of_its_own_size,
        the_same_answers_for_any_number_of_tasks,
        groups_are_cut_again_and_carry_what_is_attached,
        closing_cancels,
        a_lazy_frame_is_evaluated_once,
        columns_of_the_siblings,
    )
}
