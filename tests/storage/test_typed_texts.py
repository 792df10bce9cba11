"""Text in tables that have types: the rule of a CSV's columns of text, whatever the format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from descend.datasets import Dataset, InlineColumns, InlineRecords, UploadFormat
from descend.errors import InvalidDataset, InvalidInput
from descend.field_errors import FieldError
from storage.ingest import JsonTable
from storage.ingest_files import Order, ingest_file, read_file

Cells = dict[str, list[Any]]
Write = Callable[[Cells, Path], dict[str, Any]]


def lines_of(cells: Cells) -> list[dict[str, Any]]:
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def as_parquet(cells: Cells, path: Path) -> dict[str, Any]:
    pl.DataFrame(cells).write_parquet(path)
    return {"format": UploadFormat.PARQUET}


def as_arrow(cells: Cells, path: Path) -> dict[str, Any]:
    pl.DataFrame(cells).write_ipc(path)
    return {"format": UploadFormat.ARROW_FILE}


def as_stream(cells: Cells, path: Path) -> dict[str, Any]:
    pl.DataFrame(cells).write_ipc_stream(path)
    return {"format": UploadFormat.ARROW_STREAM}


def as_ndjson(cells: Cells, path: Path) -> dict[str, Any]:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in lines_of(cells)))
    return {"format": UploadFormat.NDJSON}


def as_columns(cells: Cells, path: Path) -> dict[str, Any]:
    return as_json(JsonTable.of(InlineColumns(columns=cells)), path)


def as_records(cells: Cells, path: Path) -> dict[str, Any]:
    return as_json(JsonTable.of(InlineRecords(lines_of(cells))), path)


def as_json(table: JsonTable, path: Path) -> dict[str, Any]:
    path.write_bytes(table.content)
    return {"format": UploadFormat.JSON, "unreadable": table.unreadable}


FORMATS: list[Write] = [as_parquet, as_arrow, as_stream, as_ndjson, as_columns, as_records]
OF_JSON: list[Write] = [as_ndjson, as_columns, as_records]
every_format = pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__[3:])
every_json = pytest.mark.parametrize("write", OF_JSON, ids=lambda write: write.__name__[3:])


class Tables:
    """Writes tables, and reads them as uploads, as rows below others, or for a model."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "canonical.arrow"
        self.path = folder / "upload"

    def order(self, write: Write, cells: Cells, **options: Any) -> Order:
        return Order(path=self.path, target=self.target, **write(cells, self.path), **options)

    def ingested(self, write: Write, cells: Cells, **options: Any) -> Dataset:
        return ingest_file(self.order(write, cells, **options))

    def refused(self, write: Write, cells: Cells, **options: Any) -> tuple[FieldError, ...]:
        with pytest.raises(InvalidDataset) as refusal:
            self.ingested(write, cells, **options)
        self.told = str(refusal.value)
        return refusal.value.errors

    def column(self, name: str) -> list[Any]:
        return pl.read_ipc(self.target.read_bytes())[name].to_list()


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


def with_y(cells: list[Any]) -> Cells:
    return {"x": cells, "y": [float(i) for i in range(len(cells))]}


# Cells, what they are, and the options that a refusal must name first.
WRITTEN = [
    (["$1,250", "$900", "-$7.5"], [1250, 900, -7.5], {"thousands": ["x:,"], "strip": ["x:$"]}),
    (["12 %", "13.5 %", "8 %"], [12, 13.5, 8], {"strip": ["x:%"]}),
    (["1.234,5", "2.000,25", "7"], [1234.5, 2000.25, 7], {"thousands": ["x:."]}),
    (["12,5", "13,25", "7"], [12.5, 13.25, 7], {"decimal": ["x:,"]}),
    (["1 234,5", "2 000", "3"], [1234.5, 2000, 3], {"thousands": ["x: "], "decimal": ["x:,"]}),
    (["12.5", "13", "-7e2"], [12.5, 13, -700], {"decimal": ["x:."]}),
    (["12", "13", "-7"], [12, 13, -7], {"decimal": ["x:."]}),
]


@every_format
@pytest.mark.parametrize(("cells", "numbers", "options"), WRITTEN, ids=lambda v: str(v)[:12])
def test_numbers_in_text_are_refused_with_the_options_that_read_them(
    tables: Tables,
    write: Write,
    cells: list[str],
    numbers: list[float],
    options: dict[str, list[str]],
) -> None:
    (error,) = tables.refused(write, with_y(cells))

    assert (error.column, error.param, error.code) == ("x", "x", "written_numbers")
    assert error.options[0] == options
    assert error.options[-1] == {"text": ["x"]}
    assert not any(cell in tables.told for cell in cells if len(cell) > 3)
    sent = {name: tuple(values) for name, values in options.items()}
    assert tables.ingested(write, with_y(cells), **sent).column("x").is_numeric
    assert tables.column("x") == numbers
    assert tables.column("y") == [0, 1, 2]
    assert not tables.ingested(write, with_y(cells), text=("x",)).column("x").is_numeric
    assert tables.column("x") == cells


@every_format
def test_what_is_said_of_all_columns_reads_those_of_numbers_alone(
    tables: Tables, write: Write
) -> None:
    cells: Cells = {
        "price": ["1.5", "2.5", "3.5"],
        "count": ["1", "2", "3"],
        "town": ["Ulm", "Bonn", "Ulm"],
        "flag": ["true", "false", "true"],
    }

    dataset = tables.ingested(write, cells, decimal=(".",))

    kinds = {one.name: one.dtype.value for one in dataset.columns}
    assert kinds == {"price": "float64", "count": "int64", "town": "string", "flag": "string"}
    told = (
        "column 'flag' is text, though its cells are true and false: each distinct one is a level"
    )
    assert told in dataset.warnings


@every_format
def test_all_columns_come_in_one_refusal_whose_options_read_them_together(
    tables: Tables, write: Write
) -> None:
    cells: Cells = {
        "rent": ["$1,250", "$900", "$875"],
        "size": ["12,5", "80", "75,25"],
        "age": ["12.5", "80", "75.25"],
        "zip": ["01067", "10115", "80331"],
        "y": [1.0, 2.0, 3.0],
    }

    errors = tables.refused(write, cells)

    assert [error.column for error in errors] == ["rent", "size", "age", "zip"]
    sent: dict[str, tuple[str, ...]] = {}
    for error in errors:
        for name, values in error.options[0].items():
            sent[name] = (*sent.get(name, ()), *values)
    tables.ingested(write, cells, **sent)
    assert tables.column("rent") == [1250, 900, 875]
    assert tables.column("size") == [12.5, 80, 75.25]
    assert tables.column("age") == [12.5, 80, 75.25]
    assert tables.column("zip") == ["01067", "10115", "80331"]


@every_format
def test_zeros_before_a_number_are_kept_as_text_first_or_lost_with_a_warning(
    tables: Tables, write: Write
) -> None:
    cells = with_y(["01067", "10115", "80331"])

    (error,) = tables.refused(write, cells)
    dataset = tables.ingested(write, cells, decimal=("x:.",))

    assert error.options == [{"text": ["x"]}, {"decimal": ["x:."]}]
    assert "1 of them with a 0 before" in error.message
    assert tables.column("x") == [1067, 10115, 80331]
    assert any("begin with 0: the zeros are lost; text=x" in told for told in dataset.warnings)


@every_format
def test_digits_that_float64_cannot_keep_are_told_when_they_are_read(
    tables: Tables, write: Write
) -> None:
    for cells, told in (
        (["12345678901234567890", "2", "3"], "numbers beyond 2^53"),
        (["9007199254740993", "2", "3"], "integers that float64 cannot hold exactly"),
    ):
        dataset = tables.ingested(write, with_y(cells), decimal=("x:.",))

        assert any(told in warning and "'x'" in warning for warning in dataset.warnings)


@every_format
def test_one_other_cell_is_refused_by_its_row_among_booleans_numbers_and_dates(
    tables: Tables, write: Write
) -> None:
    for cells, message in (
        (["true", "false", "unknown", "true"], "true and false, but 1 of its 4 cells is neither"),
        (["12.5", "13", "n.v.", "14"], "numbers, but 1 of its 4 cells is no finite number"),
        (["2024-12-31", "2025-01-01", "soon", "2025-01-03"], "but 1 of its 4 cells is none"),
    ):
        (error,) = tables.refused(write, with_y(cells))

        assert message in error.message
        assert error.rows == [3]
        assert "delimiter" not in tables.told
        assert {"text": ["x"]} in error.options


@every_format
def test_words_for_nothing_and_blanks_are_missing_where_text_is_read_and_text_elsewhere(
    tables: Tables, write: Write
) -> None:
    cells = {"x": [" 12.5", "NA", "", "13 ", None], "town": ["Ulm", "NA", "", "Bonn", None]}

    tables.ingested(write, cells, decimal=("x:.",))

    assert tables.column("x") == [12.5, None, None, 13, None]
    assert tables.column("town") == cells["town"]
    tables.ingested(
        write, {"x": ["1", "?", "2"], "y": [1, 2, 3]}, decimal=(".",), null_values=("?",)
    )
    assert tables.column("x") == [1, None, 2]


@every_format
def test_dates_in_text_are_refused_and_made_numbers_when_asked(
    tables: Tables, write: Write
) -> None:
    cells = with_y(["2024-12-31", None, "2025-01-02T12:00"])

    (error,) = tables.refused(write, cells)
    tables.ingested(write, cells, dates=("x:days",))

    assert error.code == "dates"
    assert error.options[0] == {"dates": ["x:days"]}
    assert tables.column("x [days since 2024-12-31]") == [0, None, 2.5]
    later = {"x [days since 2024-12-30]": None}
    read_file(tables.order(write, cells, columns=later))
    assert tables.column("x [days since 2024-12-30]") == [1, None, 3.5]


@every_format
def test_columns_that_nobody_needs_are_kept_as_text_and_said(tables: Tables, write: Write) -> None:
    cells = with_y(["$1,250", "$900", "$875"])
    cells["z"] = ["12.5", "13", "14"]

    for options in ({"needed": ("y", "z")}, {"exclude": ("x",)}):
        dataset = tables.ingested(write, cells, decimal=("z:.",), **options)

        assert tables.column("x") == cells["x"]
        assert any("'x'" in told and "kept as text" in told for told in dataset.warnings)
        assert [one.column for one in tables.refused(write, cells, **options)] == ["z"]


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["1", "2", "3"])], ids=str)
@pytest.mark.parametrize("write", FORMATS[:3], ids=lambda write: write.__name__[3:])
def test_what_is_declared_a_category_is_one_whatever_its_levels_say(
    tables: Tables, write: Write, dtype: Any
) -> None:
    zone = pl.Series(["1", "2", "3"], dtype=dtype)

    dataset = tables.ingested(write, {"zone": zone, "y": [1.0, 2.0, 3.0]})  # type: ignore[dict-item]
    assert tables.column("zone") == ["1", "2", "3"]
    assert not any("zone" in told for told in dataset.warnings)
    tables.ingested(write, {"zone": zone, "y": [1.0, 2.0, 3.0]}, decimal=(".",))  # type: ignore[dict-item]
    assert tables.column("zone") == ["1", "2", "3"]


@pytest.mark.parametrize("write", FORMATS[:4], ids=lambda write: write.__name__[3:])
def test_whole_numbers_are_kept_as_text_when_asked_and_fractions_are_not(
    tables: Tables, write: Write
) -> None:
    dataset = tables.ingested(write, {"zone": [1, 2, 3], "y": [1.5, 2.0, 3.0]}, text=("zone", "y"))

    assert tables.column("zone") == ["1", "2", "3"]
    assert tables.column("y") == [1.5, 2.0, 3.0]
    assert "column 'y' is float64: it is not kept as text" in dataset.warnings


@every_format
def test_options_name_columns_and_values_that_there_are(tables: Tables, write: Write) -> None:
    cells = with_y(["12.5", "13", "14"])
    for options, param in (
        ({"decimal": ("x:;",)}, "decimal"),
        ({"decimal": ("nosuch:.",)}, "decimal"),
        ({"thousands": ("x:_",)}, "thousands"),
        ({"decimal": ("x:.",), "thousands": ("x:.",)}, "thousands"),
        ({"strip": ("x:1",)}, "strip"),
        ({"text": ("nosuch",)}, "nosuch"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            tables.ingested(write, cells, **options)

        assert refusal.value.param == param


# -- rows that come below others, or are to be predicted ------------------------------------------


@every_format
def test_rows_below_a_table_are_read_as_its_columns_are(
    tables: Tables, write: Write, tmp_path: Path
) -> None:
    parent = tmp_path / "parent.arrow"
    tables.ingested(write, {"rent": ["$1,250", "$900", "$8"], "zone": ["1", "2", "1"]},
                    thousands=("rent:,",), strip=("rent:$",), text=("zone",))  # fmt: skip
    tables.target.rename(parent)
    below: Cells = {"rent": ["$1,000", None], "zone": ["3", "01"]}

    (error,) = tables.refused(write, below, parent=parent)
    tables.ingested(write, below, parent=parent, thousands=("rent:,",), strip=("rent:$",))

    assert error.options[0] == {"thousands": ["rent:,"], "strip": ["rent:$"]}
    assert {"text": ["rent"]} not in error.options
    assert tables.column("rent") == [1250, 900, 8, 1000, None]
    assert tables.column("zone") == ["1", "2", "1", "3", "01"]
    bad = tables.refused(write, {"rent": ["$1", "cheap"], "zone": ["1", "2"]}, parent=parent,
                         strip=("$",))  # fmt: skip
    assert (bad[0].column, bad[0].code, bad[0].rows) == ("rent", "not_of_type", [2])


@every_format
def test_a_model_takes_text_as_numbers_only_when_told_how_it_is_written(
    tables: Tables, write: Write
) -> None:
    cells: Cells = {"rent": ["$1,250", "$900"], "zone": ["1", "2"], "spare": ["$1", "$2"]}
    wanted: Any = {"rent": "float64", "zone": "string"}

    with pytest.raises(InvalidDataset, match="strip=rent:\\$") as refusal:
        read_file(tables.order(write, cells, columns=wanted))
    options: Any = {"thousands": ("rent:,",), "strip": ("rent:$",)}
    read_file(tables.order(write, cells, columns=wanted, **options))

    assert refusal.value.param == "rent"
    assert pl.read_ipc(tables.target.read_bytes()).to_dict(as_series=False) == {
        "rent": [1250.0, 900.0],
        "zone": ["1", "2"],
    }


# -- lists and objects ----------------------------------------------------------------------------


@every_json
def test_columns_of_lists_and_objects_stay_out_and_are_told(tables: Tables, write: Write) -> None:
    cells: Cells = {
        "x": [1, 2, 3],
        "tags": [["a"], None, []],
        "place": [None, {"lat": 1}, {}],
        "late": [1, 2, [3]],
    }

    dataset = tables.ingested(write, cells)

    kinds = {one.name: one.type for one in dataset.unreadable}
    assert kinds == {"tags": "list", "place": "struct", "late": "list"}
    assert [one.name for one in dataset.columns] == ["x"]
    assert tables.column("x") == [1, 2, 3]
    assert all(any(f"not kept: column {n!r}" in told for told in dataset.warnings) for n in kinds)


@pytest.mark.parametrize("name", ["tags", "place"])
def test_lines_are_read_for_a_model_that_does_not_name_what_cannot_be_read(
    tables: Tables, name: str
) -> None:
    cells: Cells = {"x": [1, 2], "tags": [["a"], None], "place": [None, {"lat": 1}]}

    read_file(tables.order(as_ndjson, cells, columns={"x": None}))
    assert tables.column("x") == [1, 2]
    with pytest.raises(InvalidDataset, match=f"{name!r} holds (list|struct) values"):
        read_file(tables.order(as_ndjson, cells, columns={"x": None, name: None}))


@every_json
def test_a_table_of_nothing_else_is_refused_by_its_first_column(
    tables: Tables, write: Write
) -> None:
    with pytest.raises(InvalidDataset, match="'tags' holds list values") as refusal:
        tables.ingested(write, {"tags": [["a"], []], "place": [{}, {}]})

    assert refusal.value.param == "tags"
