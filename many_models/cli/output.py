"""What the commands print: results to stdout, messages to stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from many_models.errors import Problem

if TYPE_CHECKING:
    import pandas as pd

    from many_models.registry.records import Version
    from many_models.runs.check import CheckReport
    from many_models.runs.estimate import Estimate


def line(text: str) -> None:
    """One line on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def message(text: str) -> None:
    """A message on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_problems(problems: Sequence[Problem]) -> None:
    """Every problem on stderr: where, what was found, what is allowed, what to do."""
    count = len(problems)
    message(f"{count} problem{'s' if count != 1 else ''}:")
    for problem in problems:
        message(f"  {problem.where}: found {problem.found}")
        if problem.allowed:
            message(f"    allowed: {problem.allowed}")
        if problem.action:
            message(f"    do:      {problem.action}")


def problem_record(problem: Problem) -> dict[str, Any]:
    """A problem as one record of `check --json`."""
    return {"code": "PROBLEM", "severity": "error", "state": "alerted", **asdict(problem)}


class _Plainly(logging.Handler):
    """Writes each warning once, and nothing but the message, to stderr; below warnings with the time."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """The message on stderr, unless it stands there already."""
        text = record.getMessage()
        if record.levelno < logging.WARNING:
            message(f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {text}")
        elif text not in self._told:
            self._told.add(text)
            message(text)


@contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """What this package warns of goes to stderr meanwhile, once and plainly."""
    log, handler = logging.getLogger("many_models"), _Plainly()
    propagate, level = log.propagate, log.level
    log.addHandler(handler)
    # A library that gives the root logger a handler would print the same again.
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = propagate
        log.setLevel(level)
        log.removeHandler(handler)


def tell_from(level: str) -> None:
    """Says on stderr what is logged from this level on, while `warnings_on_stderr` holds."""
    log = logging.getLogger("many_models")
    log.setLevel(level.upper())
    for handler in log.handlers:
        if isinstance(handler, _Plainly):
            handler.setLevel(level.upper())


def print_json(record: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    line(json.dumps(record, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stdout, numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(columns):
        numbers = all(isinstance(row[position], int | float | None) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(text_of(value) for value in row))
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        # In a file or a pipe no column may be cut to the width of a terminal that is not there.
        console = Console(width=200)
    console.print(table)


def text_of(value: Any) -> str:
    """A value as a person reads it in a table."""
    from rich.markup import escape

    return escape(plain_text(value))


def plain_text(value: Any) -> str:
    """A value as a person reads it: a dash for nothing, four digits of a float."""
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_summary(summary: Mapping[str, Any]) -> None:
    """The summary of a run in a few lines on stdout."""
    outcomes = ", ".join(f"{count} {status}" for status, count in summary["outcomes"].items())
    skill, coverage = summary["skill"], summary["coverage"]
    line(f"{summary['series']} series: {outcomes}")
    if summary.get("only"):
        told = summary["only"]
        words = ", ".join(f"{count} {word}" for word, count in told["groups_by_word"].items()) or "none"
        line(f"trained: {words}; {told['inherited_series']} series inherited from {told['base']}")
    if skill["median"] is not None:
        line(
            f"skill against seasonal naive: median {skill['median']:.3f}, "
            f"{skill['share_beating_naive']:.0%} of the series beat it"
            + (f", {skill['share_replaced']:.1%} handed to it" if skill["share_replaced"] else "")
        )
    _print_errors(summary["errors"])
    if summary["bias"] is not None:
        line(f"bias {summary['bias']:+.1%}")
    if coverage["realised"] is not None:
        line(f"coverage of the {coverage['nominal']:.0%} interval: {coverage['realised']:.0%}")
    if summary["test"] is not None:
        line(f"held-out test of {summary['test']['series']} series")
        _print_errors(summary["test"]["errors"])
    line(f"{summary['seconds']:.1f} s on {summary['engine'].get('name', summary['engine'])}")
    slow = summary.get("stragglers", {})  # a run of before they were told has none
    if slow.get("count"):
        named = ", ".join(f"{'/'.join(one['key'])} {one['seconds']:.0f} s" for one in slow["slowest"])
        line(f"{slow['count']} far slower than the middle series ({slow['median_seconds']:.2g} s): {named}")


def print_backtest(summary: Mapping[str, Any]) -> None:
    """The errors of a backtest on stdout, beside those of seasonal naive."""
    line(f"{summary['scored_series']} of {summary['series']} series scored at {summary['origins']} origins")
    for name in ("mase", "rmsse"):
        own, naive = summary[name], summary["seasonal_naive"][name]
        if own is not None:
            line(f"{name.upper()} {own:.3f}, seasonal naive {'–' if naive is None else f'{naive:.3f}'}")
    skill = summary["skill"]
    if skill["median"] is not None:
        line(
            f"skill against seasonal naive: median {skill['median']:.3f}, "
            f"{skill['share_beating_naive']:.0%} of the series beat it"
        )
    if skill["mase_difference_se"] is not None:
        line(f"MASE less that of seasonal naive: {_signed(skill, 'mase_difference')}")
    _print_errors(summary["errors"])
    if summary["wape"] is not None:
        line(f"WAPE {summary['wape']:.3f}, bias {summary['bias']:+.1%}")
    if summary["coverage"] is not None:
        line(f"coverage of the outer interval: {summary['coverage']:.0%}")
    if summary["same_champion"] is not None:
        line(f"same heaviest member at the next origin: {summary['same_champion']:.0%}")


def print_contest(summary: Mapping[str, Any]) -> None:
    """How two versions compare, on stdout: what was judged, on what, and who serves how many series."""
    if summary["compared_series"]:
        basis = ", ".join(f"{count} on {name}" for name, count in summary["basis"].items())
        line(f"{summary['compared_series']} series compared on {summary['compared_stamps']} stamps: {basis}")
    for name, side in (("challenger_to_champion", "challenger"), ("composed_to_champion", "better of both")):
        if summary[name] is not None:
            line(f"error of the {side} relative to the champion's: {summary[name]:.3f} (geometric mean)")
    reasons = ", ".join(f"{count} {name}" for name, count in summary["reasons"].items())
    served = ", ".join(f"{count} by the {side}" for side, count in summary["winners"].items())
    line(f"{summary['series']} series: {served} ({reasons})")


def _print_errors(errors: Mapping[str, Mapping[str, float | None]]) -> None:
    """Errors by series, by value, by volume and by weight, on stdout."""
    told = {name: row for name, row in errors.items() if row.get("macro") is not None}
    if not told:
        return
    ways = list(next(iter(told.values())))
    titles = {"macro": "mean of series", "micro": "all values", "volume": "by volume", "weighted": "weighted"}
    print_table(
        ["error", *(titles[way] for way in ways)],
        [[name, *(row[way] for way in ways)] for name, row in told.items()],
    )


MOST_ALERTS = 10
"""So many series are named; the rest stands in the table that is written."""


def print_monitor(summary: Mapping[str, Any], series: Any) -> None:
    """Errors on newer data relative to the folds', by step and by age, and the series with alerts."""
    whole = summary["all"]
    line(
        f"{summary['judged_series']} of {summary['series']} series have {summary['stamps']} newer values; "
        f"{summary['issued_stamps']} of the forecasts are those that were left with the models"
    )
    columns = ("stamps", "relative_error", "bias", "coverage")
    for name, records in (("step", summary["by_step"]), ("age", summary["by_age"])):
        rows = [[record[name], *(record[column] for column in columns)] for record in records]
        print_table((name, *columns), [*rows, ["all", *(whole[column] for column in columns)]])
    named = series[series["alerts"] != ""].sort_values("errors", ascending=False)
    counts = ", ".join(f"{count} {name}" for name, count in summary["alerts"].items())
    line(f"{len(named)} series with alerts: {counts}")
    if len(named):
        keys = list(series.columns[: series.columns.get_loc("stamps")])
        shown = [*keys, "ratio", "errors", "bias", "coverage", "alerts"]
        print_table(shown, named[shown].head(MOST_ALERTS).to_numpy().tolist())
    if summary["alerts"]["DRIFT"]:
        line(
            f"to train those that drifted: many-models train CONFIG --only drifted --base {summary['model']}"
        )


def _signed(values: Mapping[str, Any], name: str) -> str:
    return f"{values[name]:+.3f} ± {values[f'{name}_se']:.3f}"


WORKERS = (1, 2, 4, 8, 16, 32, 64)


def print_estimate(estimate: Estimate) -> None:
    """What a run would cost, on stdout: core-hours, and the time that so many workers need."""
    hours, error = estimate.core_seconds / 3600, estimate.core_seconds_error / 3600
    line(f"{estimate.series} series in {estimate.groups} groups: {hours:.3g} ± {error:.1g} core-hours")
    line(f"learned from a pilot of {estimate.pilot_groups} groups")
    for workers in WORKERS:
        if workers <= estimate.groups:
            line(f"{workers:>4} workers: {duration(estimate.wall_seconds(workers))}")


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3.4 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_check(report: CheckReport, as_json: bool) -> None:
    """The outcome of a check on stdout: the table in a line, what was decided about it, its findings."""
    if as_json:
        for record in report.records:
            print_json(record)
        return
    line(
        f"{report.series} series in {report.groups} groups, {report.rows_read} rows, "
        f"frequency {report.frequency}"
    )
    for note in report.notes:
        line(f"note: {note}")
    if report.guardrails:
        columns = ("guardrail", "passed", "done", "alerted", "share")
        print_table(
            columns,
            [
                [
                    row["guardrail"].lower().replace("_", " "),
                    *(row[state] or None for state in ("passed", "done", "alerted")),
                    _percent(row["share"]),
                ]
                for row in report.guardrails
            ],
        )
    if not report.rows:
        line("nothing to report: the configuration and the data are fine")
        return
    columns = ("finding", "state", "series", "share", "count")
    print_table(
        columns,
        [
            [
                ("! " if row["severity"] != "info" else "") + row["code"],
                row["state"],
                row["series"],
                _percent(row["share"]),
                row["count"],
            ]
            for row in report.rows
        ],
    )
    line("what to do")
    for code, action in {row["code"]: row["action"] for row in report.rows if row["action"]}.items():
        line(f"  {code}: {action}")
    worst = "nothing stops a training" if report.trainable else "no series has a usable observation"
    line(f"the configuration is right; {worst}")


def _percent(share: float) -> str:
    """A share as a person reads it: nothing for none, and never 0 % for some."""
    if share <= 0:
        return ""
    return "< 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def print_record(record: Mapping[str, Any], as_json: bool) -> None:
    """What is known of one series' model."""
    if as_json:
        print_json(record)
        return
    width = max(len(name) for name in record)
    for name, value in record.items():
        line(f"{name:<{width}}  {value if isinstance(value, str) else plain_text(value)}")


def print_keys(keys: pd.DataFrame, as_json: bool) -> None:
    """Keys with status and learner, one line each."""
    rows = [list(row) for row in keys.itertuples(index=False)]
    columns = list(keys.columns)
    if not as_json:
        print_table(columns, rows)
        return
    for row in rows:
        print_json(dict(zip(columns, row, strict=True)))


def print_versions(versions: Sequence[Version], as_json: bool) -> None:
    """The versions of a registered model, newest first."""
    rows = [
        {
            "name": v.name,
            "version": v.version,
            "aliases": list(v.aliases),
            "created": None if v.created is None else v.created.isoformat(timespec="seconds"),
            "run_id": v.run_id,
        }
        for v in versions
    ]
    if as_json:
        for row in rows:
            print_json(row)
        return
    if rows:
        columns = list(rows[0])
        print_table(
            columns, [[", ".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows]
        )
