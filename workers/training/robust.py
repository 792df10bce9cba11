"""Standard errors that hold under unequal variances (HC0 to HC3), by a pass over the rows."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from workers.training.factor import Factor
from workers.training.problem import Floats
from workers.training.spread import Refusal, Spread, spread_of
from workers.training.tiles import Block, Rows, power_of_two

__all__ = ["Robust", "robust"]

CHUNK_ROWS = 4096
# Below this 1 - leverage is rounding.
LEAST_SLACK = 1e-10
# Of rows of leverage 1 so many are named, and that there are more.
NAMED_ROWS = 5


@dataclass(frozen=True, eq=False)
class Robust:
    """Standard errors of [W; b] in original units, each of shape (n_targets, columns).

    hc2 and hc3 are None where a row has leverage 1: it is fitted exactly, whatever its value.
    `pinned` are the places of such rows among those given, the first of them.
    """

    hc0: Floats
    hc1: Floats
    hc2: Floats | None
    hc3: Floats | None
    pinned: tuple[int, ...] = ()


def robust(
    blocks: Iterable[Block],
    factor: Factor,
    params: Floats,
    *,
    fit_intercept: bool,
    chunk_rows: int = CHUNK_ROWS,
) -> Robust | Refusal:
    """Compute heteroscedasticity-consistent standard errors.

        Cov = (A'A)^-1  sum_i e_i a_i a_i'  (A'A)^-1,    a_i = sqrt(omega_i) [x_i, 1]

    with e_i = omega_i r_i^2 (HC0), times n / (n - rank) (HC1), over 1 - h_i (HC2), over
    (1 - h_i)^2 (HC3), where h_i = a_i' (A'A)^-1 a_i is the leverage.

    Args:
        blocks: the rows.
        factor: of the same rows.
        params: the optimum [W; b] in original units, shape (columns, n_targets).
        fit_intercept: whether its last row is the intercept.
        chunk_rows: rows at a time, which is how much memory it takes.

    Returns:
        Square roots of the diagonals, or why they do not exist.

    Notes:
        As statsmodels' cov_type "HC0" .. "HC3" of OLS and WLS, rows of weight 0 left out. One
        pass, 4 n columns^2 operations; sums of squares only, so nothing cancels.

    References:
        J. G. MacKinnon, H. White, Some Heteroskedasticity-Consistent Covariance Matrix Estimators
        with Improved Finite Sample Properties, J. Econometrics 29 (1985), equations 5 to 12.
    """
    spread = spread_of(factor, fit_intercept=fit_intercept)
    n, columns = factor.n_observations, len(params)
    if spread is None:
        return Refusal("the columns are dependent: leave out one of those that explain each other")
    if n <= columns:
        return Refusal(f"{n} observations for {columns} parameters: bring more rows")
    sums = np.zeros((3, params.shape[1], columns))
    S = spread.original()
    size = power_of_two(np.abs(S).max(axis=1))  # the squares of S may leave float64
    pinned: list[int] = []
    place = 0
    for X, Y, omega in blocks:
        rows = Rows(X, Y, omega)
        for start in range(0, rows.n_rows, chunk_rows):
            tile = _tile(rows, start, min(chunk_rows, rows.n_rows - start))
            added, slack = _squares(tile, spread, params, S / size[:, np.newaxis])
            sums += added
            pinned += (place + np.flatnonzero(slack <= LEAST_SLACK)).tolist()
            place += len(slack)
    whole = not pinned
    hc0, hc2, hc3 = np.sqrt(sums) * size
    return Robust(
        hc0,
        hc0 * np.sqrt(n / (n - columns)),
        hc2 if whole else None,
        hc3 if whole else None,
        tuple(pinned[: NAMED_ROWS + 1]),
    )


def _tile(rows: Rows, start: int, count: int) -> Floats:
    tile = np.empty((2 + rows.n_features + rows.n_targets, count))
    rows.fill(tile, 0, slice(start, start + count))
    return tile


def _squares(tile: Floats, spread: Spread, params: Floats, S: Floats) -> tuple[Floats, Floats]:
    """Sum e_i (S S' a_i)^2 over a tile's rows for HC0, HC2 and HC3; also give their 1 - h_i."""
    d = len(spread.mean)
    X, Y, omega = tile[1 : 1 + d].T, tile[1 + d : -1].T, tile[-1][:, np.newaxis]
    V = spread.coordinates(X)
    scaled = params[:d] * spread.scale[:, np.newaxis]
    if spread.intercept:
        # About the means, so that large ones cost no digits.
        scaled = np.concatenate([scaled, params[d:] + spread.mean @ params[:d]])
    U = np.sqrt(omega) * (V @ spread.root)
    squares = omega * np.square(Y - V @ scaled)
    slack = 1 - np.square(U).sum(axis=1, keepdims=True)
    pushes = np.square(U @ S.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.stack([squares, squares / slack, squares / slack**2])
    return np.asarray(np.swapaxes(errors, 1, 2) @ pushes), slack[:, 0]
