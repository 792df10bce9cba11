"""Batches: whole groups of them gathered into contiguous tensors, standardised there."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from workers.training.mapped import Mapped
from workers.training.permutation import Order
from workers.training.problem import Problem
from workers.training.progress import Ints
from workers.training.scaling import Floats, Scaling

__all__ = ["Group", "Source"]

# A group: at most 64 batches, and so many elements that it is still in the cache when it is read.
GROUP_BATCHES = 64
GROUP_ELEMENTS = 2**18
PIECE_ELEMENTS = 2**15
LONG_ROW = 2**13
# 64 bytes of float32.
ALIGNED = 16


@dataclass(frozen=True, eq=False)
class Group:
    """Batches in the coordinates of training, in the dtype and on the device of training.

    Attributes:
        Z: scaled features of each batch, (rows, n_features); the intercept's 1 is not stored.
        minus_goal: minus the targets, (rows, outputs), or (rows,) of one target.
        shares: each element's part in its batch's mean, shaped like minus_goal.
        parts: each batch's part in the epoch's loss: its weight, of all weights.
    """

    Z: tuple[Tensor, ...]
    minus_goal: tuple[Tensor, ...]
    shares: tuple[Tensor, ...]
    parts: list[float]

    def batch(self, at: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.Z[at], self.minus_goal[at], self.shares[at]


@dataclass(frozen=True, eq=False)
class Source:
    """Where a model's batches come from."""

    sample: Mapped
    scaling: Scaling | None  # None: columns are trained on as they are
    batch_size: int
    outputs: int
    dtype: torch.dtype
    device: str

    @property
    def together(self) -> int:
        """Rows that are standardised as one."""
        return max(1, LONG_ROW // self.sample.n_features)

    @cached_property
    def room(self) -> Tensor:
        """Where a group is gathered; the next one is written over it."""
        rows = min(self.group_batches, self.n_batches) * self.stride
        return torch.empty(rows, self.sample.n_features, dtype=torch.float64)

    @cached_property
    def even(self) -> Tensor:
        share = np.full(self.batch_size, 1 / (self.batch_size * self.sample.n_targets))
        return self._spread(self._tensor(share))

    @cached_property
    def mean(self) -> Floats:
        assert self.scaling is not None  # noqa: S101 - asked for where there is one
        return np.tile(self.scaling.mean, self.together)

    @cached_property
    def per_scale(self) -> Floats:
        """1 / scale: a division costs as much as the rest of standardising a row."""
        assert self.scaling is not None  # noqa: S101 - asked for where there is one
        return np.tile(1 / self.scaling.scale, self.together)

    @classmethod
    def of(cls, problem: Problem, scaling: Scaling, *, outputs: int, device: str) -> "Source":
        h, rows = problem.hyperparameters, problem.trained
        assert isinstance(rows, Mapped)  # noqa: S101 - Problem.of_rows
        return cls(
            sample=rows,
            scaling=scaling if h.standardize else None,
            batch_size=min(h.batch_size or rows.n, rows.n),
            outputs=outputs,
            dtype=getattr(torch, h.dtype),
            device=device,
        )

    @property
    def stride(self) -> int:
        """Rows from the beginning of one batch to that of the next."""
        return -(-self.batch_size // ALIGNED) * ALIGNED

    @property
    def n_batches(self) -> int:
        return -(-self.sample.n // self.batch_size)

    @property
    def group_batches(self) -> int:
        elements = self.batch_size * self.sample.n_features
        return max(1, min(GROUP_BATCHES, GROUP_ELEMENTS // elements))

    def gather(self, order: Order, first: int, count: int) -> Group:
        """Gather `count` batches from the `first` on; the epoch's last may be shorter."""
        begin = first * self.batch_size
        rows = order.rows(begin, min(begin + count * self.batch_size, order.n))
        lengths = [min(self.batch_size, len(rows) - at * self.batch_size) for at in range(count)]
        laid = self._laid(rows, count)
        Y = -self.sample.Y.take(laid, axis=0)
        if self.outputs > Y.shape[1]:
            Y = np.pad(Y, ((0, 0), (0, self.outputs - Y.shape[1])))
        shares, parts = self._shares(laid, lengths)
        return Group(
            Z=self._parted(self._scaled(laid).to(self.device, self.dtype), lengths),
            minus_goal=self._parted(self._tensor(Y[:, 0] if self.outputs == 1 else Y), lengths),
            shares=shares,
            parts=parts,
        )

    def _laid(self, rows: Ints, count: int) -> Ints:
        """Begin each batch at a multiple of ALIGNED rows, the gaps filled with any row.

        BLAS may add in another order where memory begins at another place within a cache line:
        seen with batches of 1 and 7 rows, whose bits then depended on their place in the group.
        """
        if self.stride == self.batch_size:
            return rows
        laid = np.full((count, self.stride), rows[0])
        whole = len(rows) // self.batch_size
        laid[:whole, : self.batch_size] = rows[: whole * self.batch_size].reshape(
            whole, self.batch_size
        )
        if whole < count:
            rest = rows[whole * self.batch_size :]
            laid[whole, : len(rest)] = rest
        return laid.reshape(-1)

    def _parted(self, values: Tensor, lengths: list[int]) -> tuple[Tensor, ...]:
        starts = range(0, len(lengths) * self.stride, self.stride)
        return tuple(values[at : at + n] for at, n in zip(starts, lengths, strict=True))

    def _scaled(self, rows: Ints) -> Tensor:
        """Gather and standardise a piece at a time, so that it is in the cache for both.

        In long rows: for short ones numpy takes as much time as for their elements.
        """
        n_features = self.sample.n_features
        room = self.room[: len(rows)]
        Z = room.numpy()
        piece = max(1, PIECE_ELEMENTS // n_features)
        for begin in range(0, len(rows), piece):
            part = Z[begin : begin + piece]
            self.sample.X.take(rows[begin : begin + piece], axis=0, out=part, mode="clip")
            if self.scaling is None:
                continue
            whole = len(part) - len(part) % self.together
            long = part[:whole].reshape(-1, n_features * self.together)
            long -= self.mean
            long *= self.per_scale
            rest = part[whole:]
            rest -= self.scaling.mean
            rest *= 1 / self.scaling.scale
        return room

    def _shares(self, laid: Ints, lengths: list[int]) -> tuple[tuple[Tensor, ...], list[float]]:
        """A batch whose weights are all 0 has no part: its step has no data term."""
        omega, n_targets = self.sample.omega, self.sample.n_targets
        if omega is None:
            return tuple(map(self._even, lengths)), [n / self.sample.n for n in lengths]
        shares, weights = omega.take(laid), []
        for at, length in enumerate(lengths):
            batch = shares[at * self.stride :][:length]
            weight = float(batch.sum())
            batch /= n_targets * (weight or 1.0)
            weights.append(weight)
        parted = self._parted(self._spread(self._tensor(shares)), lengths)
        return parted, [weight / self.sample.total_weight for weight in weights]

    def _even(self, count: int) -> Tensor:
        """The shares of a batch without weights; all but the epoch's last are the same tensor."""
        if count == self.batch_size:
            return self.even
        share = np.full(count, 1 / (count * self.sample.n_targets))
        return self._spread(self._tensor(share))

    def _spread(self, shares: Tensor) -> Tensor:
        if self.outputs == 1:
            return shares
        return shares[:, None].expand(-1, self.outputs).contiguous()

    def _tensor(self, values: Floats) -> Tensor:
        """Copy into torch's memory, which begins at a cache line."""
        own = torch.empty(values.shape, dtype=self.dtype)
        return own.copy_(torch.from_numpy(values)).to(self.device)
