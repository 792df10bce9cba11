"""Standard errors of the minimiser of absolute and quantile loss (numpy, scipy.special).

Weights scale their rows: with omega_i a row is omega_i x_i, its residual omega_i u_i, as in R.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from descend.statistics import Covariance
from workers.training.losses import Loss
from workers.training.piecewise import minimise
from workers.training.problem import Floats
from workers.training.rounding import EPS, rank_tolerance
from workers.training.spread import Refusal

__all__ = ["QuantileFit", "bandwidth", "quantile_covariances"]

ALPHA = 0.05
# What R adds to a difference of two quantiles.
NEVER_NOTHING = EPS**0.5


@dataclass(frozen=True, eq=False)
class QuantileFit:
    """One target's fit in the coordinates of training.

    Attributes:
        A: rows that weigh, times their weight, shape (n, columns), columns independent.
        y: targets times the weights, about their middle, shape (n,).
        residuals: target - prediction times the weights, shape (n,); 0 where a row is fitted
            exactly.
        quantile: 0.5 of absolute loss.
    """

    A: Floats
    y: Floats
    residuals: Floats
    quantile: float


def bandwidth(n: int, quantile: float) -> float:
    """Compute Hall and Sheather's bandwidth, in units of probability, halved until it fits.

        n^(-1/3) z^(2/3) (1.5 phi(x)^2 / (2 x^2 + 1))^(1/3),   x = Phi^-1(q), z = Phi^-1(0.975)

    References:
        P. Hall, S. J. Sheather, On the Distribution of a Studentized Quantile, JRSS B 50 (1988).
    """
    x, z = float(ndtri(quantile)), float(ndtri(1 - ALPHA / 2))
    h = n ** (-1 / 3) * z ** (2 / 3) * (1.5 * float(_normal(x)) ** 2 / (2 * x**2 + 1)) ** (1 / 3)
    while quantile - h <= 0 or quantile + h >= 1:
        h /= 2
    return float(h)


def quantile_covariances(fit: QuantileFit) -> dict[Covariance, Floats | Refusal]:
    r"""Compute the covariance of the weights by four definitions.

    With q the quantile, J = A'A, f the density of the residuals at 0 and f_i that of row i's,

        iid      q (1 - q) / f^2 J^-1
        robust   J^-1 A'D A J^-1,   D_i = (q / f)^2 where u_i > 0, else ((1 - q) / f)^2
        kernel   q (1 - q) H^-1 J H^-1,   H = A' diag(f_i) A,   f_i = K(u_i / h) / h
        nid      the same, f_i = 2 h0 / (x_i (b(q + h0) - b(q - h0)) - 1.5e-8)

    f is Epanechnikov's kernel estimate for iid and robust, K normal for kernel; h0 is Hall and
    Sheather's bandwidth and h = (Phi^-1(q + h0) - Phi^-1(q - h0)) s, s the smaller of a standard
    deviation (iid, robust: of y; kernel: of u) and the interquartile range of u over 1.34.

    Returns:
        Shape (columns, columns) each, or why it does not exist.

    Notes:
        iid and robust are `vcov="iid"` and `"robust"` of statsmodels' QuantReg with its defaults
        kernel="epa", bandwidth="hsheather"; kernel and nid are `se = "ker"` and `"nid"` of R's
        quantreg. nid solves two more quantile regressions.

    References:
        R. Koenker, Quantile Regression (2005), sections 3.4.2 (nid, after Hendricks and Koenker
        1992) and 3.4.3 (kernel, after Powell 1991). W. H. Greene, Econometric Analysis (2008),
        page 407 (robust).
    """
    h0 = bandwidth(len(fit.y), fit.quantile)
    found: dict[Covariance, Floats | Refusal] = {}
    for name, method in _METHODS.items():
        found[name] = method(fit, h0)
    return found


def _iid(fit: QuantileFit, h0: float) -> Floats | Refusal:
    f = _density(fit, h0)
    if isinstance(f, Refusal):
        return f
    q = fit.quantile
    return np.asarray(q * (1 - q) / f**2 * _inverse(fit.A))


def _robust(fit: QuantileFit, h0: float) -> Floats | Refusal:
    f = _density(fit, h0)
    if isinstance(f, Refusal):
        return f
    slopes = np.where(fit.residuals > 0, fit.quantile, 1 - fit.quantile) / f
    J = _inverse(fit.A)
    D = fit.A * slopes[:, np.newaxis]
    return np.asarray(J @ (D.T @ D) @ J)


def _kernel(fit: QuantileFit, h0: float) -> Floats | Refusal:
    u = fit.residuals
    h = _width(fit.quantile, h0, float(u.std(ddof=1)), u)
    if h == 0:
        return NO_WIDTH
    return _sandwich(fit, _normal(u / h) / h)


def _nid(fit: QuantileFit, h0: float) -> Floats | Refusal:
    def at(level: float) -> Floats:
        loss = Loss("quantile", quantile=level)
        found = minimise(fit.A, fit.y[:, np.newaxis], None, loss, intercept=False)
        return found.params[:, 0]

    scale = float(np.abs(fit.residuals).mean())
    rise = fit.A @ (at(fit.quantile + h0) - at(fit.quantile - h0))
    # R takes its 1.5e-8 from differences in the units of y; here it is a part of the residuals.
    rise = rise - NEVER_NOTHING * scale
    f = np.where(rise > 0, 2 * h0 / np.where(rise > 0, rise, 1), 0)
    return _sandwich(fit, f)


_METHODS: dict[Covariance, Callable[[QuantileFit, float], Floats | Refusal]] = {
    "kernel": _kernel,
    "nid": _nid,
    "robust": _robust,
    "iid": _iid,
}

NO_WIDTH = Refusal(
    "half of the residuals or more are equal: their density has no bandwidth, and the weights no"
    " standard errors"
)
NO_DENSITY = Refusal(
    "the residuals' density at the quantile is estimated as 0 where the weights depend on it: bring"
    " more rows, or a quantile nearer to the middle"
)


def _width(quantile: float, h0: float, deviation: float, u: Floats) -> float:
    low, high = np.percentile(u, [25, 75])
    reach = float(ndtri(quantile + h0) - ndtri(quantile - h0))
    return reach * min(deviation, float(high - low) / 1.34)


def _density(fit: QuantileFit, h0: float) -> float | Refusal:
    u = fit.residuals
    h = _width(fit.quantile, h0, float(fit.y.std()), u)
    if h == 0:
        return NO_WIDTH
    near = u[np.abs(u) <= h] / h
    f = float(0.75 * (1 - np.square(near)).sum() / (len(u) * h))
    return f if f > 0 else NO_DENSITY


def _sandwich(fit: QuantileFit, f: Floats) -> Floats | Refusal:
    bread = fit.A * np.sqrt(f)[:, np.newaxis]
    size = np.linalg.norm(bread, axis=0)
    if not size.all():
        return NO_DENSITY
    R = np.linalg.qr(bread / size, mode="r")
    if np.abs(np.diagonal(R)).min() <= rank_tolerance(bread.shape):
        return NO_DENSITY
    half = np.linalg.inv(R) / size[:, np.newaxis]
    H = half @ half.T
    AH = fit.A @ H
    return np.asarray(fit.quantile * (1 - fit.quantile) * (AH.T @ AH))


def _inverse(A: Floats) -> Floats:
    """Compute (A'A)^-1 of independent columns."""
    size = np.linalg.norm(A, axis=0)
    half = np.linalg.inv(np.linalg.qr(A / size, mode="r")) / size[:, np.newaxis]
    return np.asarray(half @ half.T)


def _normal(x: Floats | float) -> Floats:
    return np.asarray(np.exp(-0.5 * np.square(x)) / np.sqrt(2 * np.pi))
