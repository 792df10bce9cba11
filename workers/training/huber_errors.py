r"""Standard errors of huber's minimiser (numpy).

With psi_i = r_i within delta, else +-delta, psi'_i = 1 within delta, else 0, m the mean of
psi', k = 1 + p / n * var(psi') / m^2, s^2 = sum(psi^2) / (n - p), W = A' diag(psi') A,

    sandwich   W^-1 A' diag(omega psi^2 omega) A W^-1,   W = A' diag(omega psi') A
    H1         k^2 s^2 / m^2 (A'A)^-1
    H2         k s^2 / m W^-1
    H3         s^2 / k W^-1 A'A W^-1

sandwich holds under unequal variances and for every weight; nothing is added for small n.
H1 to H3 are `cov` of statsmodels' RLM with HuberT(delta / scale): its scale cancels.

References:
    P. J. Huber, Robust Statistics (1981), section 7.6, equations 6.5 to 6.7 (H1 to H3);
    The Behavior of Maximum Likelihood Estimates under Nonstandard Conditions, 5th Berkeley
    Symposium (1967) (sandwich).
"""

import numpy as np
from numpy.typing import NDArray

from descend.statistics import Covariance
from workers.training.problem import Floats
from workers.training.rounding import rank_tolerance
from workers.training.spread import Refusal

__all__ = ["huber_covariances"]

NO_WEIGHTS = Refusal(
    "H1 to H3 are defined for rows of equal weight: ask for sandwich, or train without weights"
)


def huber_covariances(
    A: Floats, residuals: Floats, omega: Floats | None, delta: float
) -> dict[Covariance, Floats | Refusal]:
    """Compute the covariance of the weights by the four definitions above.

    Args:
        A: design matrix with a column of 1 for an intercept, shape (n, columns), independent.
        residuals: shape (n,).
        omega: weights, > 0, shape (n,); None for equal ones.
        delta: in units of the residuals.

    Returns:
        Shape (columns, columns) each, or why it does not exist.
    """
    weight = np.ones(len(A)) if omega is None else omega
    psi, inner = np.clip(residuals, -delta, delta), np.abs(residuals) <= delta
    half = _root(A[inner] * np.sqrt(weight[inner])[:, np.newaxis], A.shape)
    if half is None:
        few = Refusal(
            f"the {int(inner.sum())} residuals within huber_delta leave some weights undetermined:"
            " raise huber_delta"
        )
        return dict.fromkeys(("sandwich", "H1", "H2", "H3"), few)
    W = half @ half.T
    pushed = (A * (weight * psi)[:, np.newaxis]) @ W
    found: dict[Covariance, Floats | Refusal] = {"sandwich": pushed.T @ pushed}
    whole = _root(A, A.shape)
    if omega is not None or whole is None:
        return found | dict.fromkeys(("H1", "H2", "H3"), NO_WEIGHTS)
    return found | _by_huber(A, psi, inner, W=W, whole=whole)


def _by_huber(
    A: Floats, psi: Floats, inner: NDArray[np.bool_], *, W: Floats, whole: Floats
) -> dict[Covariance, Floats | Refusal]:
    """H1 to H3; W as above inverted, `whole` a root of (A'A)^-1."""
    n, p = A.shape
    m = inner.mean()
    k = 1 + p / n * inner.var() / m**2
    s2 = np.square(psi).sum() / (n - p)
    AW = A @ W
    return {
        "H1": k**2 * s2 / m**2 * (whole @ whole.T),
        "H2": k * s2 / m * W,
        "H3": s2 / k * (AW.T @ AW),
    }


def _root(A: Floats, shape: tuple[int, ...]) -> Floats | None:
    """Give S with S S' = (A'A)^-1; None where columns are dependent."""
    size = np.linalg.norm(A, axis=0)
    if len(A) < shape[1] or not size.all():
        return None
    R = np.linalg.qr(A / size, mode="r")
    if np.abs(np.diagonal(R)).min() <= rank_tolerance(shape):
        return None
    return np.asarray(np.linalg.inv(R) / size[:, np.newaxis])
