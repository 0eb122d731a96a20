"""Boosted trees as plain arrays, and the few lines of NumPy that predict with them.

The same lines predict in training and after loading, so both agree bit for bit, and no
library's own format is ever stored or read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from many_models.errors import DamagedError
from many_models.learners.base import State
from many_models.panel.series import Floats

if TYPE_CHECKING:
    import lightgbm

Ints = npt.NDArray[np.int64]

CATEGORICAL, DEFAULT_LEFT, MISSING_SHIFT = 1, 2, 2
"""Bits of LightGBM's decision_type; the two above MISSING_SHIFT say what counts as missing."""
MISSING_NAN = 2


@dataclass(frozen=True)
class Trees:
    """A sum of decision trees over numeric features.

    Attributes
    ----------
    leaves : [T]
        Leaves of each tree; a tree of L leaves has L - 1 splits.
    feature, threshold, left_if_nan : [S]
        Splits of all trees in order: left where x <= threshold, or where x is NaN and the flag is set.
    left, right : [S]
        Children, counted within the tree: a split below L - 1, else leaf number + L - 1.
    value : [sum of leaves]
        What a leaf adds, leaves of all trees in order.
    """

    kind: ClassVar[str] = "regression_trees"

    leaves: Ints
    feature: Ints
    threshold: Floats
    left_if_nan: npt.NDArray[np.bool_]
    left: Ints
    right: Ints
    value: Floats

    @property
    def reads(self) -> npt.NDArray[np.int64]:
        """The positions of the columns that have a say."""
        return np.unique(self.feature).astype(np.int64)

    @classmethod
    def of(cls, booster: lightgbm.Booster) -> Trees:
        """The trees of a fitted LightGBM model without categorical splits, exactly."""
        return _parse(booster.model_to_string())

    def single(self) -> Trees:
        """The same trees with thresholds and leaves in single precision, half the size when stored."""
        return Trees(
            self.leaves,
            self.feature,
            _single(self.threshold),
            self.left_if_nan,
            self.left,
            self.right,
            _single(self.value),
        )

    def predict(self, x: Floats) -> Floats:
        """The sum over trees for features [n, c] -> [n]."""
        if len(self.leaves) == 0 or len(x) == 0:
            return np.zeros(len(x))
        table = _table(self)
        row = np.arange(len(x))[:, None]
        node = np.broadcast_to(table.root, (len(x), len(table.root)))
        for _ in range(int(table.depth.max())):
            seen = x[row, table.feature[node]]
            goes_left = (seen <= table.threshold[node]) | (np.isnan(seen) & table.left_if_nan[node])
            node = np.where(goes_left, table.left[node], table.right[node])
        return np.asarray(np.ascontiguousarray(table.value[node]).sum(axis=1))

    @staticmethod
    def stacked(forests: Sequence[Trees]) -> ForestStack:
        """The forests as one that answers a row of each."""
        return _stack(forests)

    def state(self) -> State:
        """The trees as plain arrays; numbers of `single()` trees lose nothing.

        Splits and leaves are written level by level, each parent's left child before its right one: which
        children are splits (`inner`, one bit a child) then says which they are.
        """
        trees = _by_level(self)
        return {
            "leaves": _narrow(trees.leaves),
            "feature": _narrow(trees.feature),
            "threshold": trees.threshold.astype(np.float32),
            "left_if_nan": np.packbits(trees.left_if_nan),
            "inner": np.packbits(_inner(trees)),
            "value": trees.value.astype(np.float32),
        }

    @classmethod
    def load(cls, state: State) -> Trees:
        """The `single()` trees that gave this state.

        Raises
        ------
        DamagedError
            Where arrays do not fit together; no tree of a damaged state is ever walked.
        """
        leaves = np.asarray(state["leaves"]).astype(np.int64)
        if len(leaves) and int(leaves.min()) < 1:
            raise DamagedError("a tree without a leaf")
        splits = int((leaves - 1).sum())
        left, right = _children_of(_bits(state["inner"], 2 * splits), leaves)
        trees = cls(
            leaves,
            np.asarray(state["feature"]).astype(np.int64),
            np.asarray(state["threshold"]).astype(np.float64),
            _bits(state["left_if_nan"], splits),
            left,
            right,
            np.asarray(state["value"]).astype(np.float64),
        )
        _check(trees)
        return trees


def _single(x: Floats) -> Floats:
    return x.astype(np.float32).astype(np.float64)


def _narrow(x: Ints) -> npt.NDArray[Any]:
    return x.astype(np.uint8) if len(x) == 0 or int(x.max()) < 256 else x.astype(np.int32)


def _bits(packed: npt.ArrayLike, count: int) -> npt.NDArray[np.bool_]:
    """The first `count` bits of packed ones; fewer than that, or whole bytes more, are a damage."""
    given = np.asarray(packed)
    if given.shape != (-(-count // 8),):
        raise DamagedError("the arrays of a tree model do not fit together")
    return np.unpackbits(given, count=count).astype(np.bool_)


def _inner(trees: Trees) -> npt.NDArray[np.bool_]:
    """Whether the left and the right child of each split, in turn, is a split [2 S]."""
    splits = trees.leaves - 1
    return np.stack([trees.left, trees.right], axis=1).ravel() < np.repeat(splits, 2 * splits)


def _by_level(trees: Trees) -> Trees:
    """The same trees with splits and leaves numbered level by level, left before right."""
    splits = trees.leaves - 1
    first_split, first_leaf = np.cumsum(splits) - splits, np.cumsum(trees.leaves) - trees.leaves
    tree = np.flatnonzero(splits > 0)
    level, owner, reached, reached_by = first_split[tree], tree, [], []
    ends, ends_of = [first_leaf[splits == 0]], [np.flatnonzero(splits == 0)]
    while len(level):
        reached.append(level)
        reached_by.append(owner)
        below = np.stack([trees.left[level], trees.right[level]], axis=1).ravel()
        owner = np.repeat(owner, 2)
        inner = below < splits[owner]
        ends.append(first_leaf[owner[~inner]] + (below - splits[owner])[~inner])
        ends_of.append(owner[~inner])
        level, owner = first_split[owner[inner]] + below[inner], owner[inner]
    if not reached:
        return trees
    order, leaf = (
        np.concatenate(places)[np.argsort(np.concatenate(owners), kind="stable")]
        for places, owners in ((reached, reached_by), (ends, ends_of))
    )
    left, right = _children_of(_inner(trees).reshape(-1, 2)[order].ravel(), trees.leaves)
    return Trees(
        trees.leaves,
        trees.feature[order],
        trees.threshold[order],
        trees.left_if_nan[order],
        left,
        right,
        trees.value[leaf],
    )


def _children_of(inner: npt.NDArray[np.bool_], leaves: Ints) -> tuple[Ints, Ints]:
    """Left and right children [S] of splits that are written level by level, from `_inner` [2 S].

    Raises
    ------
    DamagedError
        Where a tree has not as many splits below its root as it has leaves.
    """
    splits = leaves - 1
    each = 2 * splits
    before = np.append(0, np.cumsum(inner))
    begin = np.cumsum(each) - each
    if not np.array_equal((before[begin + each] - before[begin])[splits > 0], splits[splits > 0] - 1):
        raise DamagedError("the arrays of a tree model do not fit together")
    # Children come in the order in which their parents do: the n-th split among them is split n of its tree.
    inner_before = before[:-1] - np.repeat(before[begin], each)
    place = np.arange(len(inner)) - np.repeat(begin, each)
    child = np.where(inner, inner_before + 1, place - inner_before + np.repeat(splits, each)).astype(np.int64)
    return child[::2], child[1::2]


def _check(trees: Trees) -> None:
    """Nothing, where every child exists and comes after its parent, so that each walk ends."""
    splits = trees.leaves - 1
    total, sizes = int(splits.sum()), {len(trees.feature), len(trees.threshold), len(trees.left)}
    fits = (
        (len(trees.leaves) == 0 or int(trees.leaves.min()) >= 1)
        and int(trees.feature.min(initial=0)) >= 0
        and sizes | {len(trees.right)} == {total}
        and len(trees.value) == int(trees.leaves.sum())
    )
    if fits and total:
        own = np.arange(total) - np.repeat(np.cumsum(splits) - splits, splits)
        last = np.repeat(2 * splits, splits)
        fits = all(bool(((own < child) & (child <= last)).all()) for child in (trees.left, trees.right))
    if not fits:
        raise DamagedError("the arrays of a tree model do not fit together")


@dataclass(frozen=True)
class _Table:
    """Splits and leaves of all trees as one table of nodes; a leaf is its own child.

    `root` and `depth` [T] are the first node of each tree, and how many splits its longest walk passes.
    """

    root: Ints
    depth: Ints
    feature: Ints
    threshold: Floats
    left_if_nan: npt.NDArray[np.bool_]
    left: Ints
    right: Ints
    value: Floats


def _table(trees: Trees) -> _Table:
    splits = trees.leaves - 1
    sizes = splits + trees.leaves
    root = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    own = np.arange(total) - np.repeat(root, sizes)
    is_split = own < np.repeat(splits, sizes)
    start = np.repeat(root, splits)
    left, right = np.arange(total), np.arange(total)
    left[is_split], right[is_split] = trees.left + start, trees.right + start
    feature = np.zeros(total, dtype=np.int64)
    feature[is_split] = trees.feature
    threshold, value = np.zeros(total), np.zeros(total)
    threshold[is_split], value[~is_split] = trees.threshold, trees.value
    left_if_nan = np.zeros(total, dtype=np.bool_)
    left_if_nan[is_split] = trees.left_if_nan
    depth = _depths(left, right, root)
    return _Table(root, depth, feature, threshold, left_if_nan, left, right, value)


@dataclass(frozen=True)
class ForestStack:
    """Many forests in one table of nodes, walked together.

    Every walk (a tree of a forest, from root to leaf) has a place; those of deep trees stand first, so that
    the walks that still go on at some depth are the first so many.

    Attributes
    ----------
    forest : [W]
        Whose row each walk reads.
    root : [W]
        Where it starts.
    going : [depth]
        How many walks have a split at each depth.
    place : [S, T]
        The walk of each tree of each forest; W, a leaf of nothing, fills up.
    child : [2 nodes]
        Right and left child of each node; a leaf is its own child.
    """

    forest: Ints
    root: Ints
    going: tuple[int, ...]
    place: Ints
    feature: Ints
    threshold: Floats
    left_if_nan: npt.NDArray[np.bool_]
    child: Ints
    value: Floats

    def predict(self, x: Floats) -> Floats:
        """The answer of forest s to row s [S, c] -> [S]."""
        flat, width = np.ascontiguousarray(x).reshape(-1), x.shape[1]
        row = self.forest * width
        holes = bool(np.isnan(flat).any())
        node = self.root.copy()
        for count in self.going:
            now = node[:count]
            seen = flat.take(self.feature.take(now) + row[:count])
            goes_left = seen <= self.threshold.take(now)
            if holes:
                goes_left |= np.isnan(seen) & self.left_if_nan.take(now)
            node[:count] = self.child.take(2 * now + goes_left)
        leaves = np.append(self.value.take(node), 0.0)
        # One tree after another, so that leaves of nothing at the end change no bit.
        return np.asarray(np.cumsum(leaves.take(self.place), axis=1)[:, -1])


def _stack(forests: Sequence[Trees]) -> ForestStack:
    trees = np.array([len(one.leaves) for one in forests], dtype=np.int64)
    table = _table(
        Trees(
            np.concatenate([one.leaves for one in forests]),
            np.concatenate([one.feature for one in forests]),
            np.concatenate([one.threshold for one in forests]),
            np.concatenate([one.left_if_nan for one in forests]),
            np.concatenate([one.left for one in forests]),
            np.concatenate([one.right for one in forests]),
            np.concatenate([one.value for one in forests]),
        )
    )
    depth = table.depth
    order = np.argsort(-depth, kind="stable")
    going = np.searchsorted(-depth[order], -np.arange(int(depth.max(initial=0))), side="left")
    walk = np.empty(len(order), dtype=np.int64)
    walk[order] = np.arange(len(order))
    first = np.cumsum(trees) - trees
    among = np.arange(max(1, int(trees.max(initial=0))))
    there = among < trees[:, None]
    place = np.full(there.shape, len(order), dtype=np.int64)
    place[there] = walk[(first[:, None] + among)[there]]
    child = np.stack([table.right, table.left], axis=1).ravel()
    return ForestStack(
        np.repeat(np.arange(len(forests)), trees)[order],
        table.root[order],
        tuple(int(count) for count in going),
        place,
        table.feature,
        table.threshold,
        table.left_if_nan,
        child,
        table.value,
    )


def _depths(left: Ints, right: Ints, root: Ints) -> Ints:
    """How many splits the longest walk of each tree passes [T]; a leaf is its own child."""
    depth, passed = np.zeros(len(root), dtype=np.int64), 0
    level, owner = root, np.arange(len(root))
    while True:
        inner = left[level] != level
        level, owner = level[inner], owner[inner]
        if not len(level):
            return depth
        depth[owner] = passed = passed + 1
        level, owner = np.concatenate([left[level], right[level]]), np.concatenate([owner, owner])


def _parse(text: str) -> Trees:
    """The trees in the text that LightGBM wrote in this process."""
    feature: list[str] = []
    threshold: list[str] = []
    decision: list[str] = []
    left: list[str] = []
    right: list[str] = []
    value: list[str] = []
    leaves: list[int] = []
    for block in text.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.split("\n\n", 1)[0].split("\n")[1:] if "=" in line)
        leaves.append(int(fields["num_leaves"]))
        value += fields["leaf_value"].split()
        if leaves[-1] > 1:
            feature += fields["split_feature"].split()
            threshold += fields["threshold"].split()
            decision += fields["decision_type"].split()
            left += fields["left_child"].split()
            right += fields["right_child"].split()
    count = np.array(leaves, dtype=np.int64)
    splits = np.repeat(count - 1, count - 1)
    border = np.array(threshold, dtype=np.float64)
    kind = np.array(decision, dtype=np.int64)
    if bool((kind & CATEGORICAL).any()):
        raise ValueError("trees with categorical splits have no plain arrays here")
    # Where NaN was never seen in training LightGBM reads it as 0.
    as_zero = (kind >> MISSING_SHIFT) != MISSING_NAN
    left_if_nan = np.where(as_zero, border >= 0.0, (kind & DEFAULT_LEFT) != 0)
    return Trees(
        count,
        np.array(feature, dtype=np.int64),
        border,
        left_if_nan,
        _children(np.array(left, dtype=np.int64), splits),
        _children(np.array(right, dtype=np.int64), splits),
        np.array(value, dtype=np.float64),
    )


def _children(child: Ints, splits: Ints) -> Ints:
    """LightGBM counts splits from 0 and leaves as -1, -2, …; leaves follow the splits here."""
    return np.where(child >= 0, child, splits - 1 - child)
