"""Models trained from times of every kind, forecast with rows of that kind: pandas, CSV and pyfunc."""

import mlflow
import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, open_models, train
from many_models.runs.tables import read_table

DAYS = 60


def clock_frame(times):
    """Two shops over these times, with a price; the last three times have no sales yet."""
    n = len(times)
    price = 1 + np.arange(n) % 3 / 10
    # noise, so that seasonal naive is not perfect; the price explains most of the rest
    level = 60 - 30 * price + np.random.default_rng(5).normal(0, 1, n)
    part = pd.DataFrame({"when": times, "price": price})
    shops = [part.assign(shop=shop, sold=level + i) for i, shop in enumerate(["007", "NA"])]
    frame = pd.concat(shops, ignore_index=True)[["shop", "when", "sold", "price"]]
    frame.loc[frame.groupby("shop").cumcount() >= n - 3, "sold"] = np.nan
    return frame


def text_times():
    # a day-first order that pandas would read otherwise: 02/01/2023 is the second of January
    days = pd.date_range("2023-01-01", periods=DAYS, freq="D")
    return [day.strftime("%d/%m/%Y") for day in days]


def whole_times():
    return np.arange(1, DAYS + 1)


def zoned_times():
    # midnight in Berlin, over the change to summer time
    return pd.date_range("2023-02-15", periods=DAYS, freq="D", tz="Europe/Berlin")


def dates():
    return list(pd.date_range("2023-01-01", periods=DAYS, freq="D").date)


def stamps():
    return pd.date_range("2023-01-01", periods=DAYS, freq="D")


KINDS = {
    "text": (text_times, {}),
    "integer": (whole_times, {"data.frequency": "D"}),
    "zoned": (zoned_times, {}),
    "date": (dates, {}),
    "stamp": (stamps, {}),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory, empty_store):
    """The tracking URI of one registry for all kinds, which MLflow's own functions use too."""
    uri = empty_store(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


@pytest.fixture(scope="module", params=KINDS)
def case(request, store, tmp_path_factory):
    """(kind, models, pyfunc model, future rows, folder) of one kind of time, trained and registered."""
    make, overrides = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    frame = clock_frame(make())
    spec = ForecastSpec.from_dict(
        {
            "name": "shops",
            "data": {"time": "when", "target": "sold", "series": ["shop"], "known": ["price"]},
            "forecast": {"horizon": 3},
            "learners": {"preset": "fast", "allow": ["naive", "seasonal_naive", "arx"]},
            "engine": {"workers": 1},
        }
    ).replace(overrides)
    source = frame
    if request.param == "text":
        frame.to_csv(folder / "sold.csv", index=False)
        source = None
        spec = spec.replace({"data.path": str(folder / "sold.csv")})
    run = train(source, spec, run_dir=folder / "run")
    assert run.summary["outcomes"] == {"TRAINED": 2}
    name = f"shops_{request.param}"
    run.register(name, tracking_uri=store)
    future = frame[frame["sold"].isna()].drop(columns="sold").reset_index(drop=True)
    models = open_models(f"models:/{name}@champion", tracking_uri=store)
    return request.param, models, mlflow.pyfunc.load_model(f"models:/{name}@champion"), future, folder


def checked(kind, answer, future):
    assert answer["shop"].tolist() == future["shop"].tolist()
    assert answer["step"].tolist() == [1, 2, 3, 1, 2, 3]
    assert answer["reason"].isna().all(), answer["reason"].unique()
    assert (answer["status"] == "TRAINED").all()
    assert np.isfinite(answer["mean"]).all()
    want = future["when"]
    if kind == "text":
        want = pd.to_datetime(want, format="%d/%m/%Y")
    assert answer["when"].tolist() == want.tolist()


def test_rows_of_the_natural_type_are_answered(case):
    kind, models, _, future, _ = case
    checked(kind, models.forecast(future=future), future)


def test_the_same_rows_from_a_csv_file_get_the_same_answer(case):
    kind, models, _, future, folder = case
    future.to_csv(folder / "future.csv", index=False)
    answer = models.forecast(future=read_table(str(folder / "future.csv")))
    checked(kind, answer, future)
    pd.testing.assert_frame_equal(answer, models.forecast(future=future))


def test_pyfunc_gives_the_same_answer(case):
    _, models, served, future, _ = case
    pd.testing.assert_frame_equal(served.predict(future), models.forecast(future=future))


def test_the_answer_has_the_type_of_the_training_table(case):
    kind, models, _, _, _ = case
    when = models.forecast()["when"]
    kinds = {
        "text": "datetime64[us]",
        "integer": "int64",
        "zoned": "datetime64[us, Europe/Berlin]",
        "date": "object",
        "stamp": "datetime64[us]",
    }
    assert str(when.dtype) == kinds[kind]
