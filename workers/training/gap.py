"""How far every epoch's objective is from its certified minimum, batched.

    J(theta) - J* = 1/2 <g + g*, theta - theta*> + l1 (||W||_1 - ||W*||_1)

with g the gradient of the smooth, quadratic part: exact, and without the cancellation of J - J*, so
that a gap far below the rounding of J is still right. It costs no pass over the rows: the gradient
is there already.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workers.training.certificate import Certificate
from workers.training.objective import Design, padded, take
from workers.training.problem import Floats
from workers.training.shapes import Float

__all__ = ["Minimum"]


@dataclass(frozen=True, eq=False)
class Minimum:
    """The minima of a batch's objectives, in the coordinates, dtype and device of training.

    A lane whose minimum is not known has NaN, and so has its gap: it takes none from the others.
    """

    params: Float[Tensor, "lanes columns outputs"]
    gradient: Float[Tensor, "lanes columns outputs"] | None  # of the smooth part; None where 0
    norm: Float[Tensor, "lanes"] | None  # l1 ||W*||_1; None without l1

    @classmethod
    def of(
        cls, certificates: Sequence[Certificate | None], design: Design, like: Tensor
    ) -> "Minimum | None":
        """Stack certificates, one for each lane; None where none is known.

        Args:
            certificates: of the lanes.
            design: of the batch, for l1.
            like: the batch's parameters, for shape, dtype and device.
        """
        known = [one for one in certificates if one is not None]
        if not known:
            return None
        unknown = np.full_like(known[0].params, np.nan)

        def tensor(parts: list[Floats]) -> Tensor:
            wide = [padded(part, like.shape[2]) for part in parts]
            return torch.from_numpy(np.stack(wide)).to(like.device, like.dtype)

        params = tensor([unknown if one is None else one.params for one in certificates])
        if design.l1 is None:
            return cls(params, None, None)
        gradient = tensor([unknown if one is None else one.gradient for one in certificates])
        return cls(params, gradient, (design.l1 * params.abs()).sum(dim=(1, 2)))

    def select(self, lanes: list[int]) -> "Minimum":
        return Minimum(
            params=take(self.params, lanes),
            gradient=None if self.gradient is None else take(self.gradient, lanes),
            norm=None if self.norm is None else take(self.norm, lanes),
        )

    def products(self, params: Tensor, gradients: Tensor) -> Tensor:
        """Compute what sums to twice the smooth part of the gap.

        Args:
            params: of some epochs, shape (epochs, lanes, columns, outputs).
            gradients: of the same.
        """
        moved = params - self.params
        return moved.mul_(gradients if self.gradient is None else gradients + self.gradient)
