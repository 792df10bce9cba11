"""In which form a problem's data is trained on: the rows, or their R factor."""

from typing import Literal

from descend.jobs import Hyperparameters
from workers.training.certificate import CERTIFICATE_COST

__all__ = ["Form", "choose_form", "factor_pays"]

Form = Literal["rows", "factor"]


def choose_form(n_train: int, n_features: int, n_targets: int, h: Hyperparameters) -> Form:
    """Choose by cost.

    With p = 1 + n_features + n_targets columns, a factor takes 2 n p^2 multiplications once and
    leaves p rows; an epoch on the rows takes about 4 n p n_targets. So it pays from p / (2 t)
    epochs on, and below that where the minimum is wanted anyway and cheap enough.

    Args:
        n_train: rows trained on.
        n_features: columns of X, encoded.
        n_targets: columns of Y.
        h: the loss must be squared and batches full, else it is rows.

    References:
        Measured for n = 1e5 to 1e7 and 1 to 100 features: it pays from about 2 + n_features / 8
        epochs on.
    """
    p = 1 + n_features + n_targets
    if h.batch_size is not None or n_train <= p:
        return "rows"
    return "factor" if factor_pays(n_train, n_features, n_targets, h) else "rows"


def factor_pays(n_train: int, n_features: int, n_targets: int, h: Hyperparameters) -> bool:
    """Whether a factor is worth its time, be it to train on or, beside batches, for the minimum."""
    if not h.has_certificate:
        return False
    p = 1 + n_features + n_targets
    many = h.max_epochs > 2 + p / (8 * n_targets)
    return many or h.optimizer == "exact" or n_train * p**2 < CERTIFICATE_COST
