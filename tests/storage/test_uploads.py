"""Files of every format become the same table; what is no table is refused by name."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from descend.datasets import Dataset, UploadFormat
from descend.errors import InvalidDataset
from storage.arrow import open_table
from storage.ingest_files import Order, ingest_file

Ingest = Callable[..., Dataset]
SECRET = 7351731


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    def ingest(format_: UploadFormat, content: bytes, **options: Any) -> Dataset:
        path = tmp_path / "upload"
        path.write_bytes(content)
        target = tmp_path / "canonical.arrow"
        return ingest_file(Order(path=path, target=target, format=format_, **options))

    return ingest


def canonical(folder: Path) -> pl.DataFrame:
    return pl.read_ipc((folder / "canonical.arrow").read_bytes())


def written(frame: pl.DataFrame, format_: UploadFormat, **options: Any) -> bytes:
    file = io.BytesIO()
    match format_:
        case UploadFormat.PARQUET:
            frame.write_parquet(file, **options)
        case UploadFormat.ARROW_FILE:
            frame.write_ipc(file, **options)
        case UploadFormat.ARROW_STREAM:
            frame.write_ipc_stream(file, **options)
        case UploadFormat.NDJSON:
            frame.write_ndjson(file)
        case UploadFormat.CSV:
            frame.write_csv(file)
    return file.getvalue()


TYPED = (UploadFormat.PARQUET, UploadFormat.ARROW_FILE, UploadFormat.ARROW_STREAM)
TABLE = pl.DataFrame(
    {
        "rooms": [2, 3, None, 5],
        "area": [50.5, None, 81.25, -1e300],
        "town": ["Ulm", None, "Zürich", "Ulm"],
        "sold": [True, False, None, True],
    }
)


@pytest.mark.parametrize(
    "format_", [*TYPED, UploadFormat.NDJSON, UploadFormat.CSV], ids=lambda f: f.value
)
def test_a_table_is_the_same_in_every_format(
    ingest: Ingest, tmp_path: Path, format_: UploadFormat
) -> None:
    dataset = ingest(format_, written(TABLE, format_), name="homes")

    assert canonical(tmp_path).equals(TABLE)
    assert [column.dtype for column in dataset.columns] == ["int64", "float64", "string", "bool"]
    assert [column.missing for column in dataset.columns] == [1, 1, 1, 1]
    assert [column.distinct for column in dataset.columns] == [3, 3, 2, 2]
    assert [c.sample for c in dataset.columns] == [
        [2, 3, 5], [50.5, 81.25, -1e300], ["Ulm", "Zürich"], [True, False],
    ]  # fmt: skip
    assert (dataset.format, dataset.name, dataset.n_rows) == (format_.value, "homes", 4)


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
@pytest.mark.parametrize("format_", [UploadFormat.ARROW_FILE, UploadFormat.ARROW_STREAM])
def test_compressed_arrow_is_read(
    ingest: Ingest, tmp_path: Path, format_: UploadFormat, compression: str
) -> None:
    ingest(format_, written(TABLE, format_, compression=compression))

    assert canonical(tmp_path).equals(TABLE)


@pytest.mark.parametrize("format_", TYPED, ids=lambda f: f.value)
def test_types_become_those_of_a_dataset(
    ingest: Ingest, tmp_path: Path, format_: UploadFormat
) -> None:
    frame = pl.DataFrame(
        {
            "i8": pl.Series([1, None], dtype=pl.Int8),
            "u32": pl.Series([2**32 - 1, 0], dtype=pl.UInt32),
            "u64": pl.Series([2**63 - 1, None], dtype=pl.UInt64),
            "wide": pl.Series([2**64 - 1, None], dtype=pl.UInt64),
            "f32": pl.Series([0.5, float("nan")], dtype=pl.Float32),
            "nan": [float("nan"), None],
            "money": pl.Series([Decimal("1.25"), None], dtype=pl.Decimal(10, 2)),
            "nothing": pl.Series([None, None], dtype=pl.Null),
            "kind": pl.Series(["a", "b"], dtype=pl.Categorical),
            "level": pl.Series(["low", None], dtype=pl.Enum(["low", "high"])),
        }
    )

    dataset = ingest(format_, written(frame, format_))

    kinds = {column.name: column.dtype.value for column in dataset.columns}
    assert kinds == {
        "i8": "int64", "u32": "int64", "u64": "int64", "wide": "float64", "f32": "float64",
        "nan": "float64", "money": "float64", "nothing": "float64", "kind": "string",
        "level": "string",
    }  # fmt: skip
    assert canonical(tmp_path).row(0) == (
        1, 2**32 - 1, 2**63 - 1, 2.0**64, 0.5, None, 1.25, None, "a", "low",
    )  # fmt: skip
    assert canonical(tmp_path).row(1) == (None, 0, *[None] * 6, "b", None)


LONG = 2**53 + 1
BEYOND = [
    (UploadFormat.CSV, f"a,b\n{LONG},1\n2,3\n".encode()),
    (UploadFormat.CSV, b"a,b\n12345678901234567891,1\n2,3\n"),
    (UploadFormat.CSV, f"a,b\n{LONG},1\n2.5,3\n".encode()),
    (UploadFormat.NDJSON, f'{{"a": {LONG}, "b": 1}}\n{{"a": 2, "b": 3}}\n'.encode()),
    (UploadFormat.NDJSON, b'{"a": 12345678901234567891, "b": 1}\n{"a": 2, "b": 3}\n'),
    (UploadFormat.NDJSON, f'{{"a": {LONG}, "b": 1}}\n{{"a": 0.5, "b": 3}}\n'.encode()),
    *[
        (format_, written(pl.DataFrame({"a": pl.Series(cells, dtype=dtype), "b": [1, 3]}), format_))
        for format_ in TYPED
        for cells, dtype in (
            ([LONG, 2], pl.Int64),
            ([2**64 - 1, 2], pl.UInt64),
            ([Decimal("12345678901234567.5"), Decimal(2)], pl.Decimal(20, 1)),
            ([Decimal("0.12345678901234567"), Decimal(2)], pl.Decimal(20, 17)),
        )
    ],
]


@pytest.mark.parametrize(("format_", "content"), BEYOND)
def test_integers_that_float64_cannot_hold_are_told_in_every_format(
    ingest: Ingest, format_: UploadFormat, content: bytes
) -> None:
    told = "\n".join(ingest(format_, content).warnings)

    assert "column 'a' has" in told
    assert "float64" in told
    assert "column 'b' has" not in told


@pytest.mark.parametrize("format_", TYPED, ids=lambda f: f.value)
def test_decimals_that_float64_keeps_are_not_told(ingest: Ingest, format_: UploadFormat) -> None:
    cells = [Decimal("1234567.5"), Decimal("-0.1"), None]
    frame = pl.DataFrame({"a": pl.Series(cells, dtype=pl.Decimal(38, 18)), "b": [1, 3, 4]})

    assert not any("digits" in told for told in ingest(format_, written(frame, format_)).warnings)


@pytest.mark.parametrize("format_", TYPED[1:], ids=lambda f: f.value)
@pytest.mark.parametrize("dtype", [pl.Int128, pl.List(pl.Int128)], ids=str)
def test_integers_that_arrow_has_not_are_refused_by_their_column(
    ingest: Ingest, format_: UploadFormat, dtype: Any
) -> None:
    cell = 2**70 if dtype == pl.Int128 else [2**70]
    frame = pl.DataFrame({"a": pl.Series([cell, None], dtype=dtype), "b": [1, 3]})

    with pytest.raises(InvalidDataset, match="'a' holds integers of more than 64 bits") as refusal:
        ingest(format_, written(frame, format_))

    assert refusal.value.param == "a"


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_that_float64_cannot_hold_are_told_of_arrays(
    ingest: Ingest, dtype: type[np.generic]
) -> None:
    large = np.array([[np.iinfo(dtype).max], [2]], dtype=dtype)  # type: ignore[arg-type]

    alone = ingest(UploadFormat.NPY, npy(large)).warnings
    beside = ingest(UploadFormat.NPZ, npz(X=np.array([[0.5], [2]]), y=large)).warnings

    assert "float64" in "\n".join(alone)
    assert "column 'y' has" in "\n".join(beside)
    assert "column 'x0' has" not in "\n".join(beside)


@pytest.mark.parametrize("format_", TYPED, ids=lambda f: f.value)
def test_floats_beyond_2_to_53_have_lost_nothing(ingest: Ingest, format_: UploadFormat) -> None:
    frame = pl.DataFrame({"a": [1.5e20, 2.25e19], "b": [1, 3]})

    assert not any("2^53" in told for told in ingest(format_, written(frame, format_)).warnings)


@pytest.mark.parametrize("format_", TYPED, ids=lambda f: f.value)
@pytest.mark.parametrize(
    ("cells", "refusal"),
    [
        ([date(2026, 1, 1)], "'c' holds date values.*dates=days"),
        ([[1.0, 2.0]], "'c' holds list values.*a column of each"),
        ([{"a": 1}], "'c' holds struct values.*a column of each"),
        ([b"7351731"], "'c' holds binary values"),
        ([1.0, float("inf"), float("-inf")], "'c' holds infinity: row 2"),
        (["a", f"{SECRET}\0"], "a cell of column 'c' has a NUL character: row 2"),
        (["a", "b" * 1_000_001], "a cell of column 'c' has more than 1000000 bytes: row 2"),
    ],
)
def test_what_is_no_number_and_no_group_is_refused_by_column(
    ingest: Ingest, format_: UploadFormat, cells: list[object], refusal: str
) -> None:
    content = written(pl.DataFrame({"c": cells}), format_)

    with pytest.raises(InvalidDataset, match=refusal) as refused:
        ingest(format_, content)

    assert str(SECRET) not in str(refused.value)


@pytest.mark.parametrize("format_", TYPED, ids=lambda f: f.value)
@pytest.mark.parametrize("names", [["a" * 201], [" "], ["a\0b"], []])
def test_names_that_no_dataset_has_are_refused(
    ingest: Ingest, format_: UploadFormat, names: list[str]
) -> None:
    with pytest.raises(InvalidDataset):
        ingest(format_, written(pl.DataFrame({name: [1.0] for name in names}), format_))


@pytest.mark.parametrize("format_", TYPED, ids=lambda f: f.value)
def test_a_table_without_rows_is_refused(ingest: Ingest, format_: UploadFormat) -> None:
    with pytest.raises(InvalidDataset, match="no rows"):
        ingest(format_, written(TABLE.clear(), format_))


@pytest.mark.parametrize("format_", TYPED, ids=lambda f: f.value)
def test_many_batches_become_batches_of_one_size(
    ingest: Ingest, tmp_path: Path, format_: UploadFormat
) -> None:
    frame = pl.DataFrame({"a": np.arange(300_000), "b": np.arange(300_000) % 7 / 3})
    options = {"row_group_size": 1000} if format_ is UploadFormat.PARQUET else {}

    first = ingest(format_, written(frame, format_, **options))
    rows = [batch.n_rows for batch in open_table(tmp_path / "canonical.arrow").batches]
    again = ingest(format_, written(frame, format_, **options))

    assert rows == [131_072, 131_072, 37_856]
    assert canonical(tmp_path).equals(frame)
    assert first.sha256 == again.sha256


@pytest.mark.parametrize("format_", TYPED, ids=lambda f: f.value)
def test_what_claims_more_than_is_allowed_is_not_decoded(
    ingest: Ingest, format_: UploadFormat
) -> None:
    frame = pl.DataFrame({"a": np.zeros(100_000)})

    with pytest.raises(InvalidDataset, match="more than 700000 bytes when decoded"):
        ingest(format_, written(frame, format_), most_bytes=700_000)


def test_a_forged_parquet_footer_is_refused_before_it_is_believed(ingest: Ingest) -> None:
    content = written(pl.DataFrame({"a": np.arange(1000.0)}), UploadFormat.PARQUET)
    (length,) = struct.unpack("<I", content[-8:-4])
    start = len(content) - 8 - length
    rows = b"\xd0\x0f"  # 1000, as a zigzag varint
    assert content.count(rows, start) >= 2

    place, refused = start, 0
    while (place := content.find(rows, place)) >= 0:
        forged = content[:place] + b"\xd2\x0f" + content[place + 2 :]
        place += 1
        with pytest.raises(InvalidDataset, match="damaged"):
            ingest(UploadFormat.PARQUET, forged)
        refused += 1

    assert refused >= 2


@pytest.mark.parametrize("cut", [0, 3, 11, 50, -9, -5, -1])
@pytest.mark.parametrize("format_", TYPED, ids=lambda f: f.value)
def test_a_file_that_was_cut_off_is_refused(
    ingest: Ingest, format_: UploadFormat, cut: int
) -> None:
    content = written(TABLE, format_)
    if format_ is UploadFormat.ARROW_STREAM and cut < 0:
        cut -= 8  # only the mark of its end would be missing, which readers do without

    with pytest.raises(InvalidDataset):
        ingest(format_, content[:cut])


def lines(*rows: object) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


def test_rows_of_ndjson_may_leave_cells_out(ingest: Ingest, tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + lines({"a": 1}, {"b": "x", "a": None}, {"a": 2.5, "c": None})

    ingest(UploadFormat.NDJSON, content + b"\r\n\n")

    assert canonical(tmp_path).to_dict(as_series=False) == {
        "a": [1.0, None, 2.5], "b": [None, "x", None], "c": [None, None, None],
    }  # fmt: skip


def test_long_ndjson_is_read_in_batches(ingest: Ingest, tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": np.arange(140_000), "b": np.arange(140_000) / 7})

    ingest(UploadFormat.NDJSON, written(frame, UploadFormat.NDJSON))

    assert canonical(tmp_path).equals(frame)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", "no rows"),
        (b"\n \n", "no rows"),
        (b"{}", "no columns"),
        (b"[1]", "line 1 is no object"),
        (b'{"a": 1}\n{"a": 7351731', "line 2 is not JSON"),
        (b'{"a": 1}\n\n{"a": "7351731"}', "row 2 of column 'a' is of another type"),
        (b'{"a": 1}\n{"a": true}', "row 2 of column 'a' is of another type"),
        (b'{"a": [7351731]}', "'a' holds list values"),
        (b'{"a": 1, "a": 2}', "line 1 names a column twice"),
        (b'{"a": NaN}', "line 1 holds NaN"),
        (b'{"a": 1e999}', "row 1 of column 'a' is too large"),
        (b'{"a": 1' + b"0" * 400 + b"}", "row 1 of column 'a' is too large"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "line 1 is not JSON"),
        (b'{"a": "\xff"}', "line 1 is not utf-8"),
        (b'{"a": "\\u0000"}', "has a NUL"),
        (b'{"a": "\\ud800"}', "half of a surrogate"),
        (b'{"\\ud800": 1}', "the name of column 1 is not text"),
        (b'{" ": 1}', "column 1 has no name"),
        (b'{"a":' * 100_000, "nested too deeply|not JSON"),
    ],
)
def test_bad_ndjson_is_refused_by_line_or_row(ingest: Ingest, content: bytes, refusal: str) -> None:
    with pytest.raises(InvalidDataset, match=refusal) as refused:
        ingest(UploadFormat.NDJSON, content)

    assert str(SECRET) not in str(refused.value)


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(*, compressed: bool = False, **arrays: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", "i1", "<i8", ">i4", "u1", "<u8"])
def test_an_array_becomes_numbered_columns(
    ingest: Ingest, tmp_path: Path, dtype: str, order: Any
) -> None:
    X = np.arange(12).reshape(4, 3).astype(dtype, order=order)

    dataset = ingest(UploadFormat.NPY, npy(X))

    assert canonical(tmp_path).columns == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(canonical(tmp_path).to_numpy(), X)
    assert {c.dtype.value for c in dataset.columns} == {"float64" if "f" in dtype else "int64"}


def test_a_long_array_a_vector_nan_and_booleans_are_read(ingest: Ingest, tmp_path: Path) -> None:
    ingest(UploadFormat.NPY, npy(np.arange(300_000.0)))
    assert canonical(tmp_path)["x0"].to_list() == list(range(300_000))

    ingest(UploadFormat.NPY, npy(np.array([[1.0, np.nan]])))
    assert canonical(tmp_path).row(0) == (1.0, None)

    ingest(UploadFormat.NPY, npy(np.array([True, False])))
    assert canonical(tmp_path)["x0"].to_list() == [True, False]

    ingest(UploadFormat.NPY, npy(np.array([2**64 - 1], dtype=np.uint64)))
    assert canonical(tmp_path)["x0"].to_list() == [2.0**64]


@pytest.mark.parametrize("compressed", [False, True])
def test_X_and_y_and_weights_become_what_they_are_in_json(
    ingest: Ingest, tmp_path: Path, *, compressed: bool
) -> None:
    X, y, weights = np.ones((3, 2)), np.arange(3.0), np.array([1.0, 2.0, 0.0])

    one = ingest(UploadFormat.NPZ, npz(compressed=compressed, X=X, y=y, sample_weight=weights))
    assert canonical(tmp_path).columns == ["x0", "x1", "y", "sample_weight"]
    assert (one.default_target, one.default_weight) == (["y"], "sample_weight")

    two = ingest(UploadFormat.NPZ, npz(compressed=compressed, X=X, y=np.ones((3, 2))))
    assert (two.default_target, two.default_weight) == (["y0", "y1"], None)


def structured() -> np.ndarray:  # type: ignore[type-arg]
    return np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", "no npy array"),
        (b"\x93NUMPY\x01\x00\xff\xff", "no npy array"),
        (npy(np.array([{}], dtype=object), allow_pickle=True), "no npy array|no integers"),
        (npy(np.array(["a"])), "no integers, floats or booleans"),
        (npy(np.array([1j])), "no integers, floats or booleans"),
        (npy(np.array([1], dtype="M8[s]")), "no integers, floats or booleans"),
        (npy(np.array([1], dtype=np.longdouble)), "no integers, floats or booleans"),
        (npy(structured()), "no integers, floats or booleans"),
        (npy(np.float64(1.0)), "one or two dimensions"),
        (npy(np.ones((2, 2, 2))), "one or two dimensions"),
        (npy(np.ones((0, 2))), "none of them empty"),
        (npy(np.ones((1, 10_001))), "there are 10001 columns"),
        (npy(np.ones(3))[:-1], "not as many bytes"),
        (npy(np.ones(3)) + b"x", "not as many bytes"),
        (npy(np.ones(3)).replace(b"(3,)", b"(300"), "no npy array"),
        (npy(np.ones(3)).replace(b"(3,)", b"(9,)"), "not as many bytes"),
        (npy(np.ones(9)).replace(b"(9,)", b"(-9)"), "no npy array|dimensions"),
        (npy(np.array([[1.0, np.inf]])), "'x1' holds infinity: row 1"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(
    ingest: Ingest, content: bytes, refusal: str
) -> None:
    with pytest.raises(InvalidDataset, match=refusal):
        ingest(UploadFormat.NPY, content)


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return file.getvalue()


ONES = npy(np.ones(3))


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"PK\x03\x04", "damaged"),
        (npz(X=np.ones((3, 1))), "must hold X and y"),
        (npz(X=np.ones((3, 1)), y=np.ones(3), z=np.ones(3)), "nothing else"),
        (npz(X=np.ones((3, 1)), y=np.ones(2)), "not the same number of rows"),
        (npz(X=np.ones((2, 1)), y=np.ones(2), sample_weight=-np.ones(2)), "weights, >= 0"),
        (archive(**{"X.npy": ONES, "y.npy": ONES, "../../y.npy": ONES}), "nothing else"),
        (archive(**{"/X.npy": ONES, "y.npy": ONES}), "must hold X and y"),
        (archive(**{"X.npy": ONES, "y.npy": b""}), "y is no npy array"),
        (
            archive(**{"X.npy": bytes(2**21), "y.npy": ONES}),
            "more than 1048576 bytes when inflated",
        ),
        (npz(compressed=True, X=np.ones((3, 1)), y=np.ones(3)).replace(b"\x4b", b"\x4c"), "."),
    ],
)
def test_an_archive_of_anything_else_is_refused(
    ingest: Ingest, tmp_path: Path, content: bytes, refusal: str
) -> None:
    with pytest.raises(InvalidDataset, match=refusal):
        ingest(UploadFormat.NPZ, content, most_bytes=2**20)

    assert {path.name for path in tmp_path.iterdir()} <= {
        "upload",
        "X.npy",
        "y.npy",
        "sample_weight.npy",
    }
