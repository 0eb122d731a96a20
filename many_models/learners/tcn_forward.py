"""The forecasts of a trained temporal convolutional network, in NumPy.

A block is two causal convolutions with ReLU and a residual connection. A stack of blocks whose
dilation doubles is only read at its last position, which reads every second position of the block
below, and so on: the same numbers come from undilated convolutions, each on every second output of
the one before, without the padding and the positions that nobody reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from many_models.errors import DamagedError
from many_models.learners.base import State
from many_models.learners.tcn_windows import Windows
from many_models.panel.series import Floats

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Quantiles of the head: the middles of five equal shares, so that their average is near the mean."""
MIDDLE = 2


def reach_of(depth: int, kernel: int) -> int:
    """How many last values a stack of that many blocks reads."""
    return 1 + 2 * (kernel - 1) * ((1 << depth) - 1)


@dataclass(frozen=True)
class Weights:
    """The weights of a network, as float32 by name.

    `block<i>.<first|second>.<weight|bias>` [kernel * in, out], `block<i>.side.<weight|bias>` where a
    residual changes width, `embedding` [series + 1, e], `hidden.<weight|bias>`, `out.<weight|bias>`
    and `skip.weight`, which leads from the columns of a step straight to the head.
    """

    arrays: dict[str, npt.NDArray[np.float32]]
    depth: int
    kernel: int

    def forward(self, windows: Windows) -> Floats:
        """The quantiles of each step, relative to the level of its window [n, h, Q].

        Each window is multiplied by itself in the same shape, so that its answer does not depend
        on the others bit for bit.
        """
        weight = {name: array.astype(np.float64) for name, array in self.arrays.items()}
        context = self._context(windows.past, weight)
        steps = windows.ahead.shape[1]
        own = np.concatenate([context, weight["embedding"][windows.place], windows.series], axis=1)
        every = np.broadcast_to(own[:, None, :], (len(own), steps, own.shape[1]))
        inputs = np.concatenate([every, windows.ahead], axis=2)
        hidden = np.maximum(_rows(inputs, weight["hidden.weight"]) + weight["hidden.bias"], 0.0)
        out = _rows(hidden, weight["out.weight"]) + weight["out.bias"]
        return quantiles_of(out + _rows(windows.ahead, weight["skip.weight"]))

    def _context(self, past: Floats, weight: dict[str, Floats]) -> Floats:
        """What the convolutions make of the past [n, width]."""
        x = np.ascontiguousarray(past)
        for block in range(self.depth):
            name = f"block{block}"
            y = np.maximum(self._convolved(x, weight, f"{name}.first"), 0.0)
            y = np.maximum(self._convolved(y, weight, f"{name}.second"), 0.0)
            side = x[:, -y.shape[1] :]
            if f"{name}.side.weight" in weight:
                side = (
                    np.ascontiguousarray(side) @ weight[f"{name}.side.weight"] + weight[f"{name}.side.bias"]
                )
            x = np.maximum(y + side, 0.0)
            x = np.ascontiguousarray(x[:, (x.shape[1] - 1) % 2 :: 2])
        return x[:, -1]

    def _convolved(self, x: Floats, weight: dict[str, Floats], name: str) -> Floats:
        length = x.shape[1] - self.kernel + 1
        stacked = np.concatenate([x[:, at : at + length] for at in range(self.kernel)], axis=2)
        return stacked @ weight[f"{name}.weight"] + weight[f"{name}.bias"]

    def state(self) -> State:
        """The weights as plain data."""
        return {"arrays": dict(self.arrays), "depth": self.depth, "kernel": self.kernel}

    @classmethod
    def load(cls, state: State, channels: int, inputs: int, ahead: int) -> Self:
        """The weights that gave this `state()`, for windows with so many columns.

        Raises
        ------
        DamagedError
            Where the arrays are not those of such a network.
        """
        arrays: dict[str, Any] = {name: np.asarray(array) for name, array in state["arrays"].items()}
        found = cls(arrays, int(state["depth"]), int(state["kernel"]))
        wide = channels
        try:
            for block in range(found.depth):
                _check(arrays, f"block{block}.first.weight", found.kernel * wide)
                wide = arrays[f"block{block}.first.weight"].shape[1]
                _check(arrays, f"block{block}.second.weight", found.kernel * wide)
            embedded = arrays["embedding"].shape[1]
            _check(arrays, "hidden.weight", wide + embedded + inputs + ahead)
            _check(arrays, "skip.weight", ahead)
            _check(arrays, "out.weight", arrays["hidden.weight"].shape[1])
        except (KeyError, IndexError) as trouble:
            raise DamagedError(f"a network lacks its form: {trouble}") from trouble
        return found


def _check(arrays: dict[str, Any], name: str, rows: int) -> None:
    if arrays[name].ndim != 2 or arrays[name].shape[0] != rows:
        raise DamagedError(f"a network's {name} is {arrays[name].shape}, not of {rows} rows")


def _rows(x: Floats, weight: Floats) -> Floats:
    """`x @ weight` [n, h, o], each row multiplied by itself: BLAS sums alike whoever stands beside it."""
    return np.asarray(np.matmul(np.ascontiguousarray(x)[:, :, None, :], weight)[:, :, 0, :])


def quantiles_of(out: Floats) -> Floats:
    """Quantiles [n, h, Q] that do not cross, from a head that gives the median and the steps from it."""
    steps = np.logaddexp(0.0, out)
    middle = out[:, :, MIDDLE : MIDDLE + 1]
    below = middle - np.cumsum(steps[:, :, MIDDLE - 1 :: -1], axis=2)[:, :, ::-1]
    above = middle + np.cumsum(steps[:, :, MIDDLE + 1 :], axis=2)
    return np.concatenate([below, middle, above], axis=2)
