"""The training of a temporal convolutional network: PyTorch and Lightning, and nowhere else.

The blocks are those of Bai, Kolter and Koltun (2018): two dilated causal convolutions with weight
normalisation, ReLU and dropout of whole channels, and a residual connection. Where this network
departs from theirs is said in docs/learners/tcn.md.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn
from torch.nn.functional import dropout1d, relu, softplus
from torch.nn.utils.parametrizations import weight_norm

from many_models.learners.base import Deadline
from many_models.learners.tcn_forward import LEVELS, MIDDLE, Weights
from many_models.learners.tcn_windows import Ints, Panel, Windows
from many_models.panel.series import Floats

UNSEEN_SHARE = 0.1
"""Of the windows, which are shown as those of a series never seen, so that its embedding is learned."""
CLIPPED = 1.0
"""Largest norm of a gradient."""
DECAY = 1e-3


@dataclass(frozen=True)
class Course:
    """How a network is made and trained.

    Attributes
    ----------
    embedding
        Numbers that stand for a series; 0 for none.
    rate
        Largest learning rate; it rises from a tenth and falls to nothing along half a cosine.
    epochs, batches, batch
        Validations at most, batches between them, windows in each.
    patience
        Validations without a better one before training ends.
    """

    depth: int
    width: int
    kernel: int
    dropout: float
    embedding: int
    rate: float
    epochs: int
    batches: int
    batch: int
    patience: int
    progress: bool = False


@dataclass(frozen=True)
class Lessons:
    """The windows to learn from and those to stop by.

    Attributes
    ----------
    rows, cutoffs : [n]
        Series and column of the last value of each window.
    share : [n]
        How often each is shown.
    last : [N]
        The last column of each series that a lesson may have as target.
    held : [m, 2]
        Series and cutoff of the windows that are held back.
    steps : [h]
        How many steps after its cutoff each target lies.
    """

    panel: Panel
    rows: Ints
    cutoffs: Ints
    share: Floats
    last: Ints
    held: Ints
    steps: Ints

    def batch(self, rows: Ints, cutoffs: Ints, last: Ints) -> dict[str, torch.Tensor]:
        """Windows with their targets, and which targets count."""
        panel = self.panel
        steps = np.broadcast_to(self.steps, (len(rows), len(self.steps)))
        at = cutoffs[:, None] + steps
        row, here = rows[:, None], np.minimum(at, panel.last)
        windows = panel.windows(rows, cutoffs, steps, here)
        counts = (at <= last[:, None]) & panel.there[row, here] & panel.observed[row, here]
        target = np.where(counts, panel.z[row, here] - windows.level[:, None], 0.0)
        return {**as_tensors(windows), "target": tensor(target), "counts": tensor(counts)}


def tensor(values: npt.NDArray[Any]) -> torch.Tensor:
    """An array in single precision."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def as_tensors(windows: Windows) -> dict[str, torch.Tensor]:
    """The inputs of the network."""
    return {
        "past": tensor(windows.past),
        "ahead": tensor(windows.ahead),
        "series": tensor(windows.series),
        "place": torch.from_numpy(windows.place),
    }


class Block(nn.Module):
    """Two convolutions without padding, ReLU, dropout of channels, and the residual."""

    def __init__(self, inputs: int, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.first = weight_norm(nn.Conv1d(inputs, width, kernel))
        self.second = weight_norm(nn.Conv1d(width, width, kernel))
        self.side = nn.Conv1d(inputs, width, 1) if inputs != width else None
        self.dropout = dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, inputs, T] -> [n, width, T']: every second position, the last among them."""
        y = dropout1d(relu(self.first(x)), self.dropout, self.training)
        y = dropout1d(relu(self.second(y)), self.dropout, self.training)
        x = x[:, :, x.shape[2] - y.shape[2] :]
        y = relu(y + (x if self.side is None else self.side(x)))
        return y[:, :, (y.shape[2] - 1) % 2 :: 2]


class Network(lightning.LightningModule):
    """The network, its loss and its optimiser."""

    def __init__(self, course: Course, panel: Panel, total: int) -> None:
        super().__init__()
        design, width = panel.design, course.width
        inputs = [design.channels] + [width] * (course.depth - 1)
        self.blocks = nn.ModuleList(Block(n, width, course.kernel, course.dropout) for n in inputs)
        self.embedding = nn.Embedding(int(panel.place.max()) + 1, course.embedding)
        nn.init.normal_(self.embedding.weight, std=0.05)
        joined = width + course.embedding + design.series_columns + design.step_columns
        self.hidden = nn.Linear(joined, 2 * width)
        self.out = nn.Linear(2 * width, len(LEVELS))
        self.skip = nn.Linear(design.step_columns, len(LEVELS), bias=False)
        nn.init.zeros_(self.skip.weight)
        self.dropout = course.dropout
        self.course, self.total = course, total
        self.register_buffer("levels", torch.tensor(LEVELS), persistent=False)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The quantiles of each step, relative to the level [n, h, Q]."""
        x = batch["past"].transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        ahead, place = batch["ahead"], batch["place"]
        own = torch.cat([x[:, :, -1], self.embedding(place), batch["series"]], dim=1)
        every = own[:, None, :].expand(-1, ahead.shape[1], -1)
        hidden = relu(self.hidden(torch.cat([every, ahead], dim=2)))
        hidden = nn.functional.dropout(hidden, self.dropout, self.training)
        out = self.out(hidden) + self.skip(ahead)
        steps = softplus(out)
        middle = out[:, :, MIDDLE : MIDDLE + 1]
        below = middle - steps[:, :, :MIDDLE].flip(2).cumsum(2).flip(2)
        above = middle + steps[:, :, MIDDLE + 1 :].cumsum(2)
        return torch.cat([below, middle, above], dim=2)

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The mean pinball loss of all quantiles, in mean absolute changes."""
        error = batch["target"][:, :, None] - self(batch)
        pinball = torch.maximum(self.levels * error, (self.levels - 1.0) * error)
        counts = batch["counts"][:, :, None]
        return (pinball * counts).sum() / (counts.sum() * len(LEVELS)).clamp(min=1.0)

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        """The loss of a batch."""
        return self.loss(batch)

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        """Notes the loss of windows that are held back."""
        self.log("held_back", self.loss(batch), batch_size=len(batch["place"]))

    def configure_optimizers(self) -> Any:
        """AdamW, its rate up and then down along half a cosine."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.course.rate, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.course.rate, total_steps=self.total + 1, pct_start=0.2, div_factor=10.0
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def exported(self) -> Weights:
        """The weights for NumPy, the normalisation multiplied out."""
        found: dict[str, torch.Tensor] = {}
        for number, block in enumerate(self.blocks):
            for part in ("first", "second", "side"):
                if (layer := getattr(block, part)) is not None:
                    # [out, in, kernel] -> [kernel * in, out], as the shifted inputs lie side by side.
                    folded = layer.weight.permute(2, 1, 0).flatten(0, 1)
                    found |= {
                        f"block{number}.{part}.weight": folded,
                        f"block{number}.{part}.bias": layer.bias,
                    }
        for name in ("hidden", "out"):
            layer = getattr(self, name)
            found |= {f"{name}.weight": layer.weight.T, f"{name}.bias": layer.bias}
        found |= {"skip.weight": self.skip.weight.T, "embedding": self.embedding.weight}
        arrays = {
            name: np.ascontiguousarray(value.detach().float().cpu().numpy()) for name, value in found.items()
        }
        return Weights(arrays, self.course.depth, self.course.kernel)


class Batches(torch.utils.data.IterableDataset[dict[str, torch.Tensor]]):
    """Batches of windows drawn anew in each epoch."""

    def __init__(self, lessons: Lessons, course: Course, seed: int) -> None:
        self.lessons, self.course = lessons, course
        self.generator = np.random.default_rng(seed)
        self.chances = np.cumsum(lessons.share) / lessons.share.sum()

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        lessons = self.lessons
        for _ in range(self.course.batches):
            drawn = np.searchsorted(self.chances, self.generator.random(self.course.batch), side="right")
            drawn = np.minimum(drawn, len(self.chances) - 1)
            rows = lessons.rows[drawn]
            batch = lessons.batch(rows, lessons.cutoffs[drawn], lessons.last[rows])
            unseen = torch.from_numpy(self.generator.random(len(rows)) < UNSEEN_SHARE)
            batch["place"] = torch.where(unseen, 0, batch["place"])
            yield batch


HELD_AT_ONCE = 512


class Held(torch.utils.data.IterableDataset[dict[str, torch.Tensor]]):
    """The windows that are held back, a few hundred at a time."""

    def __init__(self, lessons: Lessons) -> None:
        self.lessons = lessons

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        lessons = self.lessons
        for start in range(0, len(lessons.held), HELD_AT_ONCE):
            rows, cutoffs = lessons.held[start : start + HELD_AT_ONCE].T
            yield lessons.batch(rows, cutoffs, np.full(len(rows), lessons.panel.last))


class InTime(lightning.Callback):
    """Ends the training when the time is over."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline, self.stopped = deadline, False

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Looks at the clock."""
        if self.deadline.passed:
            self.stopped = trainer.should_stop = True


class Best(lightning.Callback):
    """Keeps the weights that did best on what is held back, in memory."""

    def __init__(self) -> None:
        self.loss = float("inf")
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Copies the weights where they are better than all before."""
        loss = float(trainer.callback_metrics["held_back"])
        if loss < self.loss:
            self.loss = loss
            self.weights = {name: value.clone() for name, value in module.state_dict().items()}


def trained(lessons: Lessons, course: Course, seed: int, deadline: Deadline) -> Weights | None:
    """The weights of a trained network; None where the time was over first.

    The same on every call on a CPU: one thread, and a generator of its own.
    """
    with _alone(seed):
        network = Network(course, lessons.panel, course.epochs * course.batches)
        in_time, best = InTime(deadline), Best()
        callbacks: list[lightning.Callback] = [in_time]
        held = torch.utils.data.DataLoader(Held(lessons), batch_size=None) if len(lessons.held) else None
        if held is not None:
            callbacks += [best, EarlyStopping("held_back", patience=course.patience, check_finite=True)]
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=1,
            precision="16-mixed" if torch.cuda.is_available() else "32-true",
            max_epochs=course.epochs,
            gradient_clip_val=CLIPPED,
            callbacks=callbacks,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=course.progress,
        )
        batches = torch.utils.data.DataLoader(Batches(lessons, course, seed), batch_size=None)
        trainer.fit(network, batches, held)
        if in_time.stopped:
            return None
        if best.weights:
            network.load_state_dict(best.weights)
        return network.exported()


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """A block with one thread, seeded generators, no warnings and no notes, after which all is as before."""
    loggers = [
        logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning_utilities")
    ]
    loggers += [logging.getLogger(f"pytorch_lightning.utilities.{name}") for name in ("rank_zero", "seed")]
    levels, threads = [logger.level for logger in loggers], torch.get_num_threads()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        torch.set_num_threads(1)
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed % 2**63)
            yield
    finally:
        torch.set_num_threads(threads)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
