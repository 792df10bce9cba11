"""CSV files as programs and people leave them: read as meant and said so, or refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from descend.datasets import ColumnType, UploadFormat
from descend.errors import InvalidDataset
from storage.arrow import open_table
from storage.ingest import Ingested, ingested_at
from storage.ingest_files import Order, ingest_file, read_file

Csv = Callable[..., Ingested]


@pytest.fixture
def csv(tmp_path: Path) -> Csv:
    def ingest(content: str | bytes, **options: object) -> Ingested:
        path, target = tmp_path / "upload.csv", tmp_path / "t.arrow"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        order = Order(path=path, target=target, format=UploadFormat.CSV, **options)  # type: ignore[arg-type]
        return ingested_at(ingest_file(order), target)

    return ingest


def table_of(ingested: Ingested) -> dict[str, list[Any]]:
    assert ingested.inline is not None
    table = open_table(ingested.inline)
    return {name: table.batches[0].first(name, 100) for name in table.names}


PLAIN = {"a": [1, 3], "b, c": [2.5, 4.5]}
ODD: list[tuple[str | bytes, dict[str, object]]] = [
    ('a,"b, c"\n1,2.5\n3,4.5\n', {}),
    ("a;b, c\n1;2.5\n3;4.5\n", {}),
    ("a\tb, c\n1\t2.5\n3\t4.5\n", {}),
    ('sep=;\na;"b, c"\n1;2.5\n3;4.5\n', {}),
    ('sep=^\na^"b, c"\n1^2.5\n3^4.5\n', {}),
    ('"sep=|"\r\na|b, c\r\n1|2.5\r\n3|4.5\r\n', {}),
    ('\n  \r\n\na,"b, c"\n1,2.5\n3,4.5\n', {}),
    ('\ufeff\n\na,"b, c"\n1,2.5\n3,4.5\n', {}),
    ('a,"b, c"\r1,2.5\r3,4.5\r', {}),
    ('a,"b,\n c"\n1,2.5\n3,4.5\n', {}),
    ('a,"b,\r\nc"\r\n1,2.5\r\n3,4.5\r\n', {}),
    ("a;b, c\r\n1;2.5\r\n3;4.5\r\n".encode("utf-16"), {}),
    ("\ufeffa;b, c\n1;2.5\n3;4.5\n".encode("utf-16-be"), {}),
    ("a;b, c\n1;2.5\n3;4.5\n".encode("utf-16-le"), {"encoding": "utf-16"}),
    ('# who\n# when\na,"b, c"\n1,2.5\n# why\n3,4.5\n', {"comment": "#"}),
    ('# who\ra,"b, c"\r1,2.5\r3,4.5\r', {"comment": "#"}),
    ('Rents\n2024, all\n\na,"b, c"\n1,2.5\n3,4.5\n', {"skip_rows": 2}),
    ('Rents,\n,\na,"b, c"\n1,2.5\n3,4.5\n', {"skip_rows": 2}),
]


@pytest.mark.parametrize(("content", "options"), ODD, ids=lambda value: repr(value)[:30])
def test_however_a_file_begins_its_table_is_read(
    csv: Csv, content: str | bytes, options: dict[str, object]
) -> None:
    found = table_of(csv(content, **options))

    assert {name.replace(",  ", ", "): cells for name, cells in found.items()} == PLAIN


@pytest.mark.parametrize(("content", "options"), ODD, ids=lambda value: repr(value)[:30])
def test_rows_of_an_odd_file_have_the_numbers_they_have_in_a_plain_one(
    csv: Csv, content: str | bytes, options: dict[str, object]
) -> None:
    text = (
        content
        if isinstance(content, str)
        else content.decode(str(options.get("encoding") or "utf-16"))
    )
    end = next(sign for sign in ("\r\n", "\n", "\r") if text.endswith(sign))
    sign = next(one for one in ";|\t^," if f"1{one}2.5" in text)
    bad = text + "".join(f"7{sign}?{end}" if i == 1 else f"7{sign}8.5{end}" for i in range(20))
    body = bad if isinstance(content, str) else bad.encode("utf-16-le" if options else "utf-16")

    with pytest.raises(InvalidDataset, match=r"row 4\b"):
        csv(body, **options)


@pytest.mark.parametrize(
    "content",
    [
        ',height,mass\n0,150,50.5\n1,153,53.5\n',
        '"","height","mass"\n"1",150,50.5\n"2",153,53.5\n',
        '"height","mass"\n"1",150,50.5\n"2",153,53.5\n',
        'height mass'.replace(" ", "\t") + '\nMazda RX4\t150\t50.5\nDatsun 710\t153\t53.5\n',
        '  ,height,mass\nx,150,50.5\ny,153,53.5\n',
    ],
)  # fmt: skip
def test_a_nameless_first_column_gets_a_name_and_is_said(csv: Csv, content: str) -> None:
    ingested = csv(content)

    columns = {column.name: column.unnamed for column in ingested.dataset.columns}
    assert columns == {"unnamed_1": True, "height": False, "mass": False}
    found = table_of(ingested)
    assert (found["height"], found["mass"]) == ([150, 153], [50.5, 53.5])
    assert any("'unnamed_1': left out of the features" in w for w in ingested.dataset.warnings)


def test_several_nameless_columns_are_numbered_and_take_no_name_that_is_there(csv: Csv) -> None:
    ingested = csv(",unnamed_1,,y\n1,2,3,4\n5,6,7,8.5\n")

    names = [column.name for column in ingested.dataset.columns]
    assert names == ["unnamed_2", "unnamed_1", "unnamed_3", "y"]


@pytest.mark.parametrize("header", ["a,b", "a,b,"])
def test_a_delimiter_behind_every_row_moves_no_column(csv: Csv, header: str) -> None:
    ingested = csv(f"{header}\n1,2.5,\n3,4.5,\n")

    found = table_of(ingested)
    assert (found["a"], found["b"]) == ([1, 3], [2.5, 4.5])
    assert ingested.dataset.columns[2].unnamed


@pytest.mark.parametrize("rows", ["1,2,3\n", "1,2,3\n1,4,5\n"])
def test_a_row_too_long_is_no_row_name_unless_each_differs(csv: Csv, rows: str) -> None:
    with pytest.raises(InvalidDataset, match="row 1 has 3 cells, the header names 2"):
        csv(f"a,b\n{rows}")


def test_a_file_without_names_is_read_as_rows_where_asked(csv: Csv) -> None:
    content = "K,0.300,7\nL,0.310,8\nM,0.320,9\n"

    taken_for_names = csv(content)
    rows = csv(content, header="absent")

    assert any("header=absent" in warning for warning in taken_for_names.dataset.warnings)
    assert table_of(rows) == {
        "column_1": ["K", "L", "M"],
        "column_2": [0.3, 0.31, 0.32],
        "column_3": [7, 8, 9],
    }
    assert rows.dataset.warnings == []


@pytest.mark.parametrize("header", ["country,1990,2000,2010", "id,1,2,3", "town,2024,price"])
def test_years_and_numbers_one_behind_the_other_are_names(csv: Csv, header: str) -> None:
    width = header.count(",")
    rows = "".join(f"x{i}" + ",7.5" * width + "\n" for i in range(3))

    warnings = csv(f"{header}\n{rows}").dataset.warnings

    assert not any("looks like data" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("content", "options", "delimiter"),
    [
        ("town;temperature, C;load\n0;10,5;1\n1;11,5;4\n", {"decimal": (",",)}, ";"),
        ("a;b\n1,5;2,5\n3,5;4,5\n", {"decimal": (",",)}, ";"),
        ('name,note\n1,"x;y"\n2,"z;w"\n', {}, ","),
        ("name\tnote, long\nA, B\t1\nC, D\t2\n", {}, "\t"),
        ("a|b\n1,5|2\n2,5|3\n", {"decimal": (",",)}, "|"),
        ("a,b;c\n1,2\n3,4\n", {}, ","),
    ],
)
def test_the_delimiter_is_what_the_rows_agree_on(
    csv: Csv, content: str, options: dict[str, object], delimiter: str
) -> None:
    assert table_of(csv(content, **options)) == table_of(
        csv(content, delimiter=delimiter, **options)
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a;b\n1;2\n3;4\n", ["the delimiter is ';', as its rows agree"]),
        ("a\tb\n1\t2\n3\t4\n", ["the delimiter is a tab, as its rows agree"]),
        ("sep=;\na;b\n1;2\n3;4\n", ["the delimiter is ';', as the line sep= says"]),
        ("sep=,\na,b\n1,2\n3,4\n", []),
        ("a,b\n1,2\n3,4\n", []),
        ("a,b\n1,2\n3,4\n".encode("utf-16"), ["the text is in UTF-16, as its first bytes say"]),
    ],
)
def test_what_was_found_of_a_file_is_said_and_whence(
    csv: Csv, content: str | bytes, said: list[str]
) -> None:
    assert csv(content).dataset.warnings == said
    named = {"encoding": "utf-16"} if isinstance(content, bytes) else {"delimiter": content[-3]}
    assert csv(content, **named).dataset.warnings == []


@pytest.mark.parametrize(
    ("content", "param", "options"),
    [
        ("1.5,2.5\n1,2\n", "header", [{"header": ["absent"]}]),
        ("# made by\na,b\n1,2\n", "comment", [{"comment": ["#"]}]),
        ("Rents\n\na,b\n1,2\n3,4\n", "skip_rows", [{"skip_rows": ["2"]}]),
        ("Rents of 2024,,\n,,\na,b,c\n1,2,3\n3,4,5\n", "skip_rows", [{"skip_rows": ["2"]}]),
        ("\nRents\na,b\n1,2\n3,4\n", "skip_rows", [{"skip_rows": ["2"]}]),
    ],
)
def test_a_first_line_that_names_nothing_is_refused_with_the_option(
    csv: Csv, content: str, param: str, options: list[dict[str, list[str]]]
) -> None:
    with pytest.raises(InvalidDataset) as refusal:
        csv(content)

    (error,) = refusal.value.errors
    assert (refusal.value.param, error.options) == (param, options)
    (option,) = options
    read = {k: int(v[0]) if k == "skip_rows" else v[0] for k, v in option.items()}
    assert csv(content, **read).dataset.n_rows >= 1


@pytest.mark.parametrize(
    ("content", "line", "likeliest"),
    [
        ("preis €,b\n1,2\n".encode("cp1252"), 1, "cp1252"),
        ("a,b\n1,2\nMüller,3\n".encode("latin-1"), 3, "cp1252"),
        ("a,b\n1,2\n".encode("utf-16-le"), 1, "utf-16"),
    ],
)
def test_another_encoding_is_refused_by_line_and_read_when_named(
    csv: Csv, content: bytes, line: int, likeliest: str
) -> None:
    with pytest.raises(InvalidDataset, match=rf"line {line} is not utf-8: send encoding") as no:
        csv(content)

    assert no.value.errors[0].options[0] == {"encoding": [likeliest]}
    assert csv(content, encoding=likeliest).dataset.n_rows == content.count(b"\n") - 1


def test_cells_parted_by_blanks_are_no_text(csv: Csv) -> None:
    with pytest.raises(InvalidDataset, match="parted by blanks") as refusal:
        csv("height mass\n150 50.5\n153  53.5\n")

    assert refusal.value.param is None  # no delimiter that can be sent would read it


@pytest.mark.parametrize("quote", ["", '"'])
def test_an_empty_cell_is_missing_in_quotes_or_not(csv: Csv, quote: str) -> None:
    def quoted(cell: str) -> str:
        return f"{quote}{cell}{quote}"

    rows = [("red", "7.5"), ("", "5"), ("blue", ""), (" ", "6")]
    text = "".join(",".join(map(quoted, row)) + "\n" for row in [("colour", "y"), *rows])

    colour, y = csv(text).dataset.columns

    assert (colour.dtype, colour.missing, colour.distinct) == ("string", 2, 2)
    assert (y.dtype, y.missing, y.mean) == ("float64", 1, 18.5 / 3)


def test_the_same_table_gives_the_same_bytes_quoted_or_not(csv: Csv) -> None:
    rows = [("colour", "y"), ("red", "7.5"), ("", "5"), ("blue", "6")]
    plain = "".join(",".join(row) + "\n" for row in rows)
    quoted = "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows)

    assert csv(plain).dataset.sha256 == csv(quoted).dataset.sha256


def test_a_file_with_row_names_is_predicted_as_one_without(csv: Csv, tmp_path: Path) -> None:
    path, target = tmp_path / "rows.csv", tmp_path / "rows.arrow"
    path.write_text('"height","mass"\n"1",150,50.5\n"2",153,53.5\n')
    wanted = {"height": ColumnType.FLOAT64}

    read_file(Order(path=path, target=target, format=UploadFormat.CSV, columns=wanted))

    assert open_table(target).batches[0].floats("height").tolist() == [150, 153]


def test_no_copy_of_a_file_is_left(csv: Csv, tmp_path: Path) -> None:
    csv(ODD[14][0], comment="#")
    with pytest.raises(InvalidDataset):
        csv("sep=;\na;b\n1\n")

    assert {path.name for path in tmp_path.iterdir()} <= {"upload.csv", "t.arrow"}
