"""Events per period against plain loops, on grids of every kind."""

import json

import numpy as np
import pytest

from many_models.features.base import Wishes
from many_models.features.events import Events
from many_models.features.plan import FeaturePlan
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.panel.series import Future

DAY = 86_400_000_000


def us(text):
    return int(np.datetime64(text, "us").astype(np.int64))


def day(text):
    return us(text), us(text) + DAY


def decided(series, dates, before=0, after=0):
    settings = FeatureSettings(events=dates, event_before=before, event_after=after)
    return Events.decide(series, Wishes("linear", settings=settings))


DATES = (
    (
        "promo",
        (
            day("2020-02-01"),
            day("2020-02-03"),
            (us("2020-03-31T22:00"), us("2020-04-01T03:00")),
            day("2020-05-09"),
        ),
    ),
    ("strike", ((us("2020-01-30"), us("2020-02-12")),)),
)


@pytest.mark.parametrize(
    ("alias", "n", "label"),
    [
        ("D", 140, "start"),
        ("W-SUN", 40, "end"),
        ("W-THU", 40, "start"),
        ("MS", 20, "start"),
        ("h", 3000, "start"),
    ],
)
def test_counts_are_those_of_a_plain_loop(make_series, alias, n, label):
    series = make_series(alias, n, label=label)
    family = decided(series, DATES, before=2, after=3)
    found = dict(zip(family.columns, family.build(Rows.past(series)).T, strict=True))
    spans = [
        tuple(int(edge[0].astype(np.int64)) for edge in series.grid.spans([ordinal]))
        for ordinal in range(series.start - 3, series.end + 3)
    ]
    for name, dates in DATES:
        oracle = {"event": [], "before": [], "after": []}
        for i in range(3, 3 + n):
            begun, ended = spans[i]
            oracle["event"].append(sum(s < ended and e > begun for s, e in dates))
            oracle["before"].append(sum(ended <= s < spans[i + 2][1] for s, _ in dates))
            oracle["after"].append(sum(spans[i - 3][0] < e <= begun for _, e in dates))
        for kind, values in oracle.items():
            column = f"{kind}_{name}"
            assert (column in found) == (min(values) < max(values)), column
            if column in found:
                assert found[column].tolist() == values, column


def test_a_name_that_the_history_never_held_has_no_column(make_series):
    series = make_series("D", 60)
    assert decided(series, (("opening", (day("2020-09-01"),)),)) is None


def test_future_events_come_out_of_the_stored_family(make_series):
    series = make_series("D", 60)
    family = decided(series, (("promo", (day("2020-02-01"), day("2020-03-03"))),), before=1)
    again = Events.from_dict(json.loads(json.dumps(family.to_dict())))
    assert again == family
    ahead = Future(series.grid, series.end + 1 + np.arange(6), np.empty((6, 0)))
    rows = Rows.future(ahead, series.y[:0], series.end)
    assert again.build(rows).T.tolist() == [[0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert again.columns == ("event_promo", "before_promo")


def test_without_a_calendar_or_events_there_is_no_family(make_series):
    assert decided(make_series("D", 60), ()) is None
    names = ("events", "fourier")
    assert "events" not in FeaturePlan.decide(make_series("D", 60), Wishes("linear"), names).to_dict()
