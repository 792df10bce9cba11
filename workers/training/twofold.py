"""Twice the working precision by error-free transformations: a number is hi + lo (numpy)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["dot", "total", "two_product", "two_sum"]

Floats = NDArray[np.float64]

# 2^27 + 1 splits 53 bits into 26 and 26.
SPLITTER = 134217729.0


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Compute a + b and its rounding error, exactly.

    References:
        D. E. Knuth, The Art of Computer Programming 2 (1998), section 4.2.2, theorem B.
    """
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Compute a * b and its rounding error, exactly unless something over- or underflows.

    References:
        T. J. Dekker, A Floating-Point Technique for Extending the Available Precision, Numer.
        Math. 18 (1971), section 5; the splitting is Veltkamp's. numpy has no fused multiply-add.
    """
    product = a * b
    (a_hi, a_lo), (b_hi, b_lo) = _split(a), _split(b)
    return product, a_lo * b_lo - (((product - a_hi * b_hi) - a_lo * b_hi) - a_hi * b_lo)


def total(hi: Floats, lo: Floats) -> tuple[Floats, Floats]:
    """Add up pairs along the last axis; returns pairs, as accurate as in twice the precision.

    Notes:
        Pairwise: half the terms are added to the other half. The errors are added up plainly, as
        in Ogita, Rump, Oishi, Accurate Sum and Dot Product, SIAM J. Sci. Comput. 26 (2005).
    """
    while hi.shape[-1] > 1:
        half = hi.shape[-1] // 2
        odd = hi.shape[-1] % 2
        added, error = two_sum(hi[..., :half], hi[..., half : 2 * half])
        error = error + (lo[..., :half] + lo[..., half : 2 * half])
        hi = np.concatenate([added, hi[..., -1:]], axis=-1) if odd else added
        lo = np.concatenate([error, lo[..., -1:]], axis=-1) if odd else error
    return two_sum(hi[..., 0], lo[..., 0])


def dot(a: Floats, b: Floats) -> Floats:
    """Compute sum(a * b) along the last axis as if in twice the working precision, rounded once."""
    hi, _ = total(*two_product(a, b))
    # A product beyond 2^996 cannot be split: there the plain sum must do.
    return np.where(np.isfinite(hi), hi, (a * b).sum(axis=-1))


def _split(a: Floats) -> tuple[Floats, Floats]:
    swollen = SPLITTER * a
    hi = swollen - (swollen - a)
    return hi, a - hi
