"""The reader of canonical files: batch by batch, by numpy alone."""

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from descend.datasets import ColumnType
from descend.errors import CorruptArtefact, InvalidDataset
from storage.arrow import open_table

ROWS = 1000


def mixed() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    towns = ["Ulm", "Bonn", "", "Zürich", "東京"]
    return pl.DataFrame(
        {
            "f": [None if i % 7 == 0 else v for i, v in enumerate(rng.random(ROWS))],
            "i": rng.integers(-(2**40), 2**40, ROWS),
            "town": [None if i % 3 == 0 else towns[rng.integers(5)] for i in range(ROWS)],
            "b": [None if i % 5 == 0 else bool(i % 2) for i in range(ROWS)],
            "word": [towns[i % 5] for i in range(ROWS)],
        }
    )


def written(frame: pl.DataFrame, path: Path, *, rows: int = 333) -> Path:
    frame.write_ipc(path, compat_level=pl.CompatLevel.oldest(), record_batch_size=rows)
    return path


def test_a_table_is_read_batch_by_batch_as_polars_reads_it(tmp_path: Path) -> None:
    frame = mixed()

    table = open_table(written(frame, tmp_path / "t.arrow"))

    assert table.names == ("f", "i", "town", "b", "word")
    assert [table.kinds[name] for name in table.names] == [
        ColumnType.FLOAT64,
        ColumnType.INT64,
        ColumnType.STRING,
        ColumnType.BOOL,
        ColumnType.STRING,
    ]
    assert table.n_rows == ROWS
    assert [batch.n_rows for batch in table.batches] == [333, 333, 333, 1]
    for name in ("f", "i", "b"):
        read = np.concatenate([batch.floats(name) for batch in table.batches])
        np.testing.assert_array_equal(read, frame[name].cast(pl.Float64).to_numpy())
    for name in ("town", "word"):
        cells = []
        for codes, levels in (batch.texts(name) for batch in table.batches):
            assert codes.dtype == np.int32
            cells += [None if code < 0 else levels[code] for code in codes]
            assert [levels[code] for code in dict.fromkeys(codes[codes >= 0])] == levels
        assert cells == frame[name].to_list()


def test_a_column_without_gaps_is_a_read_only_view(tmp_path: Path) -> None:
    table = open_table(written(pl.DataFrame({"x": np.arange(1000.0)}), tmp_path / "t.arrow"))

    for batch in table.batches:
        assert not batch.floats("x").flags.owndata
        assert not batch.floats("x").flags.writeable


def test_a_longer_text_is_cut_and_never_to_one_that_is_not_longer(tmp_path: Path) -> None:
    texts = ["", "ab", "aé", "abc", "ab\u00e9", "ab\u20ac", "a\U0001f600", "x" * 10_000, None]
    (batch,) = open_table(written(pl.DataFrame({"a": texts}), tmp_path / "t.arrow")).batches

    for most in range(6):
        cut = batch.first("a", len(texts), most_bytes=most)
        for text, got in zip(texts, cut, strict=True):
            fits = text is None or len(text.encode()) <= most
            assert (got == text) if fits else (most < len(str(got).encode()) <= most + 4)


def test_columns_of_another_kind_or_not_there_are_refused(tmp_path: Path) -> None:
    (batch, *_) = open_table(written(mixed(), tmp_path / "t.arrow")).batches

    for name in ("town", "missing"):
        with pytest.raises(InvalidDataset, match=f"numbers named '{name}'"):
            batch.floats(name)
    for name in ("f", "missing"):
        with pytest.raises(InvalidDataset, match=f"text named '{name}'"):
            batch.texts(name)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_file_of_another_house_is_corrupt(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "t.arrow"
    mixed().write_ipc(path, compression=compression)  # type: ignore[arg-type]

    with pytest.raises(CorruptArtefact):
        open_table(path)


def test_a_file_with_any_byte_changed_is_read_or_corrupt_and_nothing_else(tmp_path: Path) -> None:
    content = written(mixed().head(20), tmp_path / "t.arrow", rows=8).read_bytes()
    rng, corrupt = random.Random(0), 0  # noqa: S311
    for _ in range(3000):
        broken = bytearray(content[: rng.choice([len(content), rng.randrange(len(content))])])
        for _ in range(rng.randint(1, 4)):
            if broken:
                broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            table = open_table(bytes(broken))
            for batch in table.batches:
                for name, kind in table.kinds.items():
                    batch.texts(name) if kind is ColumnType.STRING else batch.floats(name)
        except CorruptArtefact:
            corrupt += 1
    assert 1000 < corrupt < 3000
