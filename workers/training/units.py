"""What weights lose on their way from the coordinates of training to the units of X."""

import numpy as np
from numpy.typing import NDArray

from descend.jobs import JobError
from workers.training.problem import Floats
from workers.training.setup import Setup

__all__ = ["added_loss", "told_of_offsets", "unrepresentable"]

# What rounding adds to a loss counts where it is more than this part of it.
COUNTS = 1e-9
# A column so far from 0, in its own standard deviations, takes the digits of its weight.
FAR = 1e8
# A weight is lost where the units of X leave fewer digits of it, if it bears on predictions.
DIGITS = 1e-9
NAMED_AT_MOST = 5


@np.errstate(over="ignore", invalid="ignore")
def added_loss(setup: Setup, params: Floats, loss: float) -> float:
    """Compute by how much rounding in the units of X raises the squared loss; 0 where it hardly is.

    Of x about 1e15 that varies by 1, the intercept is as large as 1e15 times the weight, and its
    last digit alone moves every prediction.

    Args:
        setup: of squared loss.
        params: [W; b] in the coordinates of training.
        loss: of the same weights in the units of X, as anyone computes it who applies them.
    """
    arranged = setup.matrices()
    before = float(np.square(arranged.A @ params - arranged.B).mean())
    noise = 0.0 if setup.lowest is None else setup.lowest.noise
    added = loss - before
    return added if added > max(COUNTS * before, noise) else 0.0


def told_of_offsets(setup: Setup, added: float, loss: float) -> tuple[str, ...]:
    """Name the columns whose distance from 0 costs the weights their digits."""
    if not added > 0:
        return ()
    found = setup.problem.summary.scaling(standardize=True, fit_intercept=True)
    far = np.flatnonzero(np.abs(found.mean) > FAR * found.scale)
    order = sorted(far.tolist(), key=lambda j: -abs(found.mean[j]) / found.scale[j])
    names = [setup.problem.features[j] for j in order[:NAMED_AT_MOST]]
    if not names:
        return ()
    told = (
        f"in the units of X rounding of the weights makes {added:.2g} of the loss of {loss:.3g}:"
        f" {', '.join(names)} vary little about values far from 0; subtract a constant from them"
    )
    return (told,)


def unrepresentable(
    setup: Setup, params: Floats, coef: Floats, intercept: Floats
) -> JobError | None:
    """Say which weights have no float64 in the units of X; None where all have.

    Columns of 1e-300 can be standardised, but their weights may exceed the range; those of columns
    of 1e300 may be so little that too few digits are left, or none.
    """
    beyond = np.asarray(~np.isfinite(coef).all(axis=0))
    if beyond.any() or not np.isfinite(intercept).all():
        return _told(setup, beyond, "beyond the range of float64", "up")
    trained = params[: setup.problem.n_features]
    kept = coef.T * setup.scaling.scale[:, np.newaxis]
    size = setup.problem.summary.largest_targets()
    gone = np.abs(kept - trained) > DIGITS * np.maximum(np.abs(trained), np.finfo(float).eps * size)
    gone &= np.abs(coef.T) < np.finfo(np.float64).tiny
    return (
        _told(setup, np.asarray(gone.any(axis=1)), "too small for float64", "down")
        if gone.any()
        else None
    )


def _told(setup: Setup, lost: NDArray[np.bool_], what: str, way: str) -> JobError:
    names = [setup.problem.features[place] for place in np.flatnonzero(lost).tolist()]
    return JobError(
        code="invalid_input",
        message=f"in the units of X the coefficients of {', '.join(names[:NAMED_AT_MOST]) or 'X'}"
        f" are {what}: scale these columns {way}",
        param=names[0] if names else "X",
    )
