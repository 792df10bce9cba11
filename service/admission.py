"""Checks a job against the columns of its dataset, at submission: what cannot train is refused."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from descend.counts import counted
from descend.datasets import Column, Dataset
from descend.errors import InvalidInput
from descend.field_errors import FieldError
from descend.jobs import InitialWeights, JobSpec
from descend.limits import MAX_COEFFICIENTS, MAX_LEVELS
from descend.unreadable import unreadable_because
from service.default_features import LEVELS_OF_AN_ID, default_features

__all__ = ["Admission", "admit", "admit_validation"]

MOST_NAMES = 10


@dataclass(frozen=True)
class Admission:
    """Which columns a job trains on, now that every default is a name."""

    targets: tuple[str, ...]
    features: tuple[str, ...]
    weight: str | None
    warnings: tuple[str, ...] = ()  # what is left out, where the job names no features


def admit(spec: JobSpec, dataset: Dataset) -> Admission:
    """Resolve the columns of a job and check that they can be trained on.

    Raises:
        InvalidInput: names the field of the spec, the column, and what to do.
    """
    targets = _targets(spec, dataset)
    weight = spec.weight or _default_weight(spec, dataset, targets)
    features, warnings = _features(spec, dataset, {*targets, weight})
    _refuse_overlap(spec, targets, weight, features)
    _refuse(_no_numbers(dataset, targets, "target"))
    if weight is not None:
        _check_weight(dataset, weight)
    used = {"target": targets, "weight": [weight] if weight else [], "features": features}
    _refuse([*_missing(spec, dataset, used), *_levels(spec, dataset, features)])
    if len(features) * len(targets) > MAX_COEFFICIENTS:
        raise InvalidInput(
            f"{len(features)} features x {len(targets)} targets are more than"
            f" {MAX_COEFFICIENTS} coefficients",
            param="features",
        )
    if all(column.is_numeric for column in _columns(dataset, features)):
        _check_init(spec, n_targets=len(targets), n_features=len(features))
    _check_rows(spec, dataset.n_rows)
    return Admission(targets, features, weight, warnings)


def _targets(spec: JobSpec, dataset: Dataset) -> tuple[str, ...]:
    names = spec.targets or dataset.default_target
    if names is None:
        likely = dataset.suggested_target
        such = f", such as {likely!r}" if likely else ""
        raise InvalidInput(
            f"name the column to predict{such}; the dataset has {_listed(dataset)}", param="target"
        )
    _check_known(dataset, names, "target")
    return tuple(names)


def _default_weight(spec: JobSpec, dataset: Dataset, targets: Sequence[str]) -> str | None:
    """An upload's sample_weight, unless the job uses that column for something else."""
    weight = dataset.default_weight
    return None if weight in {*targets, *(spec.features or ())} else weight


def _features(
    spec: JobSpec, dataset: Dataset, taken: set[str | None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    excluded = spec.exclude or ()
    _check_known(dataset, excluded, "exclude")
    warnings: tuple[str, ...] = ()
    if spec.features is None:
        names, warnings = default_features(dataset, {*taken, *excluded}, spec.categorical)
    else:
        _check_known(dataset, spec.features, "features")
        names = tuple(name for name in spec.features if name not in excluded)
    if not names:
        unread = [unreadable_because(one.name, one.type) for one in dataset.unreadable[:MOST_NAMES]]
        why = f": {'; '.join((*warnings, *unread))}" if warnings or unread else ""
        raise InvalidInput(f"no column is left to be a feature{why}", param="features")
    return names, warnings


def _check_known(dataset: Dataset, names: Sequence[str], param: str) -> None:
    known = {column.name for column in dataset.columns}
    unreadable = {column.name: column.type for column in dataset.unreadable}
    unread = next((name for name in names if name in unreadable), None)
    if unread is not None and param != "exclude":
        raise InvalidInput(unreadable_because(unread, unreadable[unread]), param=param)
    unknown = [name for name in names if name not in known and name not in unreadable]
    if unknown:
        listed = ", ".join(map(repr, unknown[:MOST_NAMES]))
        more = f" and {len(unknown) - MOST_NAMES} more" if len(unknown) > MOST_NAMES else ""
        raise InvalidInput(
            f"there is no column {listed}{more}; the dataset has {_listed(dataset)}", param=param
        )


@dataclass(frozen=True)
class _Wrong:
    """A column that cannot be used as it is, and what to do."""

    error: FieldError
    cure: str


def _wrong(
    param: str, column: Column, what: str, *, code: str, cure: str, ways: Iterable[tuple[str, str]]
) -> _Wrong:
    error = FieldError(
        param=param,
        message=f"column {column.name!r} {what}",
        code=code,
        column=column.name,
        options=[{field: [value]} for field, value in ways],
    )
    return _Wrong(error, cure)


def _refuse(found: Sequence[_Wrong]) -> None:
    """Raise one error about all columns that were found wrong; return where there are none."""
    if not found:
        return
    told = "; ".join(one.error.message for one in found[:MOST_NAMES])
    if len(found) > MOST_NAMES:
        told += f"; and {counted(len(found) - MOST_NAMES, 'other')}"
    cures = "; ".join(dict.fromkeys(one.cure for one in found))
    if len(found) > 1:
        cures = cures.replace("leave it out", "leave such columns out")
    raise InvalidInput(
        f"{told}: {cures}", param=found[0].error.param, errors=[one.error for one in found]
    )


def _listed(dataset: Dataset) -> str:
    shown = ", ".join(column.name for column in dataset.columns[:MOST_NAMES])
    return shown if len(dataset.columns) <= MOST_NAMES else f"{shown}, …"


def _refuse_overlap(
    spec: JobSpec, targets: Sequence[str], weight: str | None, features: Sequence[str]
) -> None:
    if both := sorted({*targets} & {*features}):
        raise InvalidInput(
            f"column {both[0]!r} is a target and a feature: leave it out", param="features"
        )
    if weight in {*targets, *features}:
        role = "a target" if weight in targets else "a feature"
        raise InvalidInput(
            f"column {spec.weight!r} is the weight and {role}: leave it out of one", param="weight"
        )


def _no_numbers(dataset: Dataset, names: Iterable[str], param: str) -> list[_Wrong]:
    return [
        _wrong(
            param, column, "holds text", code="no_numbers", cure="name a column of numbers", ways=()
        )
        for column in _columns(dataset, names)
        if not column.is_numeric
    ]


def _missing(spec: JobSpec, dataset: Dataset, columns: Mapping[str, Sequence[str]]) -> list[_Wrong]:
    """Missing cells need to be allowed for; a column of nothing else cannot be used at all."""
    found = []
    for param, names in columns.items():
        for column in _columns(dataset, names):
            if column.missing == dataset.n_rows:
                found.append(
                    _wrong(
                        param,
                        column,
                        "is empty",
                        code="empty_column",
                        cure="leave it out",
                        ways=[("exclude", column.name)],
                    )
                )
            elif column.missing and spec.missing == "error":
                found.append(
                    _wrong(
                        param,
                        column,
                        f"has {counted(column.missing, 'missing cell')}",
                        code="missing_cells",
                        cure='set missing to "drop", which leaves out such rows, or to "mean",'
                        " which fills them in",
                        ways=[("missing", "drop"), ("missing", "mean")],
                    )
                )
    return found


def _levels(spec: JobSpec, dataset: Dataset, features: Sequence[str]) -> list[_Wrong]:
    found = []
    for column in _columns(dataset, features):
        levels = column.distinct or 0
        many = levels > MAX_LEVELS or (levels > LEVELS_OF_AN_ID and 2 * levels > dataset.n_rows)
        out = [("exclude", column.name)]
        if not column.is_numeric and spec.categorical == "error":
            cure = 'leave it out, or set categorical to "one_hot"'
            ways = [*out, ("categorical", "one_hot")]
            found.append(
                _wrong("features", column, "holds text", code="text", cure=cure, ways=ways)
            )
        elif not column.is_numeric and many:
            what = (
                f"is text of {levels} distinct values in {dataset.n_rows} rows, too many to be"
                " levels"
            )
            found.append(
                _wrong("features", column, what, code="levels", cure="leave it out", ways=out)
            )
    return found


def _columns(dataset: Dataset, names: Iterable[str]) -> Iterator[Column]:
    columns = {column.name: column for column in dataset.columns}
    return (columns[name] for name in names)


def _check_weight(dataset: Dataset, weight: str) -> None:
    _check_known(dataset, [weight], "weight")
    _refuse(_no_numbers(dataset, [weight], "weight"))
    column = dataset.column(weight)
    if column is None or column.min is None or column.max is None:
        return
    if column.min < 0:
        raise InvalidInput(
            f"column {weight!r} holds a weight below 0: weights count from 0 on", param="weight"
        )
    if column.max == 0:
        raise InvalidInput(
            f"column {weight!r} holds only zeros: some rows need a weight above 0", param="weight"
        )


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


def admit_validation(
    spec: JobSpec, validation: Dataset, *, dataset: Dataset, columns: Admission
) -> None:
    """Check that the validation dataset has the job's columns, of the job's kinds.

    Raises:
        InvalidInput: names the column.
    """
    param = "hyperparameters.validation_dataset"
    weight = () if columns.weight is None else (columns.weight,)
    names = (*columns.features, *columns.targets, *weight)
    try:
        _check_known(validation, names, param)
        _check_kinds(validation, dataset, names, param)
        _refuse(_missing(spec, validation, {param: names}))
    except InvalidInput as error:
        raise InvalidInput(f"of the validation dataset: {error.message}", param=param) from error


def _check_kinds(validation: Dataset, dataset: Dataset, names: Sequence[str], param: str) -> None:
    """Levels must be text in both, numbers in both; a level may look like a number in one."""
    pairs = zip(_columns(validation, names), _columns(dataset, names), strict=True)
    for found, wanted in pairs:
        if found.is_numeric != wanted.is_numeric:
            here, there = ("numbers", "text") if found.is_numeric else ("text", "numbers")
            raise InvalidInput(
                f"column {found.name!r} holds {here}, in the dataset trained on {there}: upload"
                " it as the same kind",
                param=param,
            )
