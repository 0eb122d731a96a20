"""Automatic groups: alike series together, groups bounded, and the same cuts for whoever comes later."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.panel.clusters import Clusters, clusters_of, series_features

SEASON = 12


def digests(count):
    return [blake2b(str(i).encode(), digest_size=16).digest() for i in range(count)]


def sorted_into(features, largest):
    names = digests(len(features))
    clusters = clusters_of(features, np.full(len(features), 40), names, largest)
    return clusters, [clusters.group_of(f, d) for f, d in zip(features, names, strict=True)]


def two_kinds(count=60):
    """Seasonal series and intermittent ones, one after the other."""
    rng = np.random.default_rng(0)
    wave = 20 + 8 * np.sin(np.arange(60) * 2 * np.pi / SEASON)
    return [
        wave + rng.normal(0, 1, 60) if i % 2 else rng.poisson(0.2, 60).astype(float) for i in range(count)
    ]


def features_of(some):
    return np.array([series_features(y, np.ones(len(y), bool), SEASON) for y in some])


def test_features_tell_what_a_series_is():
    season, trend, level, zeros = features_of(two_kinds(2)[1:])[0]
    assert (season > 0.9, trend < 0.3, level) == (True, True, pytest.approx(np.log10(20) / 3, abs=0.02))
    assert zeros == 0
    assert features_of([np.arange(60.0) + 1])[0][1] > 0.99
    np.testing.assert_array_equal(features_of([np.zeros(60)])[0], [0, 0, 0, 1])
    gone = series_features(np.zeros(3), np.zeros(3, bool), SEASON)
    np.testing.assert_array_equal(gone, np.zeros(4))


def test_two_kinds_are_two_groups_and_one_kind_is_one():
    features = features_of(two_kinds())
    clusters, groups = sorted_into(features, 500)
    assert len(clusters.siblings) == 2
    assert len({groups[i] for i in range(0, 60, 2)}) == len({groups[i] for i in range(1, 60, 2)}) == 1
    alike, _ = sorted_into(features[1::2], 500)
    assert len(alike.siblings) == 1
    assert alike.why(features[1], digests(1)[0]) == "all series are alike enough"


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 120), st.integers(2, 40), st.integers(0, 3), st.integers(0, 100))
def test_groups_are_bounded_and_named_alike_whatever_the_order(count, largest, digits, seed):
    features = np.round(np.random.default_rng(seed).uniform(0, 1, (count, 4)), digits)
    clusters, groups = sorted_into(features, largest)
    sizes = Counter(groups)
    assert set(sizes) == set(range(len(clusters.siblings)))
    assert max(sizes.values()) <= largest
    names = digests(count)
    again = clusters_of(features[::-1], np.full(count, 40), names[::-1], largest)
    assert again == clusters
    assert Clusters.from_dict(clusters.to_dict()) == clusters
    for group, some in enumerate(clusters.siblings):
        assert {groups[names.index(bytes.fromhex(d))] for d in some} == {group}


def test_clusters_that_lead_nowhere_are_refused():
    clusters, _ = sorted_into(features_of(two_kinds()), 500)
    stored = clusters.to_dict()
    for cuts in ([[0, 0.5, 0, -1]], [[0, 0.5, -1, -9]], [[9, 0.5, -1, -2]], []):
        with pytest.raises(ValueError, match="cut"):
            Clusters.from_dict({**stored, "cuts": cuts})
