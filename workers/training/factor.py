"""The R factor of weighted [1, X, Y]: all that squared loss asks of rows, mergeable (numpy).

    ||A theta - B||^2 over the rows  =  ||R_A theta - R_B||^2      for every theta

Rows come in blocks, from memory or disk; nothing here reads or writes.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Sequence

import numpy as np

from descend.errors import CorruptArtefact, InvalidInput
from workers.training.accumulator import Accumulator, Factor, ratio_of, size_of
from workers.training.householder import stacked, triangle
from workers.training.problem import Floats
from workers.training.scaling import Scaling
from workers.training.tiles import Block, Frame, Totals
from workers.training.twofold import dot

__all__ = [
    "Accumulator",
    "Factor",
    "factor",
    "from_bytes",
    "loss_of",
    "matrices_of",
    "merge",
    "moments_of",
    "residuals_of",
    "scaling_of",
    "select",
    "to_bytes",
]

MAGIC = b"descend factor 1\n"
ARRAYS = ("shift", "size", "low", "high", "R")


def factor(
    blocks: Iterable[Block], *, names: Sequence[str] | None = None, threads: int = 1
) -> Factor:
    """Compute the R factor of all rows of the blocks, in one pass.

    Args:
        blocks: (X, Y, omega) each: X of shape (n, n_features), Y of shape (n, n_targets), in
            either memory order, or as sequences of columns; omega of shape (n,) or None. Any n.
        names: of the columns of X, then Y, for messages.
        threads: how many work on one block; the result does not depend on it.

    Returns:
        The factor: bitwise the same however the rows are cut into blocks.

    Raises:
        InvalidInput: when a value is not finite, shapes do not fit, a weight is negative or not
            finite, or there are no rows.

    Notes:
        Tall-skinny QR: Householder reflections on tiles that stay in the cache, whose factors are
        reduced in a tree. 2 n (1 + n_features + n_targets)^2 operations in float64, backward
        stable column by column: neither means nor units of the columns cost digits.

    References:
        J. Demmel, L. Grigori, M. Hoemmen, J. Langou, Communication-optimal Parallel and Sequential
        QR and LU Factorizations, SIAM J. Sci. Comput. 34 (2012), section 3 (TSQR).
    """
    accumulator = Accumulator(names=names, threads=threads)
    for X, Y, omega in blocks:
        accumulator.add(X, Y, omega)
    return accumulator.factor()


def merge(a: Factor, b: Factor) -> Factor:
    """Compute the factor of the rows of a and b together.

    Raises:
        InvalidInput: when they differ in their numbers of columns.

    Notes:
        Takes the shifts of the part with more observations and the larger sizes.
        Cost: O(columns^3).
    """
    if (a.n_features, a.n_targets) != (b.n_features, b.n_targets):
        raise InvalidInput("factors differ in their numbers of columns", param="features")
    shift = a.shift if a.n_observations >= b.n_observations else b.shift
    totals = _totals(a).plus(_totals(b))
    size = size_of(Frame(shift, np.maximum(a.size, b.size)), totals)
    return Factor(
        **vars(totals),
        weighted=a.weighted or b.weighted,
        n_features=a.n_features,
        n_targets=a.n_targets,
        shift=shift,
        size=size,
        R=stacked([_translated(a, shift, size), _translated(b, shift, size)]),
    )


def select(factor: Factor, features: Sequence[int], targets: Sequence[int]) -> Factor:
    """Compute the factor of the same rows with these columns of X and Y, in this order.

    Args:
        factor: of all columns.
        features: positions of columns of X.
        targets: positions of columns of Y, 0 for the first.
    """
    kept = np.array([*features, *(factor.n_features + j for j in targets)], dtype=np.intp)
    tile = np.ascontiguousarray(factor.R[:, [0, *(kept + 1)]].T)
    chosen = {name: getattr(factor, name)[kept] for name in ("shift", "size", "low", "high")}
    sizes = {"n_features": len(features), "n_targets": len(targets)}
    return Factor(**{**vars(factor), **chosen, **sizes, "R": triangle(tile, tile.shape[1])})


def scaling_of(factor: Factor, *, standardize: bool, fit_intercept: bool) -> Scaling:
    """Compute what `fit_scaling` does on the rows, to 1e-14; constant columns exactly."""
    d = factor.n_features
    if not standardize:
        return Scaling(np.zeros(d), np.ones(d))
    root = factor.root_weight
    shift, size = factor.shift[:d], factor.size[:d]
    R = factor.R[:, 1 : 1 + d] / root
    if not fit_intercept:
        R[0] += shift / size
        scale = _norms(R) * size
        return Scaling(np.zeros(d), np.where(scale == 0, 1, scale))
    # A constant column lies at its shift: R holds exact zeros for it, and its mean is exact.
    scale = _norms(R[1:]) * size
    return Scaling(shift + R[0] * size, np.where(scale == 0, 1, scale))


def matrices_of(factor: Factor, scaling: Scaling, *, intercept: bool) -> tuple[Floats, Floats]:
    """Compute A and B with ||A theta - B||^2 / n_rows the weighted mean of squared residuals.

    Args:
        factor: of the rows.
        scaling: to the coordinates of training, z = (x - mean) / scale.
        intercept: whether A gets a last column for it.

    Returns:
        A (1 + n_features + n_targets, n_features [+ 1]) and B (1 + n_features + n_targets,
        n_targets): R of the rows sqrt(n_rows omega_i / sum(omega)) [z_i, 1, y_i], so that
        `objective.matrices` and this give the same loss and gradient for every theta.

    Raises:
        InvalidInput: when every weight is 0.
    """
    d = factor.n_features
    inner = factor.R * (np.sqrt(factor.n_rows) / factor.root_weight)
    ones = inner[0, 0]
    A = _moved(factor, inner, slice(0, d), Frame(scaling.mean, scaling.scale))
    still = np.zeros(factor.n_targets)
    B = _moved(factor, inner, slice(d, None), Frame(still, still + 1))
    if not intercept:
        return A, B
    last = np.zeros((len(A), 1))
    last[0] = ones
    return np.concatenate([A, last], axis=1), B


def moments_of(factor: Factor) -> tuple[float, float]:
    """Compute the targets' population variance and mean square, weighted, each a mean over them."""
    d = factor.n_features
    still = np.zeros(factor.n_targets)
    inner = factor.R / factor.root_weight
    with np.errstate(over="ignore"):
        squares = np.square(_moved(factor, inner, slice(d, None), Frame(still, still + 1)))
        variance, mean_square = squares[1:].sum(), squares.sum()
    return float(variance / factor.n_targets), float(mean_square / factor.n_targets)


def residuals_of(factor: Factor, coef: Floats, intercept: Floats) -> Floats:
    """Compute r with sum_i omega_i (y_i - x_i coef' - intercept)^2 = sum r^2, target by target.

    Args:
        factor: of the rows.
        coef: in original units, shape (n_targets, n_features).
        intercept: shape (n_targets,).

    Returns:
        Shape (1 + n_features + n_targets, n_targets); the first row is the residuals' mean times
        the root of the weights.

    Notes:
        Taken about the shifts, with the constant term in twice the working precision: a large
        mean costs no digits. Cost: O(columns^2 n_targets).
    """
    d, t = factor.n_features, factor.n_targets
    slopes = coef * factor.size[:d]  # powers of two: nothing is rounded
    shift = np.tile(factor.shift[:d] / factor.size[:d], (t, 1))
    constant = dot(
        np.concatenate([slopes, intercept[:, np.newaxis], -np.ones((t, 1))], axis=1),
        np.concatenate([shift, np.ones((t, 1)), factor.shift[d:, np.newaxis]], axis=1),
    )
    theta = np.concatenate([constant[np.newaxis], slopes.T, -np.diag(factor.size[d:])])
    return np.asarray(factor.R @ theta)


def loss_of(factor: Factor, coef: Floats, intercept: Floats) -> float:
    """Compute the weighted mean over rows and targets of (x_i coef' + intercept - y_i)^2.

    Args:
        factor: of the rows.
        coef: in original units, shape (n_targets, n_features).
        intercept: shape (n_targets,).

    Returns:
        The data term; infinite or NaN where float64 cannot hold it.

    """
    with np.errstate(over="ignore", invalid="ignore"):
        residuals = residuals_of(factor, coef, intercept) / factor.root_weight
        return float(np.square(residuals).sum() / factor.n_targets)


def to_bytes(factor: Factor) -> bytes:
    """Write a factor: magic, length of the header, header (JSON), float64 arrays, SHA-256 of all.

    Notes:
        Little-endian; `from_bytes` gives back every bit. (13 + columns) columns 8 bytes or so.
    """
    plain = {k: v for k, v in vars(factor).items() if k not in ARRAYS}
    for name in ("weight_sum", "log_weight_sum"):
        plain[name] = float(plain[name]).hex()
    header = json.dumps(plain).encode()
    arrays = [np.ascontiguousarray(getattr(factor, name), dtype="<f8") for name in ARRAYS]
    body = b"".join(
        [MAGIC, struct.pack("<I", len(header)), header, *(array.tobytes() for array in arrays)]
    )
    return body + hashlib.sha256(body).digest()


def from_bytes(data: bytes) -> Factor:
    """Read what `to_bytes` wrote.

    Raises:
        CorruptArtefact: when the bytes are not a factor, or not all of it.
    """
    body, told = data[:-32], data[-32:]
    if not body.startswith(MAGIC) or hashlib.sha256(body).digest() != told:
        raise CorruptArtefact("the stored factor is damaged: compute it again from the rows")
    start = len(MAGIC) + 4
    (length,) = struct.unpack("<I", body[len(MAGIC) : start])
    plain = json.loads(body[start : start + length])
    for name in ("weight_sum", "log_weight_sum"):
        plain[name] = float.fromhex(plain[name])
    width = plain["n_features"] + plain["n_targets"]
    numbers = np.frombuffer(body[start + length :], dtype="<f8").astype(np.float64)
    shift, size, low, high = numbers[: 4 * width].reshape(4, width)
    R = numbers[4 * width :].reshape(1 + width, 1 + width)
    return Factor(**plain, shift=shift, size=size, low=low, high=high, R=R)


def _moved(factor: Factor, inner: Floats, columns: slice, frame: Frame) -> Floats:
    """Bring columns of R, given as `inner` in the factor's own frame, into another one."""
    shift, size = factor.shift[columns], factor.size[columns]
    moved = inner[:, 1:][:, columns] * (size / frame.unit)
    moved[0] += (shift - frame.shift) / frame.unit * inner[0, 0]
    return moved


def _translated(factor: Factor, shift: Floats, size: Floats) -> Floats:
    R = factor.R * ratio_of(factor.size, size)
    R[0, 1:] += (factor.shift / size - shift / size) * R[0, 0]
    return R


def _totals(factor: Factor) -> Totals:
    return Totals(**{name: getattr(factor, name) for name in Totals.__dataclass_fields__})


def _norms(R: Floats) -> Floats:
    return np.asarray(np.linalg.norm(R, axis=0))
