"""Uploaded Arrow: dictionaries that are replaced or grow, batches of any size, forged claims."""

import io
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arro3.core
import arro3.io
import polars as pl
import pytest

from descend.datasets import UploadFormat
from descend.errors import InvalidDataset
from storage.arrow import FlatTable, flat_root
from storage.arrow_tables import scan_arrow
from storage.ingest_files import Order, ingest_file

STREAMS = Path(__file__).parent / "arrow_files"
REPLACED = ["ash", "oak", None, "elm", "fir", "ash", "fir", "fir", "elm"]
GROWN = ["ash", "oak", None, "elm", "ash", "oak", "fir", "ash", "elm"]
MOST = 10 * 2**20


def ingested(source: Path, folder: Path, **options: Any) -> pl.DataFrame:
    stream = source.suffix == ".arrows"
    target = folder / "canonical.arrow"
    format_ = UploadFormat.ARROW_STREAM if stream else UploadFormat.ARROW_FILE
    ingest_file(Order(path=source, target=target, format=format_, **options))
    return pl.read_ipc(target.read_bytes())


@pytest.mark.parametrize("name", [path.name for path in sorted(STREAMS.glob("[rg]*.arrow*"))])
def test_each_batch_is_read_with_the_dictionary_it_came_with(name: str, tmp_path: Path) -> None:
    frame = ingested(STREAMS / name, tmp_path)

    assert frame["wood"].to_list() == (REPLACED if name.startswith("replaced") else GROWN)
    assert frame["y"].to_list() == [float(y) for y in range(1, 10)]


def stream_of(words: list[list[str | None]], folder: Path, compression: str | None) -> Path:
    """A stream of a batch for each list, with as many dictionaries as arro3 finds different."""
    schema, batches = None, []
    for cells in words:
        levels = list(dict.fromkeys(cell for cell in cells if cell is not None))
        texts = arro3.core.Array.from_arrow(pl.Series("k", cells, pl.Enum(levels)))
        rows = arro3.core.Array.from_arrow(pl.Series("n", range(len(cells)), pl.Int64))
        schema = schema or arro3.core.Schema(
            [arro3.core.Field("k", texts.type), arro3.core.Field("n", rows.type)]
        )
        batches.append(arro3.core.RecordBatch.from_arrays([texts, rows], schema=schema))
    path = folder / "words.arrows"
    reader = arro3.core.RecordBatchReader.from_batches(schema, batches)
    arro3.io.write_ipc_stream(reader, path, compression=compression)
    return path


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_dictionaries_of_any_size_and_order_are_read(
    tmp_path: Path, compression: str | None
) -> None:
    rng = random.Random(7)  # noqa: S311
    words = [
        [rng.choice([None, *(f"w{rng.randrange(40)}" for _ in range(4))]) for _ in range(n)]
        for n in (5, 1, 70, 3, 200, 64, 2)
    ]

    frame = ingested(stream_of(words, tmp_path, compression), tmp_path)

    assert frame["k"].to_list() == [word for batch in words for word in batch]
    assert frame["n"].to_list() == [row for batch in words for row in range(len(batch))]


def test_a_batch_larger_than_ours_is_read_in_pieces_and_part_of_it_where_asked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "long.arrows"
    frame = pl.DataFrame({"x": range(300_000), "k": ["a", "b", "c"] * 100_000})
    arro3.io.write_ipc_stream(frame.cast({"k": pl.Categorical}), path)

    scan = scan_arrow(path, MOST, is_stream=True).frame

    assert scan.collect().equals(frame)
    assert scan.head(140_001).collect().equals(frame.head(140_001))
    assert scan.select("x").filter(pl.col("x") > 299_990).collect()["x"].len() == 9
    assert scan.select(pl.len()).collect().item() == 300_000


def messages(stream: bytes) -> Iterator[tuple[int, FlatTable]]:
    """Each message's place in the stream and its flatbuffer."""
    place = 0
    while (length := struct.unpack_from("<i", stream, place + 4)[0]) > 0:
        root = flat_root(stream[place + 8 : place + 8 + length])
        yield place + 8, root
        place += 8 + length + root.number(3, "<q")


def forged(stream: bytes, kind: int, vector: int, at: int, number: int) -> bytes:
    """Let the first message of a kind claim another number in its nodes or buffers."""
    start, root = next((p, r) for p, r in messages(stream) if r.number(1, "<B") == kind)
    header = root.table(2)
    assert header is not None
    batch = header.table(1) if kind == 2 else header
    assert batch is not None
    place = start + batch.vector(vector)[0] + at
    return stream[:place] + struct.pack("<q", number) + stream[place + 8 :]


@pytest.mark.parametrize("kind", [2, 3], ids=["dictionary", "batch"])
@pytest.mark.parametrize(
    ("vector", "at", "number", "said"),
    [
        (1, 8, -1, "damaged"),
        (1, 8, 2**40, "damaged"),
        (2, 0, -(2**62), "lies outside"),
        (2, 24, 2**62, "lies outside"),
        (2, 0, 2**40, "lies outside"),
    ],
)
def test_what_claims_more_than_its_body_is_refused_before_it_is_decoded(
    tmp_path: Path, kind: int, vector: int, at: int, number: int, said: str
) -> None:
    path = tmp_path / "forged.arrows"
    path.write_bytes(forged((STREAMS / "replaced.arrows").read_bytes(), kind, vector, at, number))

    with pytest.raises(InvalidDataset, match=said):
        scan_arrow(path, MOST, is_stream=True)


@pytest.mark.parametrize("claim", [2**62, 2**24, -2])
def test_what_claims_to_inflate_beyond_the_limit_is_not_inflated(
    tmp_path: Path, claim: int
) -> None:
    stream = (STREAMS / "replaced_zstd.arrows").read_bytes()
    start = next(place for place, root in messages(stream) if root.number(1, "<B") == 2)
    body = start + struct.unpack_from("<i", stream, start - 4)[0]
    assert struct.unpack_from("<q", stream, body)[0] in range(-1, 100)
    path = tmp_path / "bomb.arrows"
    path.write_bytes(stream[:body] + struct.pack("<q", claim) + stream[body + 8 :])

    with pytest.raises(InvalidDataset, match="damaged" if claim < 0 else "bytes inflated"):
        scan_arrow(path, MOST, is_stream=True)


@pytest.mark.parametrize("name", ["replaced.arrows", "grown_zstd.arrows", "grown.arrow"])
def test_a_file_that_is_cut_anywhere_is_refused_or_ends_between_batches(
    tmp_path: Path, name: str
) -> None:
    content = (STREAMS / name).read_bytes()
    path = tmp_path / name
    read, said = set(), set()
    for end in range(0, len(content) - 1, 7):
        path.write_bytes(content[:end])
        try:
            read.add(len(ingested(path, tmp_path)))
        except InvalidDataset as error:
            said.add(str(error))

    assert read <= {3, 6, 9}  # a stream need not say where it ends
    assert said
    assert all("Arrow" in one or "no rows" in one for one in said)


def test_a_name_with_a_nul_is_refused_however_deep_it_stands(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [{"inner": 1}], "b": [1.0]})
    file = io.BytesIO()
    frame.write_ipc_stream(file)
    path = tmp_path / "names.arrows"
    path.write_bytes(file.getvalue().replace(b"inner", b"in\0er"))

    with pytest.raises(InvalidDataset, match="damaged"):
        scan_arrow(path, MOST, is_stream=True)
