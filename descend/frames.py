"""Tables on their way to a server: arrays, data frames, dictionaries of columns, files.

What is small goes into the request as JSON; what is not goes as npz, Arrow or NDJSON, for JSON
costs 250 ms to read a million numbers. pandas and polars are used where the caller has them, and
are imported by nobody else.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from descend.datasets import MEDIA_TYPES, UploadFormat
from descend.errors import InvalidInput
from descend.transport import Body

__all__ = [
    "Columns",
    "arrays",
    "columns_body",
    "columns_of",
    "file_body",
    "inline_columns",
    "inline_xy",
    "is_table",
    "npy_body",
    "npz_body",
    "rows_of",
]

Columns = dict[str, Any]  # by name: a pandas or polars Series, an array, or a list

# About here sending a file, which a reader's process must read, is as quick as sending JSON.
INLINE_CELLS = 20_000
_PIECE_ROWS = 10_000
_SUFFIXES = {
    ".csv": UploadFormat.CSV,
    ".tsv": UploadFormat.CSV,
    ".txt": UploadFormat.CSV,
    ".parquet": UploadFormat.PARQUET,
    ".pq": UploadFormat.PARQUET,
    ".arrow": UploadFormat.ARROW_FILE,
    ".feather": UploadFormat.ARROW_FILE,
    ".ipc": UploadFormat.ARROW_FILE,
    ".arrows": UploadFormat.ARROW_STREAM,
    ".ndjson": UploadFormat.NDJSON,
    ".jsonl": UploadFormat.NDJSON,
    ".json": UploadFormat.JSON,
    ".npy": UploadFormat.NPY,
    ".npz": UploadFormat.NPZ,
}
_MEDIA_TYPES = {kind: media_type for media_type, kind in MEDIA_TYPES.items()}
_ARROW_FILE_MAGIC = b"ARROW1"
_CELLS = (bool, int, float, str, type(None))
_TIMES = (np.datetime64, np.timedelta64)


# -- arrays -------------------------------------------------------------------------------------


def arrays(
    X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
) -> dict[str, NDArray[np.float64]]:
    """Make X, y and perhaps sample_weight arrays of float64 that fit together.

    Raises:
        InvalidInput: when one is no array of numbers, or they have not the same number of rows.
    """
    given = {"X": X, "y": y, "sample_weight": sample_weight}
    made = {name: _numbers(value, name) for name, value in given.items() if value is not None}
    if made["X"].ndim != 2:
        raise InvalidInput(
            f"X has shape {made['X'].shape}: it needs rows and columns; of a single feature,"
            " give X.reshape(-1, 1)",
            param="X",
        )
    for name, array in made.items():
        if len(array) != len(made["X"]):
            raise InvalidInput(f"{name} has {len(array)} rows, X has {len(made['X'])}", param=name)
    return made


def _numbers(value: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} is no array of numbers: {error}", param=name) from error


def inline_xy(made: Mapping[str, NDArray[np.float64]]) -> dict[str, Any] | None:
    """Write small arrays into the request; None where they are large or have missing cells."""
    small = sum(array.size for array in made.values()) <= INLINE_CELLS
    if not small or not all(np.isfinite(array).all() for array in made.values()):
        return None
    return {name: array.tolist() for name, array in made.items()}


def npz_body(made: Mapping[str, NDArray[np.float64]]) -> Body:
    file = BytesIO()
    np.savez(file, allow_pickle=False, **made)
    return Body(_MEDIA_TYPES[UploadFormat.NPZ], file.getvalue())


def npy_body(array: NDArray[Any]) -> Body:
    file = BytesIO()
    try:
        np.save(file, array, allow_pickle=False)
    except ValueError as error:
        raise InvalidInput(f"the array holds no numbers but {array.dtype}", param="X") from error
    return Body(_MEDIA_TYPES[UploadFormat.NPY], file.getvalue())


# -- tables -------------------------------------------------------------------------------------


def is_table(value: object) -> bool:
    """Say whether the value has named columns: a pandas or polars frame, or a dictionary."""
    is_frame = type(value).__name__ in {"DataFrame", "LazyFrame"} and _maker(value) is not None
    return is_frame or isinstance(value, Mapping)


def columns_of(table: Any) -> Columns:
    """Take a table apart, by name."""
    if isinstance(table, Mapping):
        columns = [(str(name), values) for name, values in table.items()]
    elif _maker(table) == "polars":
        whole = table.collect() if hasattr(table, "collect") else table
        columns = list(zip(whole.columns, whole.get_columns(), strict=True))
    else:
        columns = [(str(name), table.iloc[:, j]) for j, name in enumerate(table.columns)]
    named = dict(columns)
    if len(named) < len(columns):
        raise InvalidInput("two columns have the same name", param="columns")
    return named


def inline_columns(columns: Columns) -> dict[str, Any] | None:
    """Write a small table into the request; None where it is large."""
    if sum(len(values) for values in columns.values()) > INLINE_CELLS:
        return None
    return {"columns": {name: _cells(name, values) for name, values in columns.items()}}


def columns_body(columns: Columns) -> Body:
    """Write a table as Arrow where polars is there, else as NDJSON: both keep every bit."""
    if find_spec("polars") is None:
        return Body(_MEDIA_TYPES[UploadFormat.NDJSON], ndjson(columns))
    return Body(_MEDIA_TYPES[UploadFormat.ARROW_STREAM], _arrow_stream(columns))


def ndjson(columns: Columns) -> Callable[[], Iterator[bytes]]:
    """Write a table as lines of JSON, a few thousand at a time."""
    n_rows = max(len(values) for values in columns.values())
    names = list(columns)

    def pieces() -> Iterator[bytes]:
        for start in range(0, n_rows, _PIECE_ROWS):
            stop = start + _PIECE_ROWS
            parts = [_cells(name, values[start:stop]) for name, values in columns.items()]
            rows = (dict(zip(names, row, strict=True)) for row in zip(*parts, strict=True))
            yield "".join(f"{_line(row)}\n" for row in rows).encode()

    return pieces


def _line(row: Mapping[str, Any]) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a cell can be no number, text or boolean: {error}") from error


def _arrow_stream(columns: Columns) -> bytes:
    import polars

    def plain(name: str, values: Any) -> Any:
        return values if _maker(values) == "polars" else _dense(name, values)

    made = {name: plain(name, values) for name, values in columns.items()}
    try:
        frame = polars.DataFrame(made)
    except (TypeError, ValueError, polars.exceptions.PolarsError) as error:
        raise InvalidInput(f"the table cannot be written: {error}") from error
    file = BytesIO()
    frame.write_ipc_stream(file)
    return file.getvalue()


def _dense(name: str, values: Any) -> Any:
    """Return numbers as the array that they already are, everything else cell by cell."""
    dtype = getattr(values, "dtype", None)
    return (
        np.asarray(values)
        if isinstance(dtype, np.dtype) and dtype.kind in "fiub"
        else _cells(name, values)
    )


def _cells(name: str, values: Any) -> list[Any]:
    """Return Python's own numbers and text; None where a cell is missing.

    Raises:
        InvalidInput: when a cell is something else, such as a date; `param` is the column.
    """
    maker = _maker(values)
    if maker == "polars":
        cells = values.to_list()
    elif maker == "pandas":
        cells = values.astype(object).where(values.notna(), None).tolist()
    else:
        cells = list(values)  # numpy's own: tolist() makes a bare number of a date in nanoseconds
    return [_cell(name, cell) for cell in cells]


def _cell(name: str, cell: Any) -> Any:
    if isinstance(cell, np.generic) and not isinstance(cell, _TIMES):
        cell = cell.item()
    if not isinstance(cell, _CELLS):
        raise InvalidInput(
            f"column {name!r} holds a {type(cell).__name__}: a cell is a number, a text, a boolean"
            " or None. Of a date make a number, such as the days since the first",
            param=name,
        )
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _maker(value: object) -> str | None:
    package = type(value).__module__.partition(".")[0]
    return package if package in {"pandas", "polars"} else None


def rows_of(X: Any) -> dict[str, Any]:
    """Write rows that are to be predicted: by name, or in the order of the model's features."""
    if not is_table(X):
        return {"X": _numbers(X, "X").tolist()}
    columns = columns_of(X)
    cells = zip(*(_cells(name, values) for name, values in columns.items()), strict=True)
    return {"rows": [dict(zip(columns, row, strict=True)) for row in cells]}


# -- files --------------------------------------------------------------------------------------


def file_body(path: Path) -> Body:
    """Say what a file is by its suffix; `.gz` after it is taken off by the server.

    Raises:
        InvalidInput: when the file is not there, or its suffix is none of a table's.
    """
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}", param="source")
    suffixes: Sequence[str] = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] == ".gz"
    kind = _SUFFIXES.get((suffixes[:-1] if packed else suffixes)[-1:][0] if suffixes else "")
    if kind is None:
        raise InvalidInput(
            f"{path.name} does not say what it is: name it {', '.join(_SUFFIXES)}, or these with"
            " .gz",
            param="source",
        )
    if kind is UploadFormat.ARROW_FILE and not packed and not _is_arrow_file(path):
        kind = UploadFormat.ARROW_STREAM
    return Body(_MEDIA_TYPES[kind], path, encoding="gzip" if packed else None)


def _is_arrow_file(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ARROW_FILE_MAGIC)) == _ARROW_FILE_MAGIC
