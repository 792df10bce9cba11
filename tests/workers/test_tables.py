"""JobTable: which rows count, how cells become numbers, batch by batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.datasets import ColumnType
from descend.encoding import CategoricalInput, Encoding, NumericInput
from descend.errors import InvalidDataset
from storage.arrow import Batch, Table, open_table
from tests.workers.tables import written
from workers.tables import Columns, JobTable

NAN = float("nan")
CELLS: dict[str, Any] = {
    "age": [1.0, None, 3.0, 4.0, 5.0, None, 7.0, 8.0, 9.0, 10.0],
    "town": ["Rome", "Rome", None, "Rome", "Oslo", "Bonn", "Rome", "Oslo", "Rome", "Bonn"],
    "union": [True, False, True, None, False, True, True, False, True, False],
    "share": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, None, 2.0, 1.0, 2.0],
    "y": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, None, 10.0],
    "word": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
    "nothing": [None] * 10,
    "same": ["x"] * 10,
    "town=Rome": [0.0] * 10,
}
FEATURES = ("age", "town", "union")


def columns(*features: str, missing: str = "drop", **more: Any) -> Columns:
    return Columns(
        features or FEATURES,
        targets=more.get("targets", ("y",)),
        weight=more.get("weight"),
        missing=missing,
        categorical="one_hot",
    )


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Ten rows in record batches of 4, 4 and 2."""
    cells = {name: c if name != "nothing" else [NAN] * 10 for name, c in CELLS.items()}
    return open_table(written(tmp_path / "t.arrow", cells))


def joined(blocks: Any) -> tuple[list[list[float]], list[list[float]]]:
    """X row by row, and the weights of every block."""
    taken = list(blocks)
    X = np.concatenate([np.column_stack(x) for x, _, _ in taken])
    return X.tolist(), [w.tolist() for _, _, w in taken if w is not None]


def test_rows_with_a_missing_cell_are_left_out_of_every_batch(table: Table) -> None:
    job = JobTable(table, columns())

    X, Y, omega = job.rows()

    # rows 0, 4, 6, 7, 9
    assert (job.n_used, job.n_dropped) == (5, 5)
    assert job.features == ("age", "town=Oslo", "town=Rome", "union")
    assert X.tolist() == [[1, 0, 1, 1], [5, 1, 0, 0], [7, 0, 1, 1], [8, 1, 0, 0], [10, 0, 0, 0]]
    assert Y.tolist() == [[1], [5], [7], [8], [10]]
    assert omega is None


def test_a_used_row_is_found_again_in_the_table(table: Table) -> None:
    job = JobTable(table, columns())

    # of ten rows from 1, those numbered 1, 5, 7, 8 and 10 are whole
    assert job.numbers([1, 2, 3, 4, 5]) == [1, 5, 7, 8, 10]
    assert job.numbers([3, 5]) == [7, 10]
    assert JobTable(table, columns("word")).numbers([9]) == [10]


def test_only_what_the_job_uses_makes_a_row_incomplete(table: Table) -> None:
    assert JobTable(table, columns("age")).n_used == 7
    assert JobTable(table, columns("age", weight="share")).n_used == 6
    assert JobTable(table, columns("union", targets=("age", "share"))).n_used == 6
    assert JobTable(table, columns("union", missing="mean")).n_used == 9
    assert JobTable(table, columns("union", missing="mean", weight="share")).n_used == 8


def test_a_whole_table_is_read_without_looking_for_gaps(table: Table) -> None:
    job = JobTable(table, columns("word", "same", "town=Rome", missing="error", targets=("age",)))

    assert (job.n_used, job.n_dropped) == (10, 0)


def test_gaps_are_filled_with_what_the_used_rows_hold(table: Table) -> None:
    job = JobTable(table, columns(missing="mean"))

    X, _, _ = job.rows()

    age, town, union = job.encoding.inputs
    assert isinstance(age, NumericInput)
    assert isinstance(union, NumericInput)
    assert (age.fill, age.boolean) == (38 / 7, False)  # row 8 has no target: its 9 does not count
    assert (union.fill, union.boolean) == (0.5, True)
    assert town == CategoricalInput(name="town", levels=["Bonn", "Oslo", "Rome"], fill="Rome")
    assert len(X) == job.n_used == 9
    assert X[1].tolist() == [38 / 7, 0, 1, 0]
    assert X[2].tolist() == [3, 0, 1, 1]
    assert X[3].tolist() == [4, 0, 1, 0.5]
    assert 9 not in X[:, 0]


def test_held_out_rows_say_nothing_about_what_fills_a_gap(table: Table) -> None:
    """Used: all rows but 8, which has no target. Trained on: rows 4 to 7, the used places 4 to 7.

    Their ages are 5, none, 7, 8 and their towns Oslo, Bonn, Rome, Oslo; Rome leads in the table.
    """
    trained = np.zeros(9, dtype=bool)
    trained[4:8] = True

    job = JobTable(table, columns("age", "town", missing="mean"), split=lambda n: trained[:n])

    age, town = job.encoding.inputs
    assert isinstance(age, NumericInput)
    assert isinstance(town, CategoricalInput)
    assert age.fill == pytest.approx(20 / 3, rel=1e-15)
    assert town.fill == "Oslo"
    assert town.levels == ["Bonn", "Oslo", "Rome"]
    X, _, _ = job.rows()
    assert X[1].tolist() == [age.fill, 0.0, 1.0]
    assert X[2].tolist() == [3.0, 1.0, 0.0]


def test_a_column_that_is_empty_in_the_trained_rows_is_refused(table: Table) -> None:
    trained = np.zeros(9, dtype=bool)
    trained[[1, 5]] = True

    with pytest.raises(InvalidDataset, match="'age' is empty in all rows that are trained on"):
        JobTable(table, columns("age", missing="mean"), split=lambda n: trained[:n])


def test_weights_come_with_their_rows(table: Table) -> None:
    X, weights = joined(JobTable(table, columns("age", weight="share")).blocks())

    assert X == [[1], [3], [4], [5], [8], [10]]
    assert weights == [[1, 1, 2], [1, 2], [2]]


@pytest.mark.parametrize("missing", ["drop", "mean"])
@pytest.mark.parametrize("start", range(11))
def test_rows_from_a_place_on_are_the_last_of_all(table: Table, missing: str, start: int) -> None:
    job = JobTable(table, columns(missing=missing))
    kept = {"drop": [0, 4, 6, 7, 9], "mean": [0, 1, 2, 3, 4, 5, 6, 7, 9]}[missing]
    left = sum(row >= start for row in kept)
    whole = job.rows()[0].tolist()

    blocks = list(job.blocks(start=start))

    assert (joined(blocks)[0] if blocks else []) == (whole[-left:] if left else [])


def test_rows_from_a_place_on_of_a_whole_table(table: Table) -> None:
    job = JobTable(table, columns("town=Rome", missing="error", targets=("age",)))

    sizes = [len(Y[0]) for _, Y, _ in job.blocks(start=5)]

    assert sizes == [3, 2]


@pytest.mark.parametrize("missing", ["drop", "mean"])
def test_a_part_and_the_rest_are_the_whole(table: Table, missing: str) -> None:
    job = JobTable(table, columns(missing=missing, weight="share"))
    part = np.arange(job.n_used) % 3 == 1

    X, Y, omega = job.rows()
    chosen, rest = job.rows(part), job.rows(~part)

    for i, whole in enumerate((X, Y, omega)):
        np.testing.assert_array_equal(chosen[i], whole[part])
        np.testing.assert_array_equal(rest[i], whole[~part])


def test_a_part_of_a_whole_table(table: Table) -> None:
    job = JobTable(table, columns("word", missing="error", targets=("town=Rome",)))
    part = np.zeros(10, bool)
    part[[3, 8]] = True

    X, _, _ = job.rows(part)

    assert np.argmax(X, axis=1).tolist() == [2, 7]


def test_columns_of_numbers_are_views_of_the_file(tmp_path: Path) -> None:
    rows = np.arange(12.0)
    table = open_table(written(tmp_path / "t.arrow", {"x": rows, "y": 2 * rows}))
    job = JobTable(table, columns("x", missing="error"))

    for X, Y, _ in job.blocks():
        assert not X[0].flags.owndata
        assert not X[0].flags.writeable
        assert not Y[0].flags.owndata


def test_one_batch_is_held_at_a_time(tmp_path: Path) -> None:
    table = open_table(written(tmp_path / "t.arrow", {"x": np.arange(12.0), "y": np.arange(12.0)}))
    read: list[int] = []

    class Counted(Batch):
        def floats(self, name: str) -> Any:
            read.append(self.n_rows)
            return super().floats(name)

    for batch in table.batches:
        batch.__class__ = Counted
    blocks = JobTable(table, columns("x", missing="error")).blocks()

    next(blocks)

    assert read == [4, 4]  # x and y of the first batch, and nothing of the others


def test_rows_are_encoded_as_the_training_rows_were(table: Table, tmp_path: Path) -> None:
    encoding = JobTable(table, columns(missing="mean")).encoding
    later = {"union": [None, True], "town": [None, "Oslo"], "age": [None, 2.0], "y": [1.0, 2.0]}
    other = open_table(written(tmp_path / "later.arrow", later))

    X, _, _ = JobTable(other, columns(missing="mean"), encoding).rows()

    assert X.tolist() == [[38 / 7, 0, 1, 0.5], [2, 1, 0, 1]]


def test_a_level_of_the_validation_rows_alone_is_refused(table: Table, tmp_path: Path) -> None:
    encoding = JobTable(table, columns("town")).encoding
    later = written(tmp_path / "later.arrow", {"town": ["Rome", "Paris"], "y": [1.0, 2.0]})

    with pytest.raises(InvalidDataset, match=r"'town' .* leave those rows out") as refused:
        JobTable(open_table(later), columns("town"), encoding).rows()

    assert refused.value.param == "town"
    assert "Paris" not in refused.value.message


@pytest.mark.parametrize(
    ("asked", "says", "param"),
    [
        (columns("size"), "no column 'size'", "size"),
        (columns("age", weight="mass"), "no column 'mass'", "mass"),
        (columns("age", targets=("town",)), "'town' holds text: name a column of numbers", "town"),
        (columns("age", weight="word"), "'word' holds text", "word"),
        (
            columns("nothing", missing="mean"),
            "'nothing' is empty in all rows that are trained on",
            "nothing",
        ),
        (columns("age", "nothing"), "no row is left", None),
        (columns("same"), "text of one level", None),
        (columns("town", "town=Rome"), "features of the same name", None),
    ],
)
def test_what_cannot_be_read_is_refused(
    table: Table, asked: Columns, says: str, param: str | None
) -> None:
    with pytest.raises(InvalidDataset, match=says) as refused:
        JobTable(table, asked)

    assert refused.value.param == param


def test_text_that_is_missing_everywhere_is_refused(tmp_path: Path) -> None:
    cells = {"town": ["Rome", None], "y": [None, 1.0]}
    table = open_table(written(tmp_path / "t.arrow", cells))

    with pytest.raises(InvalidDataset, match="'town' is empty in all rows that are trained on"):
        JobTable(table, columns("town", missing="mean"))


def test_too_many_levels_and_too_many_features_are_refused(tmp_path: Path) -> None:
    n = 10_001
    cells: dict[str, Any] = {f"t{i}": [f"{k % 1000}" for k in range(n)] for i in range(11)}
    cells |= {"id": [f"{k}" for k in range(n)], "y": np.zeros(n)}
    table = open_table(written(tmp_path / "t.arrow", cells, rows=n))

    with pytest.raises(InvalidDataset, match=r"'id' has 10001 levels, at most 1000 .*leave it out"):
        JobTable(table, columns("id"))
    with pytest.raises(InvalidDataset, match="10989 features; at most 10000: leave out text"):
        JobTable(table, columns(*(f"t{i}" for i in range(11))))


def test_levels_are_the_same_however_the_rows_are_cut(tmp_path: Path) -> None:
    words = [None, "b", "a", "", "c", "b", "Ä", None, "a", "b"]
    cells = {"w": words, "y": np.arange(10.0)}
    encodings: list[Encoding] = []
    for rows in (1, 3, 10):
        path = written(tmp_path / f"{rows}.arrow", cells, rows=rows)
        encodings.append(JobTable(open_table(path), columns("w", missing="mean")).encoding)

    assert encodings[0] == encodings[1] == encodings[2]
    assert encodings[0].inputs[0] == CategoricalInput(
        name="w", levels=["", "a", "b", "c", "Ä"], fill="b"
    )


def test_integers_and_booleans_are_numbers(tmp_path: Path) -> None:
    cells = {"i": [3, -1, 2], "b": [True, False, True], "y": [1.0, 2.0, 3.0]}
    table = open_table(written(tmp_path / "t.arrow", cells))

    job = JobTable(table, columns("i", "b", missing="error"))

    assert table.kinds["i"] is ColumnType.INT64
    assert job.rows()[0].tolist() == [[3, 1], [-1, 0], [2, 1]]
    assert not job.encoding.is_plain
