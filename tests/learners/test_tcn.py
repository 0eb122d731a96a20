"""The temporal convolutional network: what is stored against PyTorch, alone and pooled, what it may see."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest

from many_models.bundle.container import pack, unpack
from many_models.errors import DamagedError, LearnerError
from many_models.learners.base import Deadline, FitContext
from many_models.learners.pooled import Asked, GroupSeries, PooledMember
from many_models.learners.table import installation, learner, pooled_learner
from many_models.learners.tcn import design_of, settings_of
from many_models.learners.tcn_forward import LEVELS, reach_of
from many_models.learners.tcn_windows import Panel
from many_models.panel.series import Covariate, Future, Series

torch = pytest.importorskip("torch", reason="the extra tcn is not installed: PyTorch is missing")
pytest.importorskip("pytorch_lightning", reason="the extra tcn is not installed: Lightning is missing")

TINY = {"width": 6, "depth": 2, "epochs": 2, "batches": 6, "batch": 24, "transform": "log", "known": True}
CONTEXT = FitContext(horizon=6, season=4, seed=7, nonnegative=True)
KNOWN = (Covariate("price"), Covariate("kind", "category", ("a", "b", "c")))


def one_series(make_series, n, seed, start=None, known=True):
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    x = np.column_stack([rng.normal(3, 1, n), rng.integers(0, 3, n).astype(float)])
    y = 50 * (seed + 1) + t + 8 * np.sin(np.pi / 2 * t) + 6 * x[:, 0] + rng.normal(0, 2, n)
    if not known:
        return make_series(y, start=start)
    series = make_series(y, known_x=x, known=KNOWN, start=start)
    return replace(series, static_x=np.array([float(seed)]), static=(Covariate("size"),))


@pytest.fixture
def group(make_series):
    """Ragged: one starts late, one ended early, one is too short to learn from."""
    return [
        GroupSeries("a", one_series(make_series, 48, 0), CONTEXT),
        GroupSeries("b", one_series(make_series, 30, 1), CONTEXT),
        GroupSeries("c", one_series(make_series, 40, 2, start=20), CONTEXT),
        GroupSeries("d", one_series(make_series, 2, 3), CONTEXT),
    ]


def fit(group, seed=3, deadline=None, **parameters):
    return pooled_learner("tcn").fit_pooled(group, {**TINY, **parameters}, seed, deadline or Deadline())


def future_of(series, steps=6, seed=9):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(3, 1, 40), rng.integers(0, 3, 40).astype(float)])[:steps]
    x = x if series.known else np.empty((steps, 0))
    return Future(series.grid, series.end + 1 + np.arange(steps), x)


def asked(model, group, steps=6):
    return [Asked(one.series, model.own(one.name, one.series), future_of(one.series, steps)) for one in group]


def same(a, b):
    return np.array_equal(a.mean, b.mean) and np.array_equal(a.median, b.median)


def test_numpy_forecasts_what_torch_does(group):
    from many_models.learners.tcn_training import Course, Network, as_tensors

    usable = group[:3]
    settings = settings_of(TINY, usable)
    design = design_of(usable, settings)
    model = fit(group)
    told = [replace_told(design, one, model.own(one.name, one.series)) for one in usable]
    panel = Panel.of(design, told)
    steps = np.tile(np.arange(1, 7), (3, 1))
    columns = panel.last + steps
    windows = panel.windows(np.arange(3), np.full(3, panel.last), steps, columns)
    torch.manual_seed(5)
    for depth in (1, 2, 4):
        course = Course(depth, 7, 3, 0.3, 4, 0.01, 1, 1, 1, 1)
        network = Network(course, panel, 1).eval()
        for weights in network.parameters():
            torch.nn.init.normal_(weights, std=0.5)
        wider = replace(design, reach=reach_of(depth, 3))
        cut = Panel.of(wider, told).windows(np.arange(3), np.full(3, panel.last), steps, columns)
        cut = replace(cut, past=np.random.default_rng(1).normal(size=(3, wider.reach, design.channels)))
        with torch.no_grad():
            theirs = network(as_tensors(cut)).numpy()
        ours = network.exported().forward(cut)
        assert ours.shape == (3, 6, len(LEVELS))
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)
    assert windows.past.shape == (3, design.reach, design.channels)


def replace_told(design, one, own):
    from many_models.learners.tcn import told_of

    return told_of(design, one.series, own, future_of(one.series).known_x)


def test_every_second_output_of_plain_convolutions_is_a_dilated_stack(group):
    """The blocks of the paper, dilated and padded, as PyTorch computes them: the last position is ours."""
    from many_models.learners.tcn_training import Course, Network

    usable = group[:3]
    design = design_of(usable, settings_of(TINY, usable))
    model = fit(group)
    panel = Panel.of(design, [replace_told(design, one, model.own(one.name, one.series)) for one in usable])
    depth, kernel = 3, 3
    network = Network(Course(depth, 5, kernel, 0.0, 2, 0.01, 1, 1, 1, 1), panel, 1).eval()
    x = torch.randn(2, design.channels, reach_of(depth, kernel), generator=torch.Generator().manual_seed(1))
    convolved = torch.nn.functional.conv1d
    with torch.no_grad():
        ours = x
        for block in network.blocks:
            ours = block(ours)
        theirs = x
        for level, block in enumerate(network.blocks):
            y, dilation = theirs, 2**level
            for layer in (block.first, block.second):
                padded = torch.nn.functional.pad(y, ((kernel - 1) * dilation, 0))
                y = torch.relu(convolved(padded, layer.weight, layer.bias, dilation=dilation))
            theirs = torch.relu(y + (theirs if block.side is None else block.side(theirs)))
    assert ours.shape[2] == 1
    np.testing.assert_allclose(ours[:, :, 0].numpy(), theirs[:, :, -1].numpy(), rtol=1e-5, atol=1e-6)


def test_two_fits_agree_bit_for_bit_whatever_the_order(group):
    once, again = fit(group), fit(group[::-1])
    assert pack(once.state()) == pack(again.state())
    assert pack(once.state()) != pack(fit(group, seed=4).state())


def test_a_stored_network_forecasts_identically(group):
    model = fit(group)
    stored = pack(model.state())
    loaded = pooled_learner("tcn").load_pooled(unpack(stored))
    assert pack(loaded.state()) == stored
    assert dict(loaded.parameters) == dict(model.parameters)
    for one, other in zip(
        model.predict(asked(model, group)), loaded.predict(asked(loaded, group)), strict=True
    ):
        assert same(one, other)


def test_a_forecast_does_not_depend_on_who_else_is_asked_about(group):
    model = fit(group)
    together = model.predict(asked(model, group))
    for one, expected in zip(asked(model, group), together, strict=True):
        assert same(model.predict([one])[0], expected)


def test_a_shorter_forecast_is_the_beginning_of_a_longer_one(group):
    model = fit(group)
    for short, long in zip(
        model.predict(asked(model, group, 3)), model.predict(asked(model, group, 11)), strict=True
    ):
        assert np.array_equal(short.mean, long.mean[:3])
        assert np.array_equal(short.median, long.median[:3])


def test_the_tail_is_all_that_is_read(group):
    model = fit(group)
    for one, expected in zip(asked(model, group), model.predict(asked(model, group)), strict=True):
        cut = replace(one, history=one.history.tail(model.tail))
        assert same(model.predict([cut])[0], expected)


def test_a_new_series_of_the_group_is_forecast(group, make_series):
    model = fit(group)
    stranger = one_series(make_series, 25, 5)
    own = model.own("stranger", stranger)
    assert own["place"] == 0
    forecast = model.predict([Asked(stranger, own, future_of(stranger))])[0]
    assert np.isfinite(forecast.mean).all()
    assert 100 < forecast.median.mean() < 1000
    assert same(PooledMember(model, own, stranger).predict(future_of(stranger)), forecast)


def test_the_too_short_of_a_group_are_forecast_and_alone_refused(group):
    model = fit(group)
    assert "d" not in model.names
    assert np.isfinite(model.predict(asked(model, group))[3].mean).all()
    with pytest.raises(LearnerError) as caught:
        fit(group[3:])
    assert caught.value.code == "TOO_SHORT"
    assert pooled_learner("tcn").pooled_candidates(group[3:]) == ()


def test_candidates_are_with_and_without_covariates(group):
    found = pooled_learner("tcn").pooled_candidates(group)
    assert [(c.name, c.uses_known) for c in found] == [("pooled_tcn_known", True), ("pooled_tcn", False)]
    without = [replace(one, series=one.series.without_known()) for one in group]
    assert [c.name for c in pooled_learner("tcn").pooled_candidates(without)] == ["pooled_tcn"]


def test_known_covariates_of_the_future_matter_and_are_never_invented(group):
    model = fit(group)
    one = asked(model, group)[0]
    raised = replace(one.future, known_x=one.future.known_x + np.array([2.0, 0.0]))
    assert not same(model.predict([one])[0], model.predict([replace(one, future=raised)])[0])
    missing = one.future.known_x.copy()
    missing[2, 0] = np.nan
    with pytest.raises(LearnerError) as caught:
        model.predict([replace(one, future=replace(one.future, known_x=missing))])
    assert caught.value.code == "FUTURE_COVARIATES_MISSING"


def test_quantiles_do_not_cross_and_the_mean_is_near_their_middle(group):
    model = fit(group, epochs=3)
    for forecast, one in zip(model.predict(asked(model, group)), group, strict=True):
        assert (forecast.mean >= 0).all()
        assert np.abs(forecast.mean / forecast.median - 1).max() < 0.9, one.name


def test_values_after_the_cutoff_are_not_seen(group):
    model = fit([group[0]])
    longer = one_of_more(group[0].series)
    cut = replace_length(longer, 48)
    assert pack(fit([replace(group[0], series=cut)]).state()) == pack(model.state())


def one_of_more(series):
    return replace(
        series,
        y=np.r_[series.y, 1e6, -1e6],
        observed=np.r_[series.observed, True, True],
        known_x=np.vstack([series.known_x, series.known_x[:2]]),
        past_x=np.empty((len(series) + 2, 0)),
    )


def replace_length(series, n):
    return Series(
        series.grid, series.start, series.y[:n], series.observed[:n], series.known_x[:n], series.past_x[:n],
        series.static_x, series.known, series.past, series.static,
    )  # fmt: skip


def test_windows_read_nothing_after_their_cutoff(group):
    usable = group[:3]
    design = design_of(usable, settings_of(TINY, usable))
    model = fit(group)
    told = [replace_told(design, one, model.own(one.name, one.series)) for one in usable]
    panel = Panel.of(design, told)
    rows, cutoffs = np.arange(3), np.full(3, panel.last - 7)
    steps = np.tile(np.arange(1, 7), (3, 1))
    columns = cutoffs[:, None] + steps
    before = panel.windows(rows, cutoffs, steps, columns)
    changed = panel.z.copy()
    changed[:, panel.last - 6 :] = 1e6
    after = replace(panel, z=changed).windows(rows, cutoffs, steps, columns)
    assert np.array_equal(before.past, after.past)
    assert np.array_equal(before.ahead, after.ahead)
    assert np.array_equal(before.level, after.level)


def test_a_season_is_learned(make_series):
    """Better than the last value where the season is all there is."""
    t = np.arange(100)
    y = 100 + 30 * np.sin(np.pi / 2 * t) + np.random.default_rng(1).normal(0, 3, 100)
    series, truth = make_series(y[:94]), y[94:]
    parameters = {"transform": "log", "known": False, "width": 8, "epochs": 4, "batches": 20, "batch": 24}
    model = learner("tcn").fit(series, parameters, CONTEXT)
    median = model.predict(Future(series.grid, series.end + 1 + np.arange(6), np.empty((6, 0)))).median
    assert np.abs(median - truth).mean() < 0.5 * np.abs(y[93] - truth).mean()


def test_a_deadline_ends_the_training(group):
    with pytest.raises(LearnerError) as caught:
        fit(group, deadline=Deadline(time.monotonic() - 1))
    assert caught.value.code == "DEADLINE"
    with pytest.raises(LearnerError) as caught:
        fit(group, deadline=Deadline.after(0.3), epochs=10_000, patience=10_000)
    assert caught.value.code == "DEADLINE"


def test_the_depth_follows_the_season_and_stays_once_resolved(group, make_series):
    parameters = {name: value for name, value in TINY.items() if name != "depth"}
    assert settings_of(parameters, group)["depth"] == 2
    long = make_series(100 + np.arange(900.0) % 24, alias="h")
    hourly = [GroupSeries("h", long, replace(CONTEXT, season=24, horizon=48))]
    assert reach_of(settings_of({}, hourly)["depth"], 3) >= 168
    assert settings_of({"depth": 4}, group)["depth"] == 4


def test_damaged_arrays_are_refused(group):
    state = fit(group).state()
    state["weights"]["arrays"]["hidden.weight"] = np.zeros((3, 3), np.float32)
    with pytest.raises(DamagedError):
        pooled_learner("tcn").load_pooled(state)
    state = fit(group).state()
    state["names"] = state["names"][:1]
    with pytest.raises(DamagedError, match="embeddings"):
        pooled_learner("tcn").load_pooled(state)


def test_a_forecast_needs_no_torch(group, tmp_path):
    model = fit(group)
    place = tmp_path / "model.bin"
    place.write_bytes(pack(model.state()))
    code = f"""
        import sys
        sys.modules["torch"] = sys.modules["pytorch_lightning"] = None
        from pathlib import Path
        from many_models.bundle.container import unpack
        from many_models.learners.table import installation, pooled_learner
        model = pooled_learner("tcn").load_pooled(unpack(Path({str(place)!r}).read_bytes()))
        print(model.tail, installation("tcn"))
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert answer.stdout.strip() == f'{model.tail} pip install "many-models[tcn]"'


def test_without_torch_the_fit_names_the_command(group, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert installation("tcn") == 'pip install "many-models[tcn]"'
    with pytest.raises(LearnerError, match=r"many-models\[tcn\]") as caught:
        fit(group)
    assert caught.value.code == "NOT_INSTALLED"


def test_nothing_outside_is_changed_by_a_fit(group, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    fit(group)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
