"""Tables on their way in: exact numbers, honest types, refusals that name the place and no cell."""

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from descend.datasets import ColumnType, InlineColumns, InlineXY, UploadFormat
from descend.errors import CorruptArtefact, InvalidDataset
from descend.limits import INLINE_IN_ROW_BYTES
from storage.arrow_writer import arrow_of_floats
from storage.ingest import Ingested, JsonTable, ingested_at, read_columns
from storage.ingest_files import Order, ingest_file

SECRET = "7351731"


@pytest.fixture
def csv(tmp_path: Path):  # type: ignore[no-untyped-def]
    def ingest(content: str | bytes, **options: object) -> Ingested:
        path = tmp_path / "upload.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        target = tmp_path / "t.arrow"
        order = Order(path=path, target=target, format=UploadFormat.CSV, name="t", **options)  # type: ignore[arg-type]
        return ingested_at(ingest_file(order), target)

    return ingest


def columns_of(ingested: Ingested) -> dict[str, list[float]]:
    names = [column.name for column in ingested.dataset.columns if column.is_numeric]
    source = ingested.inline if ingested.inline is not None else ingested.path
    assert source is not None
    return {name: values.tolist() for name, values in read_columns(source, names).items()}


def test_X_and_y_become_named_columns_with_defaults() -> None:
    data = InlineXY(X=[[1.0, 2.0], [3.0, 4.0]], y=[5.0, 6.0], sample_weight=[1.0, 0.5])

    ingested = JsonTable.of(data).ingested(name="lesson")

    assert columns_of(ingested) == {
        "x0": [1, 3],
        "x1": [2, 4],
        "y": [5, 6],
        "sample_weight": [1, 0.5],
    }
    assert ingested.dataset.default_target == ["y"]
    assert ingested.dataset.default_weight == "sample_weight"
    assert (ingested.dataset.n_rows, ingested.dataset.n_columns) == (2, 4)


def test_several_targets_are_numbered() -> None:
    ingested = JsonTable.of(InlineXY(X=[[1.0], [2.0]], y=[[5.0, 6.0], [7.0, 8.0]])).ingested(
        name=None
    )

    assert ingested.dataset.default_target == ["y0", "y1"]
    assert columns_of(ingested)["y1"] == [6, 8]


def test_inline_columns_keep_their_types_and_gaps() -> None:
    data = InlineColumns(
        columns={
            "price": [1, None, 3.5],
            "sold": [True, None, False],
            "town": ["Ulm", None, "Bonn"],
            "gone": [None, None, None],
        }
    )

    ingested = JsonTable.of(data).ingested(name=None)

    price, sold, town, gone = ingested.dataset.columns
    assert [c.dtype for c in (price, sold, town, gone)] == ["float64", "bool", "string", "float64"]
    assert [c.missing for c in (price, sold, town, gone)] == [1, 1, 1, 3]
    assert (price.min, price.max, price.mean, price.std) == (1, 3.5, 2.25, 1.25)
    assert town.distinct == 2
    np.testing.assert_equal(columns_of(ingested)["price"], [1, np.nan, 3.5])
    np.testing.assert_equal(columns_of(ingested)["sold"], [1, np.nan, 0])


def test_a_column_of_mixed_cells_is_refused_by_name_and_row() -> None:
    data = InlineColumns(columns={"a": [1, 2, SECRET]})

    with pytest.raises(InvalidDataset, match=r"'a'.*row 3") as refusal:
        JsonTable.of(data).ingested(name=None)

    assert SECRET not in str(refusal.value)


def test_large_inline_data_waits_in_memory_for_a_file() -> None:
    rows = INLINE_IN_ROW_BYTES // 8
    data = InlineXY(X=[[float(i)] for i in range(rows)], y=[1.0] * rows)

    ingested = JsonTable.of(data).ingested(name=None)

    assert ingested.is_large
    assert ingested.path is None
    assert columns_of(ingested)["x0"] == list(range(rows))


def test_a_csv_becomes_typed_columns(csv) -> None:  # type: ignore[no-untyped-def]
    ingested = csv(
        'id,price,sold,town\n1,1.5,true,"Ulm, north"\n2,,FALSE,Bonn\n-3, 2e3 ,True,"a ""b"""\n'
    )

    dtypes = {column.name: column.dtype for column in ingested.dataset.columns}
    assert dtypes == {"id": "int64", "price": "float64", "sold": "bool", "town": "string"}
    np.testing.assert_equal(
        columns_of(ingested), {"id": [1, 2, -3], "price": [1.5, np.nan, 2000], "sold": [1, 0, 1]}
    )
    assert ingested.dataset.n_rows == 3
    assert ingested.inline is not None


def test_numbers_are_read_as_exactly_as_python_reads_them(csv) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(0)  # noqa: S311
    texts = [repr(rng.uniform(-1, 1) * 10.0 ** rng.randint(-320, 308)) for _ in range(5000)]
    texts += [f"{rng.random():.25e}" for _ in range(5000)]
    texts += ["5e-324", "2.2250738585072011e-308", "1.7976931348623157e308", "0.1", ".5", "5."]

    ingested = csv("x\n" + "\n".join(texts) + "\n")

    assert columns_of(ingested)["x"] == [float(text) for text in texts]


def test_decimal_commas_other_delimiters_and_words_for_nothing(csv) -> None:  # type: ignore[no-untyped-def]
    ingested = csv("a;b\n1,5;NA\n-2,5e3;7\n", delimiter=";", decimal=(",",), null_values=("NA",))

    np.testing.assert_equal(columns_of(ingested), {"a": [1.5, -2500], "b": [np.nan, 7]})


def test_points_in_a_file_with_decimal_commas_are_not_guessed_at(csv) -> None:  # type: ignore[no-untyped-def]
    text = "a;b\n1,5;1\n1.234;2\n"

    with pytest.raises(InvalidDataset, match=r"groups of three with '\.': row 2\. Send thousands"):
        csv(text, delimiter=";", decimal=(",",))

    ingested = csv(text, delimiter=";", decimal=(",",), thousands=("a:.",))
    assert columns_of(ingested)["a"] == [1.5, 1234]


def test_other_encodings_and_a_byte_order_mark_are_read(csv) -> None:  # type: ignore[no-untyped-def]
    latin = csv("größe,b\n1,2\n".encode("latin-1"), encoding="latin-1")
    marked = csv("\ufeffa,b\r\n1,2\r\n\r\n")

    assert [column.name for column in latin.dataset.columns] == ["größe", "b"]
    assert columns_of(marked) == {"a": [1], "b": [2]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("first", ["x^2", "x^", "x"])
def test_a_header_that_begins_like_a_compressed_file_is_a_header(  # type: ignore[no-untyped-def]
    csv, first: str, encoding: str
) -> None:
    bytes_ = f"{first},y\n1,2\n3,4.5\n".encode(encoding)

    assert columns_of(csv(bytes_, encoding=encoding)) == {first: [1, 3], "y": [2, 4.5]}


NO_NUMBERS = ("1_0", "inf", "1e999", "0x1f", "1e", "--1", "1 2", "1,5 3", "\u0661", f"{SECRET}x")


@pytest.mark.parametrize("cell", NO_NUMBERS)
@pytest.mark.parametrize("head", [0, 6000], ids=["in the head", "far down"])
def test_a_bad_cell_is_refused_by_row_and_column(csv, cell: str, head: int) -> None:  # type: ignore[no-untyped-def]
    rows = "1,1\n2,2.5\n" + "3,4\n" * head

    with pytest.raises(
        InvalidDataset, match=rf"'b' holds numbers, but 1 .*: row {head + 3}\."
    ) as no:
        csv(f'a,b\n{rows}3,"{cell}"\n')

    assert no.value.param == "b"
    assert SECRET not in str(no.value)
    assert csv(f'a,b\n{rows}3,"{cell}"\n', text=("b",)).dataset.columns[1].dtype == "string"


def test_the_first_bad_rows_are_named_and_counted(csv) -> None:  # type: ignore[no-untyped-def]
    rows = [f"{i}.5" if i % 15 else "?" for i in range(1, 201)]

    with pytest.raises(
        InvalidDataset, match=r"13 of its 200 cells are .*: rows 15, 30, 45, 60, 75\."
    ):
        csv("a\n" + "\n".join(rows) + "\n")


def test_infinity_is_refused_however_often_it_comes(csv) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidDataset, match=r"'a' .* 2 of its 4 cells .*: rows 2, 3\."):
        csv("a,b\n1,x\n-Infinity,x\n1e999,y\n4,z\n")


def test_a_column_of_both_is_text_with_a_warning(csv) -> None:  # type: ignore[no-untyped-def]
    tickets = ["347082", "A/5 21171", "113803", "PC 17599", "373450"]

    ingested = csv("ticket,paid\n" + "\n".join(f"{t},1.5" for t in tickets) + "\n")

    assert ingested.dataset.columns[0].dtype is ColumnType.STRING
    assert ingested.dataset.warnings[0] == (
        "column 'ticket' is text: 2 of its 5 cells are no numbers, the first in row 2"
    )


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_delimiter_is_found_and_said(csv, delimiter: str) -> None:  # type: ignore[no-untyped-def]
    ingested = csv(f'"a, b"{delimiter}"c"\n1{delimiter}2.5\n')

    assert columns_of(ingested) == {"a, b": [1], "c": [2.5]}
    named = "a tab" if delimiter == "\t" else repr(delimiter)
    assert ingested.dataset.warnings == [f"the delimiter is {named}, as its rows agree"]


def test_numbers_with_decimal_commas_are_never_taken_for_text(csv) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        InvalidDataset, match=r"'b' holds numbers written with a comma: .*decimal=,"
    ):
        csv("a;b\n1;1,5\n2;7\n3;-2,25\n")


@pytest.mark.parametrize("head", [0, 6000], ids=["in the head", "far down"])
def test_the_usual_words_for_nothing_are_missing(csv, head: int) -> None:  # type: ignore[no-untyped-def]
    words = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "-", " NA "]
    rows = ["1.5,x"] * head + [f"{word},{word}" for word in words] + ["2.5,y"]

    number, text = csv("a,b\n" + "\n".join(rows) + "\n").dataset.columns

    assert (number.dtype, number.missing) == ("float64", len(words))
    assert (text.dtype, text.missing) == ("string", len(words))


def test_words_that_were_not_given_are_no_words_for_nothing(csv) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidDataset, match="row 3"):
        csv("a\n1\n?\nnan\n4\n5\n", null_values=("?",))


@pytest.mark.parametrize(
    ("odd", "kinds"),
    [
        ("2.5,,,", ["float64", "float64", "bool"]),
        (",town,,", ["int64", "string", "bool"]),
        (",,, 9007199254740993 ", ["int64", "float64", "bool"]),
    ],
)
def test_what_a_column_is_never_depends_on_its_first_rows(csv, odd: str, kinds: list[str]) -> None:  # type: ignore[no-untyped-def]
    head = "\n".join(["1,,true,7"] * 6000)

    columns = csv(f"a,b,c,d\n{head}\n{odd}\n").dataset.columns

    assert [column.dtype for column in columns] == [*kinds, "int64"]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (b"", "first line must name"),
        (b"\n", "first line must name"),
        (b"a,b\n", "no rows"),
        (b"a,a\n1,2\n", "columns 1 and 2 have the same name"),
        (b"1,2\n3,4\n", "first line holds numbers"),
        (b"a" * 201 + b",b\n1,2\n", "name of column 1 is longer"),
        (b"a,b\n1,2\n7351731\n", "row 2 has 1 cells, the header names 2"),
        (b"a,b\n1,2\n7351731,2,3\n", "row 2 has 3 cells, the header names 2"),
        (b'a,b\n"1",2\n7351731\n', "row 2 has 1 cells, the header names 2"),
        (b"a,b\n1,2\n\n7351731,4\n", "line 3 is empty"),
        (b'a,b\n"1",2\n\n7351731,4\n', "line 3 is empty"),
        (b"a,b\n1,2\n7351731,\xff\n", "line 3 is not utf-8"),
        (b"a,b\n1,2\n7351731,\x00\n", "line 3 has a NUL"),
        (b'a,b\n1,"7351731\n', "row 1 cannot be read"),
        (b'a,b\n7351731"x,2\n', "cannot be"),
        (b'a,b\n"7351731"x,2\n', "row 1 cannot be read"),
    ],
)
def test_a_bad_csv_is_refused_by_its_place_and_never_by_its_cells(
    csv,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    text: bytes,
    refusal: str,
) -> None:
    with pytest.raises(InvalidDataset, match=refusal) as refused:
        csv(text)

    assert SECRET not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["upload.csv"]


def test_a_large_csv_is_a_file_that_is_always_the_same(csv, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    X = np.random.default_rng(0).random((50_000, 3))
    lines = "\n".join(",".join(map(repr, row)) for row in X.tolist())

    first = csv(f"a,b,c\n{lines}\n")
    again = csv(f"a,b,c\n{lines}\n")

    assert first.path == tmp_path / "t.arrow"
    assert first.dataset.sha256 == again.dataset.sha256
    assert columns_of(first)["b"] == X[:, 1].tolist()


def test_blank_lines_in_a_table_of_one_column_are_missing_cells(csv) -> None:  # type: ignore[no-untyped-def]
    np.testing.assert_equal(columns_of(csv("a\n1\n\n3\n")), {"a": [1, np.nan, 3]})


def test_columns_that_surprise_are_warned_about(csv) -> None:  # type: ignore[no-untyped-def]
    ingested = csv("a,b,c,d\n1,,1,9007199254740993\n1,,,2\n")

    assert ingested.dataset.warnings == [
        "column 'a' is constant",
        "column 'b' is empty",
        "column 'c' has 1 missing cell",
        "column 'd' has integers that float64 cannot hold exactly",
    ]


@pytest.mark.parametrize(
    "data",
    [
        InlineXY(X=[[2**53 + 1], [2]], y=[1, 3]),
        InlineColumns(columns={"x0": [2**53 + 1, 2], "y": [1.5, 3]}),
    ],
)
@pytest.mark.parametrize("brief", [True, False])
def test_integers_in_a_request_that_float64_cannot_hold_are_told(
    data: InlineXY | InlineColumns, *, brief: bool
) -> None:
    told = JsonTable.of(data).ingested(name=None, brief=brief).dataset.warnings

    assert any(
        "column 'x0' has numbers beyond 2^53: float64 keeps 16 digits" in one for one in told
    )
    assert not any("'y' has numbers" in one for one in told)


def test_the_canonical_file_is_one_that_other_tools_read() -> None:
    ingested = JsonTable.of(InlineXY(X=[[1.0], [2.0]], y=[3.0, 4.0])).ingested(name=None)
    assert ingested.inline is not None

    frame = pl.read_ipc(ingested.inline)

    assert frame.to_dict(as_series=False) == {"x0": [1, 2], "y": [3, 4]}


def test_the_reader_agrees_with_polars_on_every_type_and_any_batches(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "f": [None if i % 7 == 0 else v for i, v in enumerate(rng.random(1000))],
            "i": rng.integers(-(2**40), 2**40, 1000),
            "text": [str(i) for i in range(1000)],
            "b": [None if i % 5 == 0 else bool(i % 2) for i in range(1000)],
            "full": rng.random(1000),
        }
    )
    path = tmp_path / "t.arrow"
    frame.write_ipc(path, compat_level=pl.CompatLevel.oldest(), record_batch_size=333)

    read = read_columns(path, ["full", "b", "i", "f"])

    assert list(read) == ["full", "b", "i", "f"]
    for name, values in read.items():
        np.testing.assert_array_equal(values, frame[name].cast(pl.Float64).to_numpy())


def test_a_column_of_one_batch_is_a_view_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    pl.DataFrame({"x": np.arange(1000.0)}).write_ipc(path, compat_level=pl.CompatLevel.oldest())

    values = read_columns(path, ["x"])["x"]

    assert not values.flags.owndata
    assert not values.flags.writeable


def test_columns_that_are_not_numbers_or_not_there_are_refused() -> None:
    ingested = JsonTable.of(InlineColumns(columns={"a": [1.0], "town": ["Ulm"]})).ingested(
        name=None
    )
    assert ingested.inline is not None

    for name in ("town", "b"):
        with pytest.raises(InvalidDataset, match=name):
            read_columns(ingested.inline, [name])


def test_a_file_that_is_cut_or_changed_is_corrupt() -> None:
    content = JsonTable.of(InlineXY(X=[[1.0], [2.0]], y=[3.0, 4.0])).ingested(name=None).inline
    assert content is not None
    for broken in (b"", b"ARROW1", content[:-20], content[: len(content) // 2] + content[-6:]):
        with pytest.raises(CorruptArtefact):
            read_columns(broken, ["x0"])


@pytest.mark.parametrize("n_rows", [1, 2, 8, 50, 1001])
@pytest.mark.parametrize("n_columns", [1, 2, 3, 50])
def test_what_is_written_without_polars_polars_reads(n_rows: int, n_columns: int) -> None:
    rng = np.random.default_rng(n_rows * n_columns)
    columns = {f"{'ü' * (j % 5)}{j}": rng.random(n_rows) for j in range(n_columns)}
    columns["0"][0] = np.nan

    content = arrow_of_floats(columns)

    frame, read = pl.read_ipc(content), read_columns(content, list(columns))
    assert frame.null_count().sum_horizontal().to_list() == [1]
    for name, values in columns.items():
        np.testing.assert_array_equal(frame[name].to_numpy(), values)
        np.testing.assert_array_equal(read[name], values)


@pytest.mark.parametrize("head", [0, 6000])
def test_leading_zeros_that_are_lost_are_told(csv, head: int) -> None:  # type: ignore[no-untyped-def]
    rows = "7,0.5,1,0\n" * head + "8,00.5,-07,0\n9,0.25,2,0\n"

    warnings = csv(f"zip,share,place,none\n{rows}").dataset.warnings

    told = [one for one in warnings if "begin with 0" in one]
    assert len(told) == 1
    assert told[0].startswith("column 'place' has whole numbers that begin with 0")
    assert told[0].endswith("text=place keeps them")
    kept = csv(f"zip,share,place,none\n{rows}", text=("place",)).dataset.warnings
    assert not any("begin with 0" in one for one in kept)
