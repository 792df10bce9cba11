"""Checks a job against the columns of its dataset, at submission: what cannot train is refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from descend.datasets import Column, Dataset
from descend.errors import InvalidInput
from descend.jobs import InitialWeights, JobSpec
from descend.limits import MAX_COEFFICIENTS

__all__ = ["Admission", "admit"]

MOST_NAMES = 10


@dataclass(frozen=True)
class Admission:
    """Which columns a job trains on, now that every default is a name."""

    targets: tuple[str, ...]
    features: tuple[str, ...]
    weight: str | None


def admit(spec: JobSpec, dataset: Dataset) -> Admission:
    """Resolve the columns of a job and check that they can be trained on.

    Raises:
        InvalidInput: names the field of the spec, the column, and what to do.
    """
    targets = _targets(spec, dataset)
    weight = spec.weight or _default_weight(spec, dataset, targets)
    features = _features(spec, dataset, {*targets, weight})
    _refuse_overlap(spec, targets, weight, features)
    _check_usable(dataset, targets, "target")
    _check_usable(dataset, features, "features")
    if weight is not None:
        _check_weight(dataset, weight)
    if len(features) * len(targets) > MAX_COEFFICIENTS:
        raise InvalidInput(
            f"{len(features)} features x {len(targets)} targets are more than"
            f" {MAX_COEFFICIENTS} coefficients",
            param="features",
        )
    _check_init(spec, n_targets=len(targets), n_features=len(features))
    _check_rows(spec, dataset.n_rows)
    return Admission(targets, features, weight)


def _targets(spec: JobSpec, dataset: Dataset) -> tuple[str, ...]:
    names = spec.targets or dataset.default_target
    if names is None:
        raise InvalidInput(
            f"name the column to predict; the dataset has {_listed(dataset)}", param="target"
        )
    _check_known(dataset, names, "target")
    return tuple(names)


def _default_weight(spec: JobSpec, dataset: Dataset, targets: Sequence[str]) -> str | None:
    """An upload's sample_weight, unless the job uses that column for something else."""
    weight = dataset.default_weight
    return None if weight in {*targets, *(spec.features or ())} else weight


def _features(spec: JobSpec, dataset: Dataset, taken: set[str | None]) -> tuple[str, ...]:
    if spec.features is not None:
        _check_known(dataset, spec.features, "features")
        return tuple(spec.features)
    names = tuple(column.name for column in dataset.columns if column.name not in taken)
    if not names:
        raise InvalidInput("no column is left to be a feature", param="features")
    return names


def _check_known(dataset: Dataset, names: Iterable[str], param: str) -> None:
    known = {column.name for column in dataset.columns}
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"there is no column {name!r}; the dataset has {_listed(dataset)}", param=param
            )


def _listed(dataset: Dataset) -> str:
    shown = ", ".join(column.name for column in dataset.columns[:MOST_NAMES])
    return shown if len(dataset.columns) <= MOST_NAMES else f"{shown}, …"


def _refuse_overlap(
    spec: JobSpec, targets: Sequence[str], weight: str | None, features: Sequence[str]
) -> None:
    if both := sorted({*targets} & {*features}):
        raise InvalidInput(f"column {both[0]!r} is a target and a feature", param="features")
    if weight in {*targets, *features}:
        role = "a target" if weight in targets else "a feature"
        raise InvalidInput(f"column {spec.weight!r} is the weight and {role}", param="weight")


def _check_usable(dataset: Dataset, names: Iterable[str], param: str) -> None:
    columns = {column.name: column for column in dataset.columns}
    for name in names:
        _check_column(columns[name], param)


def _check_column(column: Column, param: str) -> None:
    if not column.is_numeric:
        raise InvalidInput(
            f"column {column.name!r} holds text; give numbers, or leave it out", param=param
        )
    if column.missing:
        raise InvalidInput(
            f"column {column.name!r} has {column.missing} missing cells;"
            " fill them or leave out their rows",
            param=param,
        )


def _check_weight(dataset: Dataset, weight: str) -> None:
    _check_known(dataset, [weight], "weight")
    _check_usable(dataset, [weight], "weight")
    column = dataset.column(weight)
    if column is None or column.min is None or column.max is None:
        return
    if column.min < 0:
        raise InvalidInput(f"column {weight!r} holds a weight below 0", param="weight")
    if column.max == 0:
        raise InvalidInput(f"column {weight!r} holds only zeros", param="weight")


def _check_init(spec: JobSpec, *, n_targets: int, n_features: int) -> None:
    init = spec.hyperparameters.init
    if not isinstance(init, InitialWeights):
        return
    param = "hyperparameters.init"
    shape = (len(init.coef), len(init.coef[0]))
    if init.features is not None:
        n_features = len(init.features)  # by name: the worker knows the encoded columns
    if shape != (n_targets, n_features) or any(len(row) != n_features for row in init.coef):
        raise InvalidInput(
            f"coef must hold {n_targets} rows (targets) of {n_features} numbers (features)",
            param=f"{param}.coef",
        )
    if init.intercept is None:
        return
    if not spec.hyperparameters.fit_intercept:
        raise InvalidInput("no intercept is fitted: leave it out", param=f"{param}.intercept")
    if len(init.intercept) != n_targets:
        raise InvalidInput(f"intercept must hold {n_targets} numbers", param=f"{param}.intercept")


def _check_rows(spec: JobSpec, n_rows: int) -> None:
    if spec.hyperparameters.validation_fraction > 0 and n_rows < 2:
        raise InvalidInput(
            "one row cannot be parted into rows to train on and rows held out",
            param="hyperparameters.validation_fraction",
        )
