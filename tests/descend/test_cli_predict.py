"""`descend predict` reads a file as the upload did, whatever its size; it writes all or nothing."""

import gzip
import json
import re
import shlex
from pathlib import Path

import pytest

from descend.commands.pieces import pieces
from tests.descend.conftest import Command

ODD = "area;place;price\n1,5;NA;10,5\n2,5;DE;12\n-999;NA;11\n4,5;DE;16\n3,5;NA;14,5\n"
READING = ("--decimal", ",", "--null-values=-999")


def trained(descend: Command, table: str, *options: str) -> str:
    ended = descend("train", "-", "--optimizer", "exact", "--json", *options, stdin=table)
    assert ended.code == 0, ended.err
    return str(json.loads(ended.out)["model_id"])


@pytest.fixture
def model_id(descend: Command) -> str:
    """Of decimal commas, a level named NA, and -999 for a missing cell."""
    return trained(descend, ODD, "--target", "price", "--missing", "mean", *READING)


@pytest.fixture
def cars(descend: Command, folder: Path) -> str:
    return trained(descend, (folder / "cars.csv").read_text(), "--target", "mpg")


def test_a_file_is_read_as_the_upload_was(descend: Command, model_id: str) -> None:
    gap = descend("predict", model_id, "-", *READING, stdin="area;place\n-999;NA\n")
    mean = descend("predict", model_id, "-", *READING, stdin="area;place\n3;NA\n")

    assert (gap.code, mean.code) == (0, 0), gap.err
    assert gap.out == mean.out  # the areas that are there have the mean 3


def test_a_level_named_na_is_a_level(descend: Command, cars: str, model_id: str) -> None:
    one, other = (
        descend("predict", model_id, "-", "--decimal", ",", stdin=f"area;place\n3;{place}\n")
        for place in ("NA", "DE")
    )

    assert (one.code, other.code) == (0, 0), one.err
    assert one.out != other.out


@pytest.mark.parametrize(
    "row",
    ["1_0,2,usa", "inf,2,usa", "1,2,usa,4", "1e999,2,usa", "\N{ARABIC-INDIC DIGIT ONE},2,usa"],
)
def test_what_an_upload_refuses_is_refused(descend: Command, cars: str, row: str) -> None:
    ended = descend("predict", cars, "-", "--json", stdin=f"weight,hp,origin\n1,2,usa\n{row}\n")

    assert (ended.code, ended.out) == (2, "")
    assert "row 2" in ended.err


def test_json_knows_no_infinity(descend: Command, cars: str) -> None:
    body = '{"rows": [{"weight": Infinity, "hp": 1, "origin": "usa"}]}'

    ended = descend("predict", cars, "-", "--json", stdin=body)

    assert (ended.code, ended.out) == (2, "")
    assert "Infinity is no number" in ended.err


def test_a_file_of_more_rows_than_a_request_may_have_goes_in_pieces(
    descend: Command, folder: Path
) -> None:
    levels = [f"{n % 1000:04}" for n in range(2000)]
    table = "x,code,y\n" + "".join(f"{n % 7},c{c},{n % 11}\n" for n, c in enumerate(levels))
    fast = ("--optimizer", "sgd", "--epochs", "1", "--lr", "0.001")
    model = trained(descend, table, "--target", "y", *fast)
    rows = [f"{n % 7},c{n % 1000:04}\n" for n in range(17_500)]
    (folder / "many.csv").write_text("x,code\n" + "".join(rows))
    rows[17_000] = "seven,c0001\n"
    (folder / "torn.csv").write_text("x,code\n" + "".join(rows))
    (folder / "y.csv").write_text("what was there")

    torn = descend("predict", model, "torn.csv", "-o", "y.csv")
    kept = (folder / "y.csv").read_text()
    whole = descend("predict", model, "many.csv", "-o", "y.csv")

    assert (torn.code, kept) == (2, "what was there")
    assert "row 17001" in torn.words
    assert whole.code == 0, whole.err
    predictions = (folder / "y.csv").read_text().splitlines()
    assert len(predictions) == 17_501
    assert predictions[1:501] == predictions[7001:7501]  # the rows repeat after 7000
    assert predictions[3001:3501] == predictions[17_001:]  # and in another piece
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_with_json_the_output_is_json(descend: Command, folder: Path, cars: str) -> None:
    ended = descend("predict", cars, "cars.csv", "--json", "-o", "y.json")

    assert (ended.code, ended.out) == (0, ""), ended.err
    assert len(json.loads((folder / "y.json").read_text())["y"]) == 12


def test_a_folder_that_is_not_there_is_named(descend: Command, cars: str) -> None:
    ended = descend("predict", cars, "cars.csv", "-o", "none/y.csv")

    assert ended.code == 2
    assert "there is no folder" in ended.words


def test_pieces_of_a_file_that_begins_oddly_begin_so_too(tmp_path: Path) -> None:
    file = tmp_path / "odd.csv"
    file.write_text("\nsep=;\na;b\n1;2\n3;4\n5;6\n")

    told = [(done, piece.read_text()) for done, piece in pieces(file, 2)]

    begin = "\nsep=;\na;b\n"
    assert told == [(0, f"{begin}1;2\n3;4\n"), (2, f"{begin}5;6\n")]


@pytest.mark.parametrize("packed", [False, True])
def test_pieces_keep_rows_whole_and_headers_at_their_heads(tmp_path: Path, *, packed: bool) -> None:
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    rows = [b"1,x\r\n", b'2,"two\n""lines"""\n', b"3,z\n", b'4,"\n\n"\n', b"5,end"]
    body = b"".join([b"a,b\n", *rows])
    path.write_bytes(gzip.compress(body) if packed else body)

    found = [(done, piece.read_bytes()) for done, piece in pieces(path, 2)]

    head = b"a,b\n"
    assert found == [
        (0, head + rows[0] + rows[1]),
        (2, head + rows[2] + rows[3]),
        (4, head + rows[4]),
    ]


def test_lines_of_json_are_cut_between_lines_and_a_short_file_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"a": 1}\n\n{"a": 2}\n{"a": 3}')

    assert [piece.read_text() for _, piece in pieces(path, 2)] == [
        '{"a": 1}\n{"a": 2}\n',
        '{"a": 3}',
    ]
    assert [piece for _, piece in pieces(path, 10)] == [path]


LATER = [{"rent": "$1,330", "tags": ["a"]}, {"rent": "$1,400", "tags": None}]


@pytest.mark.parametrize("name", ["rents.json", "rents.ndjson"])
def test_text_of_numbers_in_json_is_read_by_the_options_that_the_refusal_types(
    descend: Command, folder: Path, name: str
) -> None:
    rows = [{"area": area, "rent": f"${1000 + 10 * area:,}"} for area in (33, 32, 58, 40)]
    for file, records in ((name, rows), (f"later_{name}", LATER)):
        lines = [json.dumps(row) for row in records]
        text = "\n".join(lines) if name.endswith("ndjson") else f"[{','.join(lines)}]"
        (folder / file).write_text(text)

    refused = descend("train", name, "--target", "area", "--optimizer", "exact")
    found = re.search(r"To have it read, add: (.*)", refused.err)
    assert found is not None, refused.err
    typed = shlex.split(found[1])
    ended = descend("train", name, "--target", "area", "--optimizer", "exact", "--json", *typed)
    told = descend("predict", json.loads(ended.out)["model_id"], f"later_{name}", *typed)

    assert typed == ["--thousands", "rent:,", "--strip", "rent:$"]
    assert ended.code == 0, ended.err
    assert [float(one) for one in told.out.split()[1:]] == pytest.approx([33, 40])
