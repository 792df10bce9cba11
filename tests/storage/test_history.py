"""Histories: what was reported is what is read, in slices, at any length."""

import time
from dataclasses import replace

import numpy as np
import pytest

from descend.errors import CorruptArtefact
from descend.history import COLUMNS, History
from storage.database import Database
from storage.history import CHUNK_ROWS, chunks, decoded
from tests.storage.acts import a_history, claimed, finish, history, report


def assert_same(one: History, other: History) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_rows_come_back_bit_for_bit(database: Database) -> None:
    rng = np.random.default_rng(0)
    rows = replace(
        a_history(5000),
        train_loss=rng.standard_normal(5000) * 10.0 ** rng.integers(-300, 300, 5000),
        grad_norm=np.array([-0.0, np.inf, np.nan, 5e-324] + [0.1] * 4996),
    )
    held = claimed(database)

    report(database, held, 5000, history=rows)

    read = history(database, held.job_id)
    assert_same(read, rows)
    assert np.signbit(read.grad_norm[0])
    assert read.total == 5000


def test_reports_and_the_tail_are_one_history(database: Database) -> None:
    held = claimed(database)

    for done in (100, 250):
        report(database, held, done, history=a_history(done if done == 100 else 150, total=done))
    finish(database, held, history=a_history(750, total=1000))

    assert_same(history(database, held.job_id), a_history(1000))


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 0), (0, 1), (99, 101), (150, 900), (999, 1000), (990, 5000), (1000, 1001)],
)
def test_a_slice_is_the_slice_of_the_whole(
    sqlite_database: Database, start: int, stop: int
) -> None:
    held = claimed(sqlite_database)
    for done in range(100, 1001, 100):
        report(sqlite_database, held, done, history=a_history(100, total=done))

    cut = history(sqlite_database, held.job_id, start, stop)

    assert_same(cut, a_history(1000).take(np.arange(1000)[start:stop]))
    assert cut.total == 1000


def test_columns_that_do_not_change_cost_nothing() -> None:
    rows = a_history(CHUNK_ROWS)

    ((_, full),) = chunks(rows)
    ((_, flat),) = chunks(replace(rows, train_loss=np.ones(CHUNK_ROWS)))

    assert len(full) < CHUNK_ROWS * 24 + 64
    assert len(full) - len(flat) == 8 * (CHUNK_ROWS - 1)


def test_a_chunk_without_its_mark_is_refused() -> None:
    with pytest.raises(CorruptArtefact):
        decoded(b"xxxx" + bytes(40))


def test_more_rows_than_there_can_be_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot end at row 5"):
        list(chunks(a_history(10, total=10).__class__(**{**vars(a_history(10)), "total": 5})))


def test_a_million_epochs_are_written_and_sliced_quickly(database: Database) -> None:
    held = claimed(database, hyperparameters={"max_epochs": 1_000_000})
    rows = a_history(1_000_000)

    began = time.process_time()
    report(database, held, 1_000_000, history=rows)
    written = time.process_time() - began
    began = time.process_time()
    cut = history(database, held.job_id, 700_000, 700_100)
    sliced = time.process_time() - began

    assert_same(cut, rows.take(np.arange(700_000, 700_100)))
    assert_same(history(database, held.job_id), rows)
    assert written < 5  # seconds of CPU; a row per epoch took minutes
    assert sliced < 0.5


def test_a_chunk_of_an_earlier_version_has_no_gap() -> None:
    rows = a_history(3)
    ((_, chunk),) = chunks(rows)
    older = b"dh1\0" + chunk[4:13] + chunk[14 : 14 + len(chunk) - 14 - 8 * 3]

    read = decoded(older)

    assert np.isnan(read.gap).all()
    assert read.train_loss.tolist() == rows.train_loss.tolist()
    assert read.grad_norm.tolist() == rows.grad_norm.tolist()
