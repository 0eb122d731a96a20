"""What every learner keeps, by standing in the table."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
import warnings
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from many_models.bundle.container import pack, unpack
from many_models.errors import LearnerError, LookupFailed
from many_models.learners.base import Deadline, FitContext
from many_models.learners.table import LEARNERS, learner, learner_info, learner_names
from many_models.panel.series import Covariate, Series
from many_models.spec.learner_names import LEARNER_NAMES

CONTEXT = FitContext(horizon=6, season=4, seed=7, nonnegative=True)
KNOWN = (
    Covariate("price"),
    Covariate("advert", "boolean"),
    Covariate("aisle", "category", ("a", "b", "c")),
)
NAMES = tuple(n for n in learner_names() if all(find_spec(part) for part in learner_info(n).requires))
QUICK = {"tcn": {"width": 4, "depth": 2, "epochs": 2, "batches": 3, "batch": 16}}
"""Of networks, which keep the contract however little they have learned."""
USING_KNOWN = [name for name in NAMES if learner_info(name).uses_known]


def covariates(n):
    rng = np.random.default_rng(11)
    return np.column_stack(
        [rng.normal(3, 1, n), rng.integers(0, 2, n).astype(float), rng.integers(0, 3, n).astype(float)]
    )


@cache
def resolved(name, length=48):
    """The parameters that a search ends in, so that the dear learners search once for all tests."""
    if learner_info(name).cost != "dear":
        return None
    return {"order": [0, 1, 1], "seasonal": [0, 1, 1], "season": 4, "constant": False}


def tried(name, series, context=CONTEXT, most=3):
    """(candidate, parameters, series to fit it on) for the first candidates of a learner."""
    candidates = learner(name).candidates(series, context)
    chosen = candidates if len(candidates) <= most else (*candidates[: most - 1], candidates[-1])
    chosen = candidates[:1] if most == 1 else chosen
    for candidate in chosen:
        past = series if candidate.uses_known else series.without_known()
        stated = {**candidate.parameters, **QUICK.get(name, {})}
        yield candidate, stated or resolved(name) or candidate.parameters, past


def fitted(name, series, context=CONTEXT, most=3):
    for candidate, parameters, past in tried(name, series, context, most):
        yield candidate, learner(name).fit(past, parameters, context), past


def attempt(work):
    """(answer, "") or (None, code of the LearnerError)."""
    try:
        return work(), ""
    except LearnerError as trouble:
        return None, trouble.code


@pytest.fixture
def usual(make_series, quarterly):
    x = covariates(48)
    y = quarterly() + 5 * x[:, 0] + 10 * x[:, 1]
    return make_series(y, known_x=x, known=KNOWN)


@pytest.fixture
def ahead(make_future):
    def make(series, candidate, steps, gap=0):
        table = covariates(400)[-(steps if np.isscalar(steps) else len(steps)) :]
        future = make_future(series, steps, table, gap)
        return future if candidate.uses_known else future.without_known()

    return make


def same(a, b):
    return np.array_equal(a.mean, b.mean) and np.array_equal(a.median, b.median)


def test_the_table_and_the_configuration_name_the_same_learners():
    assert learner_names() == LEARNER_NAMES


def test_reading_the_table_imports_nothing_heavy():
    code = """
        import sys
        from many_models.learners.table import LEARNERS, learner, learner_names
        for name in learner_names():
            learner(name).info
        heavy = ("statsforecast", "statsmodels", "pmdarima", "prophet", "sklearn", "lightgbm")
        heavy += ("xgboost", "torch")
        print([name for name in heavy if name in sys.modules])
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_an_unknown_learner_names_the_nearest():
    with pytest.raises(LookupFailed, match="prophet"):
        learner("profet")


@pytest.mark.parametrize("name", NAMES)
def test_the_table_says_what_the_learner_says(name):
    assert learner(name).info == LEARNERS[name].info
    assert learner(name).info.name == name


@pytest.mark.parametrize("name", NAMES)
def test_there_are_candidates_and_their_names_are_their_own(name, usual):
    candidates = learner(name).candidates(usual, CONTEXT)
    assert candidates
    assert len({c.name for c in candidates}) == len(candidates)
    assert {c.learner for c in candidates} == {name}
    assert any(not c.uses_known for c in candidates)


@pytest.mark.parametrize("name", NAMES)
def test_two_fits_agree_bit_for_bit_and_leave_the_input_alone(name, usual, ahead):
    before = usual.y.copy(), usual.known_x.copy()
    first = list(fitted(name, usual))
    second = list(fitted(name, usual))
    for (candidate, one, _), (_, two, _) in zip(first, second, strict=True):
        future = ahead(usual, candidate, 6)
        assert same(one.predict(future), two.predict(future))
        assert pack(one.state()) == pack(two.state())
    assert np.array_equal(before[0], usual.y)
    assert np.array_equal(before[1], usual.known_x)


@pytest.mark.parametrize("name", NAMES)
def test_the_forecast_has_exactly_the_stamps_asked_for(name, usual, ahead):
    for candidate, model, _ in fitted(name, usual):
        whole = model.predict(ahead(usual, candidate, 12))
        assert whole.mean.shape == (12,)
        assert whole.levels == (0.5,)
        assert np.isfinite(whole.mean).all()
        assert np.isfinite(whole.median).all()
        table = ahead(usual, candidate, 12)
        jumps = [1, 4, 5, 11]
        part = type(table)(table.grid, table.ordinals[jumps], table.known_x[jumps])
        np.testing.assert_allclose(model.predict(part).mean, whole.mean[jumps], rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_longer_forecast_begins_with_the_shorter(name, usual, ahead):
    for candidate, model, _ in fitted(name, usual):
        longer = ahead(usual, candidate, 9)
        shorter = type(longer)(longer.grid, longer.ordinals[:4], longer.known_x[:4])
        np.testing.assert_allclose(model.predict(shorter).mean, model.predict(longer).mean[:4], rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_gap_moves_the_stamps(name, usual, ahead):
    context = FitContext(horizon=4, gap=3, season=4, seed=7, nonnegative=True)
    for candidate, model, _ in fitted(name, usual, context):
        forecast = model.predict(ahead(usual, candidate, 4, gap=3))
        assert forecast.mean.shape == (4,)
        assert np.isfinite(forecast.mean).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_model_forecasts_identically(name, usual, ahead):
    for candidate, model, past in fitted(name, usual):
        stored = pack(model.state())
        loaded = learner(name).load(unpack(stored))
        future = ahead(usual, candidate, 8)
        assert same(model.predict(future), loaded.predict(future))
        assert dict(loaded.parameters) == dict(model.parameters)
        assert loaded.tail == model.tail
        assert pack(loaded.state()) == stored
        moved = loaded.update(past.tail(loaded.tail))
        assert same(model.predict(future), moved.predict(future))


@pytest.mark.parametrize("name", NAMES)
def test_an_update_with_the_stored_tail_changes_nothing(name, usual, ahead):
    for candidate, model, past in fitted(name, usual):
        future = ahead(usual, candidate, 8)
        before = model.predict(future)
        assert same(before, model.update(past.tail(model.tail)).predict(future))
        assert same(before, model.update(past.tail(model.tail + 5)).predict(future))


@pytest.mark.parametrize("name", NAMES)
def test_newer_values_move_the_state_and_not_the_parameters(name, usual, ahead):
    cut = 40
    early = Series(
        usual.grid,
        usual.start,
        usual.y[:cut],
        usual.observed[:cut],
        usual.known_x[:cut],
        usual.past_x[:cut],
        usual.static_x,
        usual.known,
    )
    for candidate, model, past in fitted(name, early):
        whole = usual if candidate.uses_known else usual.without_known()
        needed = model.tail + len(usual) - cut
        once = model.update(whole.tail(needed))
        half = Series(
            whole.grid, whole.start, whole.y[:44], whole.observed[:44], whole.known_x[:44],
            whole.past_x[:44], whole.static_x, whole.known,
        )  # fmt: skip
        middle = model.update(half.tail(model.tail + 4))
        twice = middle.update(whole.tail(middle.tail + 4))
        future = ahead(usual, candidate, 6)
        forecast = once.predict(future)
        assert forecast.mean.shape == (6,)
        np.testing.assert_allclose(forecast.mean, twice.predict(future).mean, rtol=1e-9)
        assert dict(once.parameters) == dict(model.parameters)
        assert len(past) == cut


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_with_the_resolved_parameters_repeats_the_fit(name, usual, ahead):
    for candidate, model, past in fitted(name, usual, most=2):
        again = learner(name).fit(past, model.parameters, CONTEXT)
        future = ahead(usual, candidate, 6)
        np.testing.assert_allclose(again.predict(future).mean, model.predict(future).mean, rtol=1e-9)
        assert dict(again.parameters) == dict(model.parameters)


def odd_histories():
    rng = np.random.default_rng(5)
    t = np.arange(40)
    wave = 10 + 0.2 * t + 3 * np.sin(np.pi / 2 * t) + rng.normal(0, 1, 40)
    sparse = np.where(rng.random(40) < 0.7, 0.0, rng.poisson(3, 40) + 1.0)
    return {
        "constant": np.full(40, 7.0),
        "zero": np.zeros(40),
        "intermittent": sparse,
        "dead at the end": np.r_[sparse[:25], np.zeros(15)],
        "tiny": wave * 1e-8,
        "large": wave * 1e9,
        "high level": 1e9 + wave,
        "negative": -wave,
        "both signs": wave - wave.mean(),
        "line": 3.0 + 2.0 * t,
        "one jump": np.r_[np.full(39, 5.0), 500.0],
        "one": wave[:1],
        "two": wave[:2],
        "three": wave[:3],
        "seven": wave[:7],
        "twelve": wave[:12],
    }


@pytest.mark.parametrize("kind", list(odd_histories()))
@pytest.mark.parametrize("name", NAMES)
def test_odd_histories_give_a_forecast_or_a_stable_code(name, kind, make_series, make_future):
    y = odd_histories()[kind]
    series = make_series(y)
    context = FitContext(horizon=5, season=4, nonnegative=bool((y >= 0).all()))
    for candidate, parameters, past in tried(name, series, context, most=2):
        model, code = attempt(lambda p=parameters, s=past: learner(name).fit(s, p, context))
        if model is None:
            assert code.isupper(), candidate.name
            continue
        forecast = model.predict(make_future(series, 5))
        assert forecast.mean.shape == (5,)
        assert np.isfinite(forecast.mean).all()
        reach = 20 * max(np.abs(y).max(), 1e-300)
        assert np.abs(forecast.mean).max() <= reach, f"{candidate.name}: {forecast.mean}"


@pytest.mark.parametrize("name", NAMES)
def test_fewer_values_than_declared_are_too_short(name, make_series, quarterly):
    least = learner_info(name).min_length
    series = make_series(quarterly(least - 1)) if least > 1 else make_series([])
    assert learner(name).candidates(series, CONTEXT) == ()
    with pytest.raises(LearnerError) as caught:
        learner(name).fit(series, {}, CONTEXT)
    assert caught.value.code == "TOO_SHORT"


@pytest.mark.parametrize("name", NAMES)
def test_filled_holes_are_no_obstacle(name, usual, make_series, ahead):
    observed = np.ones(48, dtype=bool)
    observed[[3, 10, 11, 30]] = False
    series = make_series(usual.y, known_x=usual.known_x, known=KNOWN, observed=observed)
    for candidate, model, _ in fitted(name, series, most=2):
        assert np.isfinite(model.predict(ahead(series, candidate, 6)).mean).all()


@pytest.mark.parametrize("name", USING_KNOWN)
def test_known_covariates_matter(name, usual, ahead):
    using = [row for row in fitted(name, usual, most=1) if row[0].uses_known]
    assert using, "where there are known covariates the first candidate uses them"
    for candidate, model, _ in using:
        future = ahead(usual, candidate, 6)
        table = future.known_x * np.array([1.0, -1.0, 1.0]) + np.array([0.0, 1.0, 0.0])
        other = type(future)(future.grid, future.ordinals, table)
        assert not np.allclose(model.predict(future).mean, model.predict(other).mean)


@pytest.mark.parametrize("name", USING_KNOWN)
def test_missing_known_covariates_of_the_future_are_never_invented(name, usual, ahead):
    for candidate, model, _ in fitted(name, usual, most=1):
        future = ahead(usual, candidate, 6)
        table = future.known_x.copy()
        table[2, 0] = np.nan
        incomplete = type(future)(future.grid, future.ordinals, table)
        forecast, code = attempt(lambda m=model, f=incomplete: m.predict(f))
        assert code.isupper() if forecast is None else np.isfinite(forecast.mean).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_deadline_that_has_passed_is_no_crash(name, usual):
    context = FitContext(horizon=6, season=4, deadline=Deadline(time.monotonic() - 1.0))
    for _, parameters, past in tried(name, usual, context, most=1):
        _, code = attempt(lambda p=parameters, s=past: learner(name).fit(s, p, context))
        assert code in ("", "DEADLINE")


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_prints_and_warns_nothing(name, usual, ahead, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for candidate, model, _ in fitted(name, usual, most=2):
            model.predict(ahead(usual, candidate, 6))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_first_fits_in_a_fresh_process_print_nothing_and_leave_no_files(tmp_path):
    code = """
        import sys
        import numpy as np
        from many_models.learners import FitContext, learner
        from many_models.panel.grid import Frequency, Grid
        from many_models.panel.series import Future, Series

        n, grid = 30, Grid.through(1_001_894_400_000_000, Frequency.parse("QS-OCT"))
        y = 50 + np.arange(n) + 5 * np.sin(np.arange(n) * np.pi / 2) + np.cos(np.arange(n) ** 2)
        series = Series(
            grid, 126, y, np.ones(n, dtype=bool), np.empty((n, 0)), np.empty((n, 0)), np.empty(0)
        )
        future = Future(grid, np.arange(156, 160), np.empty((4, 0)))
        context = FitContext(horizon=4, season=4)
        for name in sys.argv[1:]:
            parameters = learner(name).candidates(series, context)[0].parameters
            if learner(name).info.cost == "dear":
                parameters = {"order": [0, 1, 1], "seasonal": [0, 1, 1], "season": 4, "constant": False}
            learner(name).fit(series, parameters, context).predict(future)
    """
    work, temporary = tmp_path / "work", tmp_path / "tmp"
    work.mkdir()
    temporary.mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.getcwd(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    code = textwrap.dedent(code) + "\nimport os\nassert os.listdir(os.environ['TMPDIR']) == []\n"
    answer = subprocess.run(
        # A network needs more values: test_tcn.py looks at its files and its silence.
        [sys.executable, "-c", code, *(name for name in NAMES if name not in QUICK)],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stderr == ""
    assert answer.stdout == ""
    assert answer.returncode == 0
    assert list(work.iterdir()) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_models_are_small(name, usual):
    for _, model, _ in fitted(name, usual, most=1):
        limit = 30_000 if name == "lightgbm" else 8_000
        assert len(pack(model.state())) < limit
