"""One series through the whole choice: weights, guard, stand-by, refit, intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from many_models.automl.candidates import learner_names
from many_models.automl.combination import candidate_weights, combined, without_negligible
from many_models.automl.intervals import error_factor, recency_scale
from many_models.automl.prior import CandidatePrior
from many_models.automl.scores import score, scores_of
from many_models.automl.training import Bounds, train_fallback, train_series
from many_models.bundle.container import pack
from many_models.errors import LearnerError
from many_models.learners.base import Candidate, Deadline, LearnerInfo
from many_models.learners.table import LEARNERS, Entry
from many_models.panel.series import Forecast

FREE = Bounds(None, None)


@dataclass(frozen=True)
class Flat:
    """Says one number for ever."""

    value: float
    end: int
    parameters: dict
    tail: ClassVar[int] = 1

    def predict(self, future):
        return Forecast.point(np.full(len(future), self.value))

    def update(self, series):
        return self

    def state(self):
        return {"value": self.value, "end": self.end, "parameters": self.parameters}


class Troubled:
    """A learner that misbehaves on histories of some lengths, as its candidates' parameters say."""

    info = LearnerInfo("troubled", "misbehaves", "none", 1, "trivial")
    deeds: ClassVar[dict[str, dict]] = {}

    def candidates(self, series, context):
        return tuple(Candidate(name, "troubled", {"deed": name}) for name in self.deeds)

    def fit(self, series, parameters, context):
        deed = self.deeds[parameters["deed"]].get(len(series), self.deeds[parameters["deed"]].get("else"))
        if deed == "raise":
            raise RuntimeError("no such thing")
        if deed == "refuse":
            raise LearnerError("NO_WAY")
        value = {"nan": np.nan, "absurd": 1e9, None: float(series.y[-1])}.get(deed, deed)
        return Flat(value, series.end, dict(parameters))

    def load(self, state):
        return Flat(state["value"], state["end"], state["parameters"])


@pytest.fixture
def troubled():
    """The misbehaving learner in the table, with the deeds that a test asks for."""

    def ask(**deeds):
        Troubled.deeds = deeds

    LEARNERS["troubled"] = Entry(__name__, "Troubled", Troubled.info)
    yield ask
    del LEARNERS["troubled"]


@pytest.fixture(scope="session")
def train(handmade, settings, context, prior):
    def run(
        y, cutoffs, horizon=4, known=None, given=None, candidates=None, bounds=FREE, deadline=None, **plan
    ):
        data = handmade(y, known)
        return train_series(
            data,
            len(y),
            cutoffs,
            context(horizon, **(given or {})),
            settings(**plan),
            prior(**(candidates or {})),
            bounds,
            deadline or Deadline(),
        )

    return run


def walk(n, seed=0):
    return 100 + np.cumsum(np.random.default_rng(seed).normal(size=n))


CUTS = (16, 20, 24)


@pytest.mark.parametrize("deed", ["raise", "refuse", "nan", "absurd"])
def test_a_candidate_that_fails_on_one_fold_scores_as_seasonal_naive_there(train, troubled, deed):
    troubled(odd={20: deed})
    trained = train(walk(28), CUTS, learners=("naive", "troubled"))
    odd = next(t for t in trained.trials if t.candidate.name == "odd")
    np.testing.assert_array_equal(odd.failed, [False, True, False])
    np.testing.assert_array_equal(odd.median[1], trained.folds.fallback_median[1])
    assert [f.code for f in trained.findings] == ["CANDIDATE_FAILED"]
    assert any(m.candidate.name == "odd" for m in trained.model.members)


@pytest.mark.parametrize("deed", ["raise", "refuse", "nan", "absurd"])
def test_a_candidate_that_fails_on_all_folds_is_dropped(train, troubled, deed):
    troubled(odd={16: deed, 20: deed, 24: deed})
    trained = train(walk(28), CUTS, learners=("naive", "troubled"))
    assert [m.candidate.name for m in trained.model.members] == ["naive"]
    assert trained.weights[[t.candidate.name for t in trained.trials].index("odd")] == 0


@pytest.mark.parametrize("deed", ["raise", "nan", "absurd"])
def test_a_candidate_that_fails_at_the_refit_leaves_the_others_with_its_weight(train, troubled, deed):
    troubled(odd={28: deed})
    trained = train(walk(28), CUTS, learners=("naive", "drift", "troubled"))
    assert "odd" not in {m.candidate.name for m in trained.model.members}
    assert sum(m.weight for m in trained.model.members) == pytest.approx(1.0)
    assert any("refit" in f.message and "odd" in f.message for f in trained.findings)


def test_when_all_candidates_fail_the_fallback_serves_and_says_so(train, troubled):
    troubled(a={"else": "nan"}, b={"else": "raise"})
    trained = train(walk(28), CUTS, learners=("troubled",))
    assert (trained.model.status, trained.model.reason) == ("FALLBACK", "NO_VALID_CANDIDATE")
    assert trained.model.label == "naive"
    assert {f.code for f in trained.findings} == {"ALL_CANDIDATES_FAILED", "CANDIDATE_FAILED"}
    assert len(trained.trials) == len(trained.weights) == 2
    assert trained.scores.reported.shape == (2, 3)


def test_candidates_that_were_never_begun_are_counted(train):
    trained = train(walk(28), CUTS, deadline=Deadline.after(0.0))
    assert trained.model.status == "FALLBACK"
    assert "CANDIDATES_NOT_RUN" in {f.code for f in trained.findings}


# -- the guard (promise 10) ------------------------------------------------------


def bad(worse, folds=3, naive_error=1.0):
    """A history that steps up by one after each cutoff, and a candidate that errs `worse` times as much."""
    cuts = tuple(10 + 4 * f for f in range(folds))
    y = np.full(cuts[-1] + 4, 1000.0)
    for cut in cuts:
        y[cut:] += naive_error
    # The candidate's error on fold f is factor * naive_error: it says (actual - factor).
    deeds = {cut: y[cut] - factor * naive_error for cut, factor in zip(cuts, worse, strict=True)}
    return y, cuts, deeds


@pytest.mark.parametrize(
    ("worse", "handed_over"),
    [
        ((1.3, 1.3, 1.3), True),
        ((1.2, 1.2, 1.2), False),  # worse everywhere, but by too little
        ((3.0, 3.0, 0.9), False),  # much worse, but not in every fold
        ((3.0, 3.0, 1.0), False),  # as good in one fold
        ((1.05, 1.05, 3.0), True),  # in every fold, and by more than a quarter on average
        ((3.0, 3.0), False),  # two folds are too few
        ((1.5, 1.5, 1.5, 1.5), True),
    ],
)
def test_a_series_is_handed_to_naive_only_when_it_won_every_fold_clearly(train, troubled, worse, handed_over):
    y, cuts, deeds = bad(worse, len(worse))
    troubled(poor=deeds)
    trained = train(y, cuts, learners=("troubled",))
    assert (trained.model.reason == "NAIVE_WINS") == handed_over
    assert trained.model.status == "TRAINED"
    assert ("NAIVE_WINS" in {f.code for f in trained.findings}) == handed_over
    if handed_over:
        assert trained.model.label == "naive"
        assert trained.skill == pytest.approx(0.0)
        assert trained.score == pytest.approx(trained.naive_score)
        np.testing.assert_array_equal(trained.backtest.mean, trained.folds.fallback_mean)


def test_the_guard_judges_the_combination_and_not_its_members(train, troubled):
    """Two candidates that err to both sides are each worse than naive; their mean is not."""
    y, cuts, _ = bad((1, 1, 1))
    troubled(low={c: y[c] - 2 for c in cuts}, high={c: y[c] + 2 for c in cuts})
    trained = train(y, cuts, learners=("troubled",), combine="mean")
    assert trained.model.reason is None
    assert trained.score == pytest.approx(0.0)


# -- the combination -------------------------------------------------------------


def test_weights_and_held_out_folds_follow_the_rule(train):
    known = {"naive": (0.0, 0.2, 0.1), "drift": (0.1, 0.3, 0.2), "average": (0.3, 0.2, 0.3)}
    trained = train(walk(28, 4), CUTS, candidates=known)
    names = [t.candidate.name for t in trained.trials]
    errors = np.nanmean(np.abs(trained.folds.actual - np.array([t.median for t in trained.trials])), axis=2)
    priors = train_priors(known, names)
    expected = without_negligible(candidate_weights(errors, names, priors, 12))
    np.testing.assert_allclose(trained.weights, expected, rtol=1e-12)
    for f in range(3):
        rest = without_negligible(candidate_weights(np.delete(errors, f, axis=1), names, priors, 12))
        mean = combined(np.array([t.mean[f] for t in trained.trials]), rest)
        np.testing.assert_allclose(trained.backtest.mean[f], mean)


def train_priors(known, names):
    return {name: CandidatePrior(*known[name]) for name in names if name in known}


@pytest.mark.parametrize("combine", ["vote", "greedy", "stack"])
def test_weights_learned_from_forecasts_find_the_good_candidates(train, troubled, combine):
    """Two candidates whose errors cancel are kept, one that is far off is not."""
    y = np.repeat(50 + 9 * np.random.default_rng(1).normal(size=11), 4)
    cuts = (16, 20, 24, 28, 32, 36, 40)
    truth = {c: y[c] for c in cuts}
    troubled(
        low={c: v - 0.5 for c, v in truth.items()},
        high={c: v + 0.5 for c, v in truth.items()},
        wild={c: 130 - v for c, v in truth.items()},
    )
    trained = train(y, cuts, learners=("troubled",), combine=combine)
    weights = {t.candidate.name: w for t, w in zip(trained.trials, trained.weights, strict=True)}
    assert weights["wild"] < 0.1
    assert weights["low"] > 0.2
    assert weights["high"] > 0.2
    assert sum(weights.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("combine", ["greedy", "stack"])
def test_one_fold_teaches_no_weights(train, combine):
    known = {"naive": (-0.5, 0.1, 0.1), "drift": (0.5, 0.1, 0.1), "average": (0.5, 0.1, 0.1)}
    one = train(walk(12), (8,), candidates=known, combine=combine)
    np.testing.assert_array_equal(one.weights, train(walk(12), (8,), candidates=known).weights)


def test_without_folds_the_prior_alone_decides(train):
    known = {"naive": (-0.5, 0.1, 0.1), "drift": (0.5, 0.1, 0.1), "average": (0.5, 0.1, 0.1)}
    trained = train(walk(9), (), candidates=known)
    best = trained.trials[int(trained.weights.argmax())].candidate.name
    assert best == "naive"
    assert trained.backtest is None
    assert np.isnan(trained.score)
    assert np.isnan(trained.skill)
    assert np.isnan(trained.bias)


def test_a_candidates_score_is_the_mean_over_steps_and_the_geometric_mean_over_folds(train):
    y = walk(28, 2)
    y[21] = np.nan
    trained = train(y, CUTS, metric="mase")
    for k, trial in enumerate(trained.trials):
        for f, cut in enumerate(CUTS):
            actual = y[cut : cut + 4]
            seen = np.isfinite(actual)
            error = np.mean(np.abs(actual - trial.median[f])[seen])
            steps = np.abs(np.diff(y[:cut]))
            scale = np.mean(steps[np.isfinite(steps)])
            assert trained.scores.reported[k, f] == pytest.approx(error / scale)
    assert score(np.array([1.0, 4.0, np.nan]), "mase") == pytest.approx(2.0)
    assert np.isnan(score(np.array([np.nan]), "mase"))
    assert score(np.zeros(3), "mase") == 0.0


def test_squared_errors_are_averaged_over_folds_before_the_root():
    found = scores_of(np.array([[3.0, 4.0], [0.0, np.nan]]), "rmsse")
    np.testing.assert_allclose(found, [np.sqrt(12.5), 0.0])


def test_folds_of_zeros_do_not_decide_on_squared_errors(train, troubled):
    """Nothing sold in three of four folds: forecasting the rate is better than forecasting zero."""
    y = np.zeros(44)
    y[[3, 9, 14, 29, 30, 31]] = (4, 3, 5, 9, 7, 8)
    cuts = (24, 28, 32, 36)
    troubled(nothing=dict.fromkeys(cuts, 0.0), rate=dict.fromkeys(cuts, 1.5))
    trained = train(y, cuts, learners=("troubled",), metric="rmsse")
    weights = {t.candidate.name: w for t, w in zip(trained.trials, trained.weights, strict=True)}
    assert weights["rate"] > weights["nothing"]


def test_quiet_folds_do_not_hand_a_series_to_the_zeros_they_hold(train, troubled):
    """Nothing was sold in any fold: zero is perfect there, and says little of a part that sells again."""
    y = np.tile([0.0, 6.0, 0.0, 0.0, 3.0, 0.0], 8)
    y[28:] = 0.0
    cuts = (30, 34, 38)
    troubled(nothing=dict.fromkeys(cuts, 0.0), rate=dict.fromkeys(cuts, 1.0))
    trained = train(y, cuts, learners=("troubled",), metric="rmsse")
    weights = {t.candidate.name: w for t, w in zip(trained.trials, trained.weights, strict=True)}
    assert trained.model.reason is None
    assert weights["nothing"] > weights["rate"] > 0.3


def test_a_scale_of_zero_leaves_scores_out_and_is_counted_and_the_choice_goes_on(train):
    y = np.r_[np.full(24, 5.0), 6, 7, 8, 9]
    trained = train(y, CUTS, metric="mase")
    assert np.isnan(trained.scores.reported).all()
    assert next(f.count for f in trained.findings if f.code == "SCALE_ZERO") == 3
    assert trained.model.status == "TRAINED"
    assert trained.weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "metric", ["mae", "mase", "rmsse", "wape", "smape", "mape", "rmse", "nmae", "nrmse", "pinball"]
)
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_every_error_ranks_the_good_candidate_first(train, troubled, metric, scale):
    y = np.arange(28.0) * scale + 10
    troubled(good={c: y[c] for c in CUTS}, poor={c: y[c] + 9 for c in CUTS})
    trained = train(y, CUTS, metric=metric, learners=("troubled",))
    assert np.isfinite(trained.weights).all()
    assert trained.weights[0] > trained.weights[1]


@pytest.mark.parametrize("combine", ["auto", "best", "mean", "median"])
def test_every_way_to_combine_gives_weights_that_sum_to_one(train, combine):
    trained = train(walk(28), CUTS, combine=combine)
    assert trained.weights.sum() == pytest.approx(1.0)
    if combine == "best":
        assert np.count_nonzero(trained.weights) == 1
    if combine in ("mean", "median"):
        np.testing.assert_allclose(trained.weights, 1 / len(trained.trials))


# -- covariates and the stand-by -------------------------------------------------


def promotion(rows, seed=1):
    known = np.random.default_rng(seed).normal(size=(rows, 1))
    return 50 + 10 * known[:, 0], known


def test_a_winner_that_needs_covariates_keeps_a_stand_by_that_does_not(train):
    y, known = promotion(54)
    trained = train(y[:50], (30, 36, 42), known=known, learners=("naive", "drift", "arx"))
    model = trained.model
    assert model.uses_known
    standby = [m for m in model.members if m.standby_weight > 0]
    assert standby
    assert not any(m.candidate.uses_known for m in standby)
    assert sum(m.standby_weight for m in standby) == pytest.approx(1.0)
    assert model.bands.standby_scale > 2 * model.bands.scale
    told = next(f for f in trained.findings if f.code == "PERFECT_FORESIGHT")
    assert "best candidate without them" in told.message


def test_a_winner_without_covariates_keeps_no_stand_by(train):
    trained = train(walk(28), CUTS)
    assert not trained.model.uses_known
    assert all(m.standby_weight == 0 for m in trained.model.members)


# -- intervals -------------------------------------------------------------------


def test_the_scale_of_the_intervals_is_own_and_pooled_error_in_units_of_the_recent_scale(train, shape):
    y = walk(28, 7)
    trained = train(y, CUTS)
    everything = np.ones(28, dtype=bool)
    own = np.mean(
        [
            np.mean(np.abs(y[c : c + 4] - trained.backtest.quantiles[f, :, 1]))
            / recency_scale(y[:c], everything[:c], 1)
            for f, c in enumerate(CUTS)
        ]
    )
    expected = recency_scale(y, everything, 1) * error_factor(own, shape.pool_error)
    assert trained.model.bands.scale == pytest.approx(expected)


def test_quantiles_of_folds_are_in_order_around_the_combination(train):
    trained = train(walk(28), CUTS)
    quantiles = trained.backtest.quantiles
    assert (np.diff(quantiles, axis=2) >= 0).all()
    width = quantiles[:, :, 2] - quantiles[:, :, 0]
    assert (np.diff(width, axis=1) > 0).all()


def test_bounds_hold_in_the_backtest_and_scores_are_those_of_what_is_shown(train):
    y = np.r_[np.linspace(30, 0, 24), np.zeros(4)]
    trained = train(y, CUTS, bounds=Bounds(0.0, None), learners=("drift",))
    assert (trained.backtest.mean >= 0).all()
    assert (trained.backtest.quantiles >= 0).all()
    shown = np.mean(np.abs(trained.folds.actual - trained.backtest.quantiles[:, :, 1]), axis=1)
    np.testing.assert_allclose(trained.backtest.reported, shown)


# -- edges -----------------------------------------------------------------------

SIMPLE = ("naive", "seasonal_naive", "drift", "average", "seasonal_average", "arx", "elastic_net")
SHAPES = {
    "constant": np.full(40, 7.0),
    "zeros": np.zeros(40),
    "intermittent": np.where(np.arange(40) % 5 == 0, 3.0, 0.0),
    "dead": np.r_[np.arange(1.0, 11), np.zeros(30)],
    "huge": np.linspace(1e140, 2e140, 40),
    "tiny": np.linspace(1e-140, 2e-140, 40),
    "negative": -np.linspace(1, 5, 40),
    "one jump": np.r_[np.zeros(39), 1e6],
}


@pytest.mark.parametrize("name", SHAPES)
def test_odd_histories_are_trained_and_forecast_finitely(train, handmade, context, name):
    y = SHAPES[name]
    trained = train(y, (20, 24, 28, 32), learners=SIMPLE, metric="rmsse", given={"nonnegative": y.min() >= 0})
    assert trained.model.status == "TRAINED"
    answer = trained.model.forecast(handmade(y).future(40, 4, 0)).forecast
    assert np.isfinite(answer.mean).all()
    assert np.isfinite(answer.quantiles).all()
    if name in ("constant", "zeros"):
        np.testing.assert_allclose(answer.mean, y[0])


def test_a_dead_part_is_not_forecast_as_zero_because_its_last_year_is(train, handmade):
    y = np.r_[np.tile([0, 0, 4.0], 20), np.zeros(30)]
    trained = train(y, (60, 70, 80), learners=("average",), metric="rmsse")
    answer = trained.model.forecast(handmade(y).future(90, 4, 0))
    assert set(answer.status) == {"TRAINED"}
    assert (answer.forecast.mean > 0).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_short_series_gets_the_fallback_with_the_reason_given(handmade, settings, context, prior, n):
    y = handmade(np.arange(float(n)))
    trained = train_fallback(
        y.train(n), context(4, season=4), settings(), prior(), FREE, "FALLBACK", "TOO_SHORT"
    )
    answer = trained.model.forecast(y.future(n, 4, 0))
    assert set(answer.status) == {"FALLBACK"}
    assert set(answer.reason) == {"TOO_SHORT"}
    assert trained.model.label == ("seasonal_naive" if n >= 4 else "naive")
    assert (np.diff(answer.forecast.quantiles, axis=1) >= 0).all()


def test_training_twice_gives_the_same_bytes(train):
    y, known = promotion(54, 9)
    names = learner_names("fast", None, None)
    first, second = (
        pack(train(y[:50], (34, 38, 42), known=known, learners=names).model.state()) for _ in range(2)
    )
    assert first == second
