"""From a job as the worker was given it to a problem that the engine can train.

Squared loss on full batches trains on the R factor of its rows wherever that has fewer rows; the
factor is kept, so that the next job on these columns reads nothing. What else there is trains on
the rows themselves; mini-batches of squared loss have the factor beside them, for the minimum.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from descend.counts import have
from descend.encoding import Encoding
from descend.errors import CorruptArtefact, InvalidDataset, InvalidInput
from storage.arrow import Table, open_table
from workers import training
from workers.factors import FactorFolder, Kept, View
from workers.mapping import map_rows
from workers.orders import Assignment
from workers.tables import Block, Columns, JobTable, Part

__all__ = ["Loaded", "load_problem", "load_rows", "open_rows"]

# Multiplications from which a factor is worth more threads than one.
THREADS_PAY = 2e9


@dataclass(frozen=True, eq=False)
class Loaded:
    """A job's problem, and what came to light while its data was read."""

    problem: training.Problem
    encoding: Encoding
    warnings: tuple[str, ...]
    job: Assignment

    def blocks(self) -> Callable[[], Iterator[Block]]:
        """Open the table again, for what needs the rows that were trained on."""
        table, trained = self._table()
        return lambda: table.blocks(trained)

    def numbers(self, places: Sequence[int]) -> list[int]:
        """Find rows trained on, by their places from 0, in the table, whose rows count from 1."""
        table, trained = self._table()
        if trained is not None:
            places = np.flatnonzero(trained)[list(places)].tolist()
        return table.numbers([place + 1 for place in places])

    def _table(self) -> tuple[JobTable, Part]:
        table = JobTable(_open(self.job.data), _columns(self.job), self.encoding)
        return table, _parts(table.n_used, _view(self.job))[0]


def load_problem(job: Assignment, *, scratch: Path | None = None) -> Loaded:
    """Read a job's data in the form it trains on.

    Args:
        job: as the worker was given it.
        scratch: a folder for rows that mini-batches are drawn from; they stay in memory if None.

    Raises:
        DescendError: when the data cannot be read or does not fit the job.
    """
    h, view = job.hyperparameters, _view(job)
    folder = None if job.factors is None else FactorFolder(job.factors)
    kept = folder.find(view) if folder and h.has_certificate else None
    if kept is not None and h.batch_size is None:
        return _of_factor(job, kept)
    table = open_rows(job)
    parts = _parts(table.n_used, view)
    if h.batch_size is not None:
        return _of_batches(job, table, parts, kept, scratch)
    n_train = _count(table, parts[0])
    if training.choose_form(n_train, len(table.features), len(job.targets), h) == "rows":
        return _of_rows(job, table, parts)
    return _of_factor(job, _keep(job, _factored(job, table, parts, view)))


def _view(job: Assignment) -> View:
    h = job.hyperparameters
    return View(_columns(job), h.validation_fraction, h.seed or 0)


def load_rows(job: Assignment) -> Loaded:
    """Read a job's data as rows, whatever it would train on.

    Raises:
        DescendError: when the data cannot be read or does not fit the job.
    """
    table = open_rows(job)
    return _of_rows(job, table, _parts(table.n_used, _view(job)))


def open_rows(job: Assignment) -> JobTable:
    """Open a job's table, to be read block by block.

    Raises:
        DescendError: when the data cannot be read or does not fit the job.
    """
    view = _view(job)
    return JobTable(_open(job.data), view.columns, split=lambda n_used: _parts(n_used, view)[0])


def _columns(job: Assignment) -> Columns:
    return Columns(job.features, job.targets, job.weight, job.missing, job.categorical)


def _open(data: bytes | Path) -> Table:
    if isinstance(data, Path) and not data.exists():
        raise CorruptArtefact("the file of the job's data set is missing")
    return open_table(data)


def _parts(n_used: int, view: View) -> tuple[Part, Part]:
    """Which of the used rows are trained on and which are held out; None, None: none are."""
    held = training.held_out(n_used, view.fraction, seed=view.seed)
    return (None, None) if held is None else (~held, held)


def _count(table: JobTable, part: Part) -> int:
    return table.n_used if part is None else int(np.count_nonzero(part))


def _keep(job: Assignment, kept: Kept) -> Kept:
    if job.factors is not None:
        FactorFolder(job.factors).keep(_view(job), kept)
    return kept


def _of_rows(job: Assignment, table: JobTable, parts: tuple[Part, Part]) -> Loaded:
    trained = training.Rows.checked(*table.rows(parts[0]))
    held = None if parts[1] is None else training.Rows.checked(*table.rows(parts[1]))
    if job.validation is not None:
        held = training.Rows.checked(*_validation(job, table.encoding).rows())
    return _loaded(job, table, trained, held)


def _of_batches(
    job: Assignment,
    table: JobTable,
    parts: tuple[Part, Part],
    kept: Kept | None,
    scratch: Path | None,
) -> Loaded:
    """Write the rows to where batches are drawn from; under squared loss factor them on the way."""
    n_train, sizes = _count(table, parts[0]), (len(table.features), len(job.targets))
    wanted = kept is None and training.factor_pays(n_train, *sizes, job.hyperparameters)
    beside = _accumulator(table) if wanted else None
    trained = map_rows(table, parts[0], n=n_train, scratch=scratch, beside=beside)
    if beside is not None:
        held = None if parts[1] is None else _factor(table, parts[1])
        kept = _keep(job, _kept(table, beside.factor(), held))
    if kept is not None:
        loaded = _of_factor(job, kept)
        problem = replace(loaded.problem, trained=trained, factored=loaded.problem.trained)
        return replace(loaded, problem=problem)
    rows = None
    if job.validation is not None:
        validation = _validation(job, table.encoding)
        rows = map_rows(validation, None, n=validation.n_used, scratch=scratch)
    elif parts[1] is not None:
        rows = map_rows(table, parts[1], n=_count(table, parts[1]), scratch=scratch)
    return _loaded(job, table, trained, rows)


def _of_factor(job: Assignment, kept: Kept) -> Loaded:
    held = kept.held
    if job.validation is not None:
        held = _factor(_validation(job, kept.encoding))
    return _loaded(
        job,
        kept,
        training.Factored(kept.trained),
        None if held is None else training.Factored(held),
    )


def _loaded(
    job: Assignment,
    source: JobTable | Kept,
    trained: training.Sample,
    held: training.Sample | None,
) -> Loaded:
    n_held = 0 if held is None else held.n
    if not trained.weighs:
        raise _weightless(job, n_held)
    problem = training.Problem(
        trained=trained,
        held=held if held is not None and held.weighs else None,
        features=tuple(source.encoding.features),
        targets=job.targets,
        hyperparameters=job.hyperparameters,
        weight_unit=source.weight_unit,
    )
    warnings, n_dropped = [], source.n_dropped
    if n_held and problem.held is None:
        warnings.append("every row to validate on has weight 0: eval_loss is empty")
    if n_dropped:
        n_all = n_dropped + problem.n_train + (0 if job.validation else n_held)
        are = "is" if n_dropped == 1 else "are"
        warnings.append(
            f"{n_dropped} of {n_all} rows {have(n_dropped)} missing cells and {are} left out"
        )
    return Loaded(problem, source.encoding, tuple(warnings), job)


def _weightless(job: Assignment, n_held: int) -> InvalidInput:
    if n_held and job.validation is None:
        return InvalidInput(
            "every row left to train on has weight 0, those with a weight are held out: lower"
            " validation_fraction, or set another seed",
            param="hyperparameters.validation_fraction",
        )
    return InvalidInput(
        f"every row left to train on has weight 0 in column {job.weight!r}: give some a weight"
        " above 0, or name no weight",
        param="weight",
    )


def _validation(job: Assignment, encoding: Encoding) -> JobTable:
    if job.validation is None:
        raise InvalidDataset("there are no validation rows")
    return JobTable(_open(job.validation), _columns(job), encoding)


def _factored(job: Assignment, table: JobTable, parts: tuple[Part, Part], view: View) -> Kept:
    trained = _appended(job, table, view) or _factor(table, parts[0])
    held = None if parts[1] is None else _factor(table, parts[1])
    return _kept(table, trained, held)


def _kept(table: JobTable, trained: training.Factor, held: training.Factor | None) -> Kept:
    return Kept(
        table.encoding, table.n_used, table.n_dropped, trained, held, weight_unit=table.weight_unit
    )


def _appended(job: Assignment, table: JobTable, view: View) -> training.Factor | None:
    """Merge the factor of a parent's rows, where it is kept, with that of the rows appended."""
    if job.parent_factors is None or not view.is_whole:
        return None
    kept = FactorFolder(job.parent_factors).find(view)
    if kept is None or kept.encoding != table.encoding:
        return None
    if kept.weight_unit != table.weight_unit:
        return None
    if kept.n_used + kept.n_dropped != job.parent_rows:
        return None
    if table.n_used == kept.n_used:
        return kept.trained
    return training.merge(kept.trained, _factor(table, start=job.parent_rows))


def _factor(table: JobTable, part: Part = None, *, start: int = 0) -> training.Factor:
    names: Sequence[str] = (*table.features, *table.columns.targets)
    return training.factor(
        table.blocks(part, start=start), names=names, threads=_threads(table.n_used, len(names))
    )


def _accumulator(table: JobTable) -> training.Accumulator:
    names = (*table.features, *table.columns.targets)
    return training.Accumulator(names=names, threads=_threads(table.n_used, len(names)))


def _threads(n_rows: int, n_columns: int) -> int:
    return len(os.sched_getaffinity(0)) if n_rows * n_columns**2 > THREADS_PAY else 1
