"""The parts of the date that a configuration may name."""

from __future__ import annotations

CALENDAR_FIELDS: tuple[str, ...] = (
    "year",
    "half",
    "quarter",
    "month",
    "iso_week",
    "week_of_year",
    "week_of_month",
    "day_of_year",
    "day_of_month",
    "day_of_week",
    "weekend",
    "hour",
    "afternoon",
    "minute",
    "second",
    "month_start",
    "month_end",
    "days_in_month",
    "working_days",
    "time",
    "cyclic_quarter",
    "cyclic_month",
    "cyclic_week_of_year",
    "cyclic_day_of_year",
    "cyclic_day_of_month",
    "cyclic_day_of_week",
    "cyclic_hour",
    "cyclic_minute",
    "cyclic_second",
)
"""Held equal to what the calendar family builds by a test, since the configuration may not import it."""

PAID = "paid"
"""Public holidays on what would be a working day otherwise: a category of ours, not of the package."""
