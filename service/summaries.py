"""Tests and intervals from the standard errors that were stored with a model.

scipy.special is imported inside the functions: it loads in a tenth of a second, scipy.stats in one.
"""

import numpy as np
from numpy.typing import NDArray

from descend.errors import Conflict
from descend.models import LinearModel
from descend.statistics import (
    DEFINITIONS,
    INTERCEPT,
    Coefficient,
    Covariance,
    Statistics,
    Summary,
    TargetStatistics,
    TargetSummary,
)
from storage.models import KnownStatistics

__all__ = ["interval_reach", "summary"]

Floats = NDArray[np.float64]
_OF_ROWS = frozenset({"HC0", "HC1", "HC2", "HC3"})
NONE_STORED = "no statistics were stored with this model"


def summary(
    model: LinearModel,
    known: KnownStatistics | None,
    *,
    level: float,
    covariance: Covariance | None = None,
) -> Summary:
    """Compute t, p and confidence intervals; where there are none, say why in `refused`.

    Args:
        model: its weights are the estimates.
        known: its statistics.
        level: of the intervals, in (0, 1).
        covariance: whose standard errors; None for those that belong to the fit's loss.
    """
    statistics = known.statistics if known else None
    covariance = covariance or (statistics.covariance if statistics else "classical")
    refused = _refused(statistics, covariance)
    return Summary(
        model_id=model.id or "",
        refused=refused,
        covariance=covariance,
        definition=DEFINITIONS[covariance] if refused is None else None,
        level=level,
        n_samples=_n_samples(model, statistics),
        df_model=statistics.df_model if statistics else None,
        df_residual=statistics.df_residual if statistics else None,
        rank=statistics.rank if statistics else None,
        condition_number=statistics.condition_number if statistics else None,
        targets=[
            _target(model, statistics, place, level=level, covariance=covariance)
            for place in range(len(model.targets))
        ],
    )


def interval_reach(
    known: KnownStatistics | None, X: Floats, *, level: float, of_mean: bool
) -> Floats:
    """Compute how far an interval reaches to either side of each prediction.

        of the mean: q sd sqrt(h(x)),   of a new observation: q sd sqrt(1 + h(x))

    Args:
        known: the model's statistics.
        X: rows in the order of the model's features, shape (n, n_features).
        level: share of intervals that hold the truth.
        of_mean: of the mean at x, or of a new observation of weight 1.

    Returns:
        Shape (n, n_targets).

    Raises:
        Conflict: with the reason, where there is no interval.
    """
    statistics = known.statistics if known else None
    if known is None or statistics is None or statistics.refused:
        reason = statistics.refused if statistics else None
        raise Conflict(f"no interval: {reason or NONE_STORED}")
    if statistics.intervals_refused:
        raise Conflict(f"no interval: {statistics.intervals_refused}")
    if known.spread is None:
        raise Conflict("no interval: of so many columns no covariance is kept")
    exact = [one for one in statistics.targets if one.refused is not None]
    if exact:
        raise Conflict(f"no interval of target {exact[0].target!r}: {exact[0].refused}")
    deviations = [one.residual_sd for one in statistics.targets]
    if None in deviations or statistics.df_residual < 1:
        raise Conflict("no interval: there is no residual degree of freedom")
    from scipy.special import stdtrit

    h = known.spread.leverage(X)[:, np.newaxis]
    quantile = float(stdtrit(statistics.df_residual, (1 + level) / 2))
    root = np.sqrt(h if of_mean else 1 + h)
    return np.asarray(quantile * root * np.array(deviations, dtype=np.float64))


def _refused(statistics: Statistics | None, covariance: Covariance) -> str | None:
    if statistics is None:
        return NONE_STORED
    if statistics.refused is not None:
        return statistics.refused
    inferred = [one for one in statistics.targets if one.refused is None]
    if all(covariance in one.std_errors for one in inferred):
        return None
    if covariance in statistics.errors_refused:
        return statistics.errors_refused[covariance]
    if covariance in _OF_ROWS and statistics.robust_refused:
        return statistics.robust_refused
    stored = {name for one in statistics.targets for name in one.std_errors}
    known = ", ".join(name for name in DEFINITIONS if name in stored)
    return f"no {covariance} standard errors were stored: this fit has {known}"


def _n_samples(model: LinearModel, statistics: Statistics | None) -> int:
    if statistics is not None:
        return statistics.n_samples
    return int(model.metrics.get("n_samples") or 0)


def _target(
    model: LinearModel,
    statistics: Statistics | None,
    place: int,
    *,
    level: float,
    covariance: Covariance,
) -> TargetSummary:
    told = statistics.targets[place] if statistics else None
    fitted = statistics is None or INTERCEPT in statistics.names
    names = [*model.features, *([INTERCEPT] if fitted else [])]
    estimates = [*model.coef[place], *([model.intercept[place]] if fitted else [])]
    inferred = [] if statistics is None or statistics.refused else _errors(told, covariance)
    df = statistics.df_residual if statistics else 0
    vif = statistics.vif if statistics else []
    return TargetSummary(
        target=model.targets[place],
        coefficients=[
            _coefficient(
                name,
                estimate,
                inferred[i] if inferred else None,
                df=df,
                level=level,
                vif=vif[i] if i < len(vif) else None,
            )
            for i, (name, estimate) in enumerate(zip(names, estimates, strict=True))
        ],
        **_figures(told, covariance),
    )


def _errors(told: TargetStatistics | None, covariance: Covariance) -> list[float | None]:
    return told.std_errors.get(covariance, []) if told else []


def _figures(
    told: TargetStatistics | None, covariance: Covariance
) -> dict[str, float | str | None]:
    """The figures of a target; F belongs to the classical covariance alone."""
    if told is None:
        return {}
    names = ["refused", "residual_sd", "r2", "adjusted_r2", "log_likelihood", "aic", "bic"]
    names += ["f", "f_p"] if covariance == "classical" else []
    return {name: getattr(told, name) for name in names}


def _coefficient(
    name: str,
    estimate: float,
    error: float | None,
    *,
    df: int,
    level: float,
    vif: float | None,
) -> Coefficient:
    if not error or df < 1:
        return Coefficient(name=name, estimate=estimate, std_error=error, vif=vif)
    from scipy.special import stdtr, stdtrit

    t = estimate / error
    reach = float(stdtrit(df, (1 + level) / 2)) * error
    return Coefficient(
        name=name,
        estimate=estimate,
        std_error=error,
        t=t,
        p=2 * float(stdtr(df, -abs(t))),
        low=estimate - reach,
        high=estimate + reach,
        vif=vif,
    )
