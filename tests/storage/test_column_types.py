"""Columns of types that cannot be trained on, in files where somebody asks for the others."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from descend.datasets import Dataset, UploadFormat
from descend.errors import InvalidDataset
from storage.arrow_schema import ArrowSchema, schema_of_message
from storage.ingest_files import Order, ingest_file, read_file

FILES = Path(__file__).parent / "arrow_files"
FORMATS = {
    "every_type.parquet": UploadFormat.PARQUET,
    "every_type.arrow": UploadFormat.ARROW_FILE,
    "every_type.arrows": UploadFormat.ARROW_STREAM,
}
UNREADABLE = {
    "when": "timestamp", "day": "date", "clock": "time", "took": "duration", "id": "uuid",
    "raw": "binary", "tags": "list", "place": "struct", "month": "date",
}  # fmt: skip
OF_ARROW = {
    "wide": "decimal256", "either": "union", "runs": "run-end encoded", "span": "interval",
    "pairs": "map",
}  # fmt: skip


def ordered(name: str, folder: Path, **options: Any) -> Order:
    target = folder / "canonical.arrow"
    return Order(path=FILES / name, target=target, format=FORMATS[name], **options)


def ingested(name: str, folder: Path, **options: Any) -> Dataset:
    return ingest_file(ordered(name, folder, **options))


@pytest.mark.parametrize("name", FORMATS)
def test_columns_that_cannot_be_read_are_told_and_the_others_read(
    tmp_path: Path, name: str
) -> None:
    dataset = ingested(name, tmp_path)

    of_arrow = {} if name.endswith("parquet") else OF_ARROW
    assert {one.name: one.type for one in dataset.unreadable} == UNREADABLE | of_arrow
    kinds = {one.name: one.dtype.value for one in dataset.columns}
    assert kinds == {
        "x": "float64", "zone": "string", "flag": "string", "unnamed_1": "int64", "y": "float64"
    }  # fmt: skip
    told = " ".join(dataset.warnings)
    assert all(f"not kept: column {one!r} holds" in told for one in UNREADABLE)


@pytest.mark.parametrize("name", FORMATS)
def test_a_category_of_numbers_is_a_category_of_texts_and_said(tmp_path: Path, name: str) -> None:
    dataset = ingested(name, tmp_path)

    frame = pl.read_ipc((tmp_path / "canonical.arrow").read_bytes())
    assert frame["zone"].to_list() == ["1", "2", "1", "3"]
    assert frame["flag"].to_list() == ["false", "true", "true", "false"]
    assert "column 'zone' is a category: its values are levels, no numbers" in dataset.warnings


@pytest.mark.parametrize("name", FORMATS)
def test_an_index_of_pandas_has_a_name_and_is_told(tmp_path: Path, name: str) -> None:
    dataset = ingested(name, tmp_path)

    assert [one.name for one in dataset.columns if one.unnamed] == ["unnamed_1"]
    assert any("names no column 'unnamed_1'" in one for one in dataset.warnings)
    frame = pl.read_ipc((tmp_path / "canonical.arrow").read_bytes())
    assert frame["unnamed_1"].to_list() == [10, 20, 30, 40]


def test_a_nameless_index_takes_no_name_that_there_is(tmp_path: Path) -> None:
    path = tmp_path / "named.parquet"
    pl.DataFrame({"__index_level_0__": [1], "unnamed_1": [2.0]}).write_parquet(path)

    dataset = ingest_file(
        Order(path=path, target=tmp_path / "c.arrow", format=UploadFormat.PARQUET)
    )

    assert {one.name: one.unnamed for one in dataset.columns} == {
        "unnamed_2": True,
        "unnamed_1": False,
    }


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("column", "kind"), UNREADABLE.items())
def test_who_asks_for_such_a_column_is_told_its_type_and_what_it_can_become(
    tmp_path: Path, name: str, column: str, kind: str
) -> None:
    order = ordered(name, tmp_path, columns={"x": None, column: None})

    with pytest.raises(InvalidDataset, match=f"'{column}' holds {kind} .*make") as refused:
        read_file(order)

    assert refused.value.param == column
    read_file(ordered(name, tmp_path, columns={"x": None, "zone": None}))
    assert pl.read_ipc((tmp_path / "canonical.arrow").read_bytes()).columns == ["x", "zone"]


def test_a_file_of_nothing_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dates.parquet"
    pl.DataFrame({"tags": [[1]], "more": [[2]]}).write_parquet(path)

    with pytest.raises(InvalidDataset, match="'tags' holds list values"):
        ingest_file(Order(path=path, target=tmp_path / "c.arrow", format=UploadFormat.PARQUET))


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_are_made_of_dates_and_timestamps_when_asked(tmp_path: Path, name: str) -> None:
    dataset = ingested(name, tmp_path, dates=("when:days", "day:year", "day:weekday"))

    assert {"when", "day"}.isdisjoint(one.name for one in dataset.unreadable)
    frame = pl.read_ipc((tmp_path / "canonical.arrow").read_bytes())
    assert frame["when [days since 2020-01-01]"].to_list() == [0.0, 1.0, 2.0, 3.0]
    assert frame["day [year]"].to_list() == [2020] * 4
    assert frame["day [weekday]"].to_list() == [3, 4, 5, 6]
    assert "column 'day' is dates: made 'day [year]'" in dataset.warnings
    wanted = {"x": None, "when [days since 2019-12-31]": None}
    read_file(ordered(name, tmp_path, columns=wanted))
    later = pl.read_ipc((tmp_path / "canonical.arrow").read_bytes())
    assert later.to_dict(as_series=False) == {
        "x": [1.0, 2.0, 3.0, 4.0],
        "when [days since 2019-12-31]": [1.0, 2.0, 3.0, 4.0],
    }


def test_dates_for_all_columns_are_made_of_dates_in_text_too(tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    texts = {"day": ["2024-02-01", None, "2024-03-01T12:00"], "town": ["a", "b", "c"]}
    pl.DataFrame(texts | {"y": [1.0, 2.0, 3.0]}).write_parquet(path)
    order = Order(
        path=path, target=tmp_path / "c.arrow", format=UploadFormat.PARQUET, dates=("days",)
    )

    dataset = ingest_file(order)

    assert [one.name for one in dataset.columns] == ["town", "y", "day [days since 2024-02-01]"]
    frame = pl.read_ipc((tmp_path / "c.arrow").read_bytes())
    assert frame["day [days since 2024-02-01]"].to_list() == [0.0, None, 29.5]
    for wrong in ("y:days", "town:days"):
        with pytest.raises(InvalidDataset, match="dates"):
            ingest_file(order.model_copy(update={"dates": (wrong,)}))


@pytest.mark.parametrize(
    "torn", [b"", b"AAAA", b"/////wAAAAA=", b"!!!!", b64encode(b"\xff" * 64), b64encode(bytes(64))]
)
def test_a_torn_schema_of_arrow_in_a_parquet_footer_says_nothing(torn: bytes) -> None:
    assert schema_of_message(torn) == ArrowSchema()
