"""Tables on their way to a server: arrays, data frames, dictionaries of columns, files.

What is small goes into the request as JSON; what is not goes as npz, Arrow or NDJSON, for JSON
costs 250 ms to read a million numbers.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from descend.columns import (
    Columns,
    UnreadableCells,
    cells_of,
    columns_of,
    is_category,
    is_table,
    maker,
    stored,
)
from descend.datasets import MEDIA_TYPES, PACKED_SUFFIXES, SUFFIXES, UploadFormat
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

# About here sending a file, which a reader's process must read, is as quick as sending JSON.
_POLARS_UNITS = frozenset({"ms", "us", "ns"})
INLINE_CELLS = 20_000
_PIECE_ROWS = 10_000
_MEDIA_TYPES = {kind: media_type for media_type, kind in MEDIA_TYPES.items()}
_TAB_SEPARATED = "text/tab-separated-values"
_ARROW_FILE_MAGIC = b"ARROW1"


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


def inline_columns(columns: Columns) -> dict[str, Any] | None:
    """Write a small table into the request; None where it is large, or is better sent as Arrow.

    JSON has no words for dates, lists and the like: a column of them is kept out of it, and named
    in a warning. Arrow has them, and the server tells what it does not keep.
    """
    if sum(len(values) for values in columns.values()) > INLINE_CELLS:
        return None
    try:
        return _inline(columns)
    except UnreadableCells:
        if find_spec("polars") is not None:
            return None
    return _inline(_known(columns))


def _inline(columns: Columns) -> dict[str, Any]:
    cells = {name: cells_of(name, values) for name, values in columns.items()}
    groups = _groups(columns)
    return {"columns": cells, "text": list(groups)} if groups else {"columns": cells}


def _groups(columns: Columns) -> tuple[str, ...]:
    """Name the columns that are declared to be groups: in JSON they are texts as any."""
    return tuple(name for name, values in columns.items() if is_category(values))


def columns_body(columns: Columns) -> Body:
    """Write a table as Arrow where polars is there, else as NDJSON: both keep every bit."""
    if find_spec("polars") is None:
        known = _known(columns)
        groups = tuple(name for name in _groups(columns) if name in known)
        return Body(_MEDIA_TYPES[UploadFormat.NDJSON], ndjson(known), text=groups)
    stream = _arrow_stream(columns)
    return Body(_MEDIA_TYPES[UploadFormat.ARROW_STREAM], stream, text=_groups(columns))


def ndjson(columns: Columns) -> Callable[[], Iterator[bytes]]:
    """Write a table as lines of JSON, a few thousand at a time."""
    n_rows = max(len(values) for values in columns.values())
    names = list(columns)

    def pieces() -> Iterator[bytes]:
        for start in range(0, n_rows, _PIECE_ROWS):
            stop = start + _PIECE_ROWS
            parts = [cells_of(name, values[start:stop]) for name, values in columns.items()]
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

    made = {name: _series(name, values) for name, values in columns.items()}
    try:
        frame = polars.DataFrame(made)
        # Arrow has no integers of 128 bits; decimals keep every digit, and the server says so.
        wide = polars.selectors.by_dtype(polars.Int128, polars.UInt128)
        frame = frame.with_columns(wide.cast(polars.Decimal(38, 0)))
    except (TypeError, ValueError, polars.exceptions.PolarsError) as error:
        raise InvalidInput(f"the table cannot be written: {error}") from error
    file = BytesIO()
    frame.write_ipc_stream(file)
    return file.getvalue()


def _series(name: str, values: Any) -> Any:
    """Make what polars takes of a column; of dates, lists and the like what it makes of them."""
    if maker(values) == "polars":
        return values
    array = stored(values)
    if array is not None:
        return array
    try:
        return cells_of(name, values)
    except UnreadableCells:
        dtype = getattr(values, "dtype", None)
        if not isinstance(dtype, np.dtype) or dtype.kind not in "mM":
            return _others(list(values))
        fits = np.datetime_data(dtype)[0] in _POLARS_UNITS
        return np.asarray(values, dtype if fits else f"{dtype.kind}8[ms]")


def _others(cells: list[Any]) -> Any:
    """Make what polars takes of cells that are no numbers and no text: the server keeps none.

    Of objects that it has no type for, such as a uuid, it would send where they are in memory: they
    go as bytes without content. So do cells of several kinds, which are no reason to refuse others.
    """
    import polars

    lists = all(isinstance(cell, list | tuple | type(None)) for cell in cells)
    try:
        made = polars.Series(cells, strict=not lists)
        if made.dtype != polars.Object:
            return made
    except (TypeError, polars.exceptions.PolarsError):
        pass
    return polars.Series([None if cell is None else b"" for cell in cells], dtype=polars.Binary)


def _known(columns: Columns) -> Columns:
    """Leave out columns whose cells are no numbers and no text, and say so."""
    known, odd = {}, []
    for name, values in columns.items():
        try:
            known[name] = stored(values) if stored(values) is not None else cells_of(name, values)
        except UnreadableCells as error:
            odd.append(error)
    if odd and not known:
        raise odd[0]
    for one in odd:
        warnings.warn(f"not sent: {one}", stacklevel=2)
    return known


def rows_of(X: Any) -> list[dict[str, Any]] | dict[str, Any]:
    """Write rows that are to be predicted: records, or numbers in the order of the features.

    Columns that are no numbers and no text can be no model's: they are left out.
    """
    if not is_table(X):
        return {"X": _numbers(X, "X").tolist()}
    columns: Columns = {}
    for name, values in columns_of(X).items():
        with suppress(UnreadableCells):
            columns[name] = cells_of(name, values)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


# -- files --------------------------------------------------------------------------------------


def file_body(path: Path) -> Body:
    """Say what a file is by its suffix; `.gz` or `.zst` after it is taken off by the server.

    Raises:
        InvalidInput: when the file is not there, or its suffix is none of a table's.
    """
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}", param="source")
    suffixes: Sequence[str] = [suffix.lower() for suffix in path.suffixes]
    packing = PACKED_SUFFIXES.get(suffixes[-1]) if suffixes else None
    inner = suffixes[:-1] if packing else suffixes
    kind = SUFFIXES.get(inner[-1]) if inner else None
    if kind is None:
        raise InvalidInput(
            f"{path.name} does not say what it is: name it {', '.join(SUFFIXES)}, or these with"
            " .gz or .zst",
            param="source",
        )
    if kind is UploadFormat.ARROW_FILE and not packing and not _is_arrow_file(path):
        kind = UploadFormat.ARROW_STREAM
    media_type = _TAB_SEPARATED if inner[-1] == ".tsv" else _MEDIA_TYPES[kind]
    return Body(media_type, path, encoding=packing)


def _is_arrow_file(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ARROW_FILE_MAGIC)) == _ARROW_FILE_MAGIC
