"""DescendRegressor: a scikit-learn estimator whose fit is a job on a Descend server.

    DescendRegressor(l2=0.1).fit(X, y).predict(X)

A fitted estimator holds numbers and no connection: it predicts, is pickled and is cloned without
the server. Only this module and descend.regressors know scikit-learn.
"""

import time
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from descend.client import Client
from descend.hyperparameters import Hyperparameters, Loss, Optimizer
from descend.limits import MAX_NAME_LENGTH
from descend.runs import Run

__all__ = ["DescendRegressor"]

Floats = NDArray[np.float64]

_OF_THE_CONNECTION = {"url", "api_key", "timeout_seconds"}


class DescendRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Linear regression, trained by a Descend server.

    Minimises sum_i w_i loss(x_i W + b - y_i) / (sum(w) n_targets) + l2 sum(W^2) + l1 sum(|W|);
    docs/objective.md says what equals what. The default optimizer, `exact`, returns the minimum
    itself and equals LinearRegression, or Ridge(alpha=n_samples * l2) on standardised columns.

    Args:
        optimizer: exact, or sgd, adam, adamw, lbfgs, which train in epochs.
        learning_rate: a number, or auto; and so on: all other parameters up to `dtype` are the
            server's hyperparameters of the same name, with its defaults.
        device: auto, cpu or cuda.
        url: of the server; None: DESCEND_URL, else http://127.0.0.1:8000.
        api_key: None: DESCEND_API_KEY. A key given here is a parameter like any other: it is
            pickled with the estimator, and shown nowhere. One from the environment is not held.
        timeout_seconds: when fit gives up, sending the data included; None: never.

    Attributes:
        coef_: shape (n_features,), or (n_targets, n_features) where y has two dimensions.
        intercept_: a float, or shape (n_targets,); zeros where none was fitted.
        loss_curve_: the training loss of every epoch, before its step.
        n_iter_: epochs taken.
        model_: the LinearModel, with metrics and provenance.
        job_id_: the job on the server.
        n_features_in_: columns of X.
        feature_names_in_: their names, where X had names.

    Example:
        >>> from descend import DescendRegressor
        >>> DescendRegressor(optimizer="sgd", max_epochs=100)
        DescendRegressor(max_epochs=100, optimizer='sgd')
    """

    def __init__(  # noqa: PLR0913  scikit-learn's convention: every parameter by name
        self,
        *,
        optimizer: Optimizer = "exact",
        learning_rate: float | Literal["auto"] | None = "auto",
        momentum: float | None = None,
        nesterov: bool | None = None,
        betas: list[float] | None = None,
        eps: float | None = None,
        weight_decay: float | None = None,
        history_size: int | None = None,
        schedule: dict[str, Any] | None = None,
        max_epochs: int = 1000,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        loss: Loss = "squared",
        huber_delta: float | None = None,
        quantile: float | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        fit_intercept: bool = True,
        standardize: bool = True,
        init: str | dict[str, Any] = "zeros",
        validation_fraction: float = 0.0,
        validation_dataset: str | None = None,
        tol: float = 1e-9,
        patience: int = 10,
        target_gap: float | None = None,
        seed: int | None = None,
        dtype: Literal["float64", "float32"] = "float64",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        url: str | None = None,
        api_key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.history_size = history_size
        self.schedule = schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.loss = loss
        self.huber_delta = huber_delta
        self.quantile = quantile
        self.l1 = l1
        self.l2 = l2
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.init = init
        self.validation_fraction = validation_fraction
        self.validation_dataset = validation_dataset
        self.tol = tol
        self.patience = patience
        self.target_gap = target_gap
        self.seed = seed
        self.dtype = dtype
        self.device = device
        self.url = url
        self.api_key = api_key
        self.timeout_seconds = timeout_seconds

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on the server and wait for the model.

        Args:
            X: shape (n_samples, n_features), finite numbers.
            y: shape (n_samples,) or (n_samples, n_targets).
            sample_weight: shape (n_samples,), >= 0; weight 2 is the row twice.

        Raises:
            InvalidInput: where the server refuses a parameter; it is a ValueError.
            JobFailed: where training diverged, with what to do.
            Unreachable: where no server answers.
            TimeoutError: where it took longer than `timeout_seconds`.
        """
        rows, targets = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True
        )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, rows, dtype=np.float64, ensure_non_negative=True
            )
        with Client(self.url, api_key=self.api_key) as client:
            began = time.monotonic()
            # The answer to a submission that waits would name the job when it has ended only.
            run = client.train(
                self._named(rows), targets, sample_weight=sample_weight, **self._options()
            )
            try:
                run.wait(timeout_seconds=self._left_since(began))
            except (TimeoutError, KeyboardInterrupt):
                run.cancel()  # nobody waits for it any more
                raise
            self._keep(run, one_target=targets.ndim == 1)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Compute X coef_' + intercept_, without the server.

        Args:
            X: shape (n_samples, n_features), finite numbers.

        Returns:
            Shape (n_samples,) or (n_samples, n_targets), as y had.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        predicted: Floats = rows @ self.coef_.T + self.intercept_
        return predicted

    def _left_since(self, began: float) -> float | None:
        if self.timeout_seconds is None:
            return None
        return max(0.0, self.timeout_seconds - (time.monotonic() - began))

    def _keep(self, run: Run, *, one_target: bool) -> None:
        """Take what came out; the connection stays behind."""
        self.model_, self.job_id_ = run.model, run.id
        coef, intercept = np.array(self.model_.coef), np.array(self.model_.intercept)
        self.coef_ = coef[0] if one_target else coef
        self.intercept_ = float(intercept[0]) if one_target else intercept
        self.loss_curve_ = run.history.train_loss.tolist()
        self.n_iter_ = run.job.metrics.epochs if run.job.metrics else len(self.loss_curve_)

    def _named(self, X: Floats) -> Any:
        """Give the columns the names they came with: the server's model then has them, too."""
        names = [str(name) for name in getattr(self, "feature_names_in_", ())]
        reserved = {"sample_weight", "y", *(f"y{j}" for j in range(len(names)))}
        usable = all(1 <= len(name) <= MAX_NAME_LENGTH for name in names)
        if not names or not usable or reserved & set(names):
            return X
        return dict(zip(names, X.T, strict=True))

    def _options(self) -> dict[str, Any]:
        """Return the parameters that are not the server's defaults."""
        defaults = {name: info.default for name, info in Hyperparameters.model_fields.items()}
        given = {
            name: _plain(value)
            for name, value in self.get_params(deep=False).items()
            if name not in _OF_THE_CONNECTION
        }
        return {name: value for name, value in given.items() if value != defaults.get(name, ...)}

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep a key as one that is not shown: parameters are printed, also by pipelines."""
        if name == "api_key" and type(value) is str:
            value = _Key(value)  # once: clone asks for the same object again
        super().__setattr__(name, value)


class _Key(str):
    """A key that a repr does not give away."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"


def _plain(value: Any) -> Any:
    """Return Python's own number for numpy's, which a grid of parameters is made of."""
    return value.item() if isinstance(value, np.generic) else value
