"""The losses of a residual r = prediction - target, of numbers (numpy) and of tensors.

squared      r^2
huber        r^2 / 2 within delta, else delta (|r| - delta / 2)
absolute     |r|
quantile     q max(-r, 0) + (1 - q) max(r, 0)
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from descend.jobs import Hyperparameters
from workers.training.scaling import Floats
from workers.training.shapes import Float

__all__ = ["SQUARED", "Criterion", "Loss"]


@dataclass(frozen=True)
class Loss:
    """One model's loss.

    Attributes:
        name: as in the hyperparameters.
        delta: of huber, in units of the targets.
        quantile: of quantile.
    """

    name: str = "squared"
    delta: float = 1.0
    quantile: float = 0.5

    @classmethod
    def of(cls, h: Hyperparameters) -> "Loss":
        delta = 1.0 if h.huber_delta is None else h.huber_delta
        return cls(h.loss, delta, 0.5 if h.quantile is None else h.quantile)

    @property
    def curvature(self) -> float | None:
        """The largest second derivative; None where there is none, at a kink."""
        return {"squared": 2.0, "huber": 1.0}.get(self.name)

    @property
    def slope(self) -> float | None:
        """The largest first derivative; None where there is none."""
        steepest = max(self.quantile, 1 - self.quantile)
        return {"huber": self.delta, "absolute": 1.0, "quantile": steepest}.get(self.name)

    def values(self, residuals: Floats) -> Floats:
        """Compute the loss of each residual."""
        if self.name == "squared":
            return np.square(residuals)
        if self.name == "huber":
            near = np.clip(residuals, -self.delta, self.delta)
            return np.asarray(near * (residuals - 0.5 * near))
        if self.name == "absolute":
            return np.abs(residuals)
        return np.asarray(np.maximum((1 - self.quantile) * residuals, -self.quantile * residuals))


SQUARED = Loss()


@dataclass(frozen=True, eq=False)
class Criterion:
    """A loss other than squared, of several models side by side, which share its name.

    Attributes:
        parameter: delta or quantile; None for absolute.
        weights: of the rows trained on, mean 1; None for equal weights.
        held_weights: of the held-out rows.
    """

    name: str
    parameter: Float[Tensor, "lanes 1 1"] | Float[Tensor, ""] | None
    weights: Float[Tensor, "lanes rows 1"] | None = None
    held_weights: Float[Tensor, "lanes held 1"] | None = None

    @classmethod
    def of(cls, losses: list[Loss], like: Tensor) -> "Criterion | None":
        """Make the criterion of these models, in the dtype of `like`; None for squared loss."""
        name = losses[0].name
        if name == "squared":
            return None
        if name == "absolute":
            return cls(name, None)
        given = [loss.delta if name == "huber" else loss.quantile for loss in losses]
        parameter = torch.tensor(given, dtype=torch.float64).to(like.device, like.dtype)
        return cls(name, parameter.reshape(-1, 1, 1))

    def trained(
        self, residuals: Float[Tensor, "*epochs lanes rows outputs"]
    ) -> Float[Tensor, "*epochs lanes rows outputs"]:
        """Compute each row's loss times its weight."""
        return self._weighted(residuals, self.weights)

    def held(
        self, residuals: Float[Tensor, "*epochs lanes held outputs"]
    ) -> Float[Tensor, "*epochs lanes held outputs"]:
        return self._weighted(residuals, self.held_weights)

    def scalar(self) -> "Criterion":
        """The criterion of the first model, for residuals of any shape, unweighted."""
        parameter = None if self.parameter is None else self.parameter[0, 0, 0]
        return Criterion(self.name, parameter)

    def select(self, lanes: list[int]) -> "Criterion":
        def taken(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[torch.tensor(lanes, device=values.device)]

        return replace(
            self,
            parameter=taken(self.parameter),
            weights=taken(self.weights),
            held_weights=taken(self.held_weights),
        )

    def values(self, residuals: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Compute each residual's loss.

        A residual of 0 has the derivative 0 under each of them, as in torch: the padding of
        several targets stays at 0, and so does a perfect fit.
        """
        if self.parameter is None:
            return residuals.abs()
        if self.name == "huber":
            near = residuals.clamp(-self.parameter, self.parameter)
            return near * (residuals - 0.5 * near)
        above = (1 - self.parameter) * residuals.relu()
        return above + self.parameter * (-residuals).relu()

    def smoothed(self, residuals: Float[Tensor, "*any"], width: float) -> Float[Tensor, "*any"]:
        """Compute each residual's loss with its kink rounded off, over the loss's largest scale.

            r^2 / (2 width)              where  -low width <= r <= high width
            high r - high^2 width / 2    above,   -low r - low^2 width / 2  below

        with slopes low = high = 1 under absolute and huber loss (there divided by delta), q and
        1 - q under quantile loss: the Moreau envelope, at most width / 2 below the loss.

        References:
            Y. Nesterov, Smooth minimization of non-smooth functions, Math. Program. 103 (2005).
        """
        low: Tensor | float = 1.0
        high: Tensor | float = 1.0
        if self.name == "quantile":
            assert self.parameter is not None  # noqa: S101 - held by `of`
            low, high = self.parameter, 1 - self.parameter
        near = torch.maximum(
            torch.minimum(residuals, torch.as_tensor(width * high).to(residuals)),
            torch.as_tensor(-width * low).to(residuals),
        )
        values = near * (residuals - 0.5 * near) / width
        return values if self.weights is None else values * self.weights

    def _weighted(self, residuals: Tensor, weights: Tensor | None) -> Tensor:
        values = self.values(residuals)
        return values if weights is None else values * weights
