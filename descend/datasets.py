"""Datasets as the wire shows them: inline data going in, a profiled table coming out."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StringConstraints,
    Tag,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from descend.limits import MAX_COLUMNS, MAX_NAME_LENGTH
from descend.proposals import suggested_target
from descend.unreadable import UnreadableColumn

__all__ = [
    "ARRAYS",
    "MEDIA_TYPES",
    "NULL_WORDS",
    "PACKED_SUFFIXES",
    "SUFFIXES",
    "WHOLE",
    "Cell",
    "Column",
    "ColumnName",
    "ColumnNames",
    "ColumnType",
    "Dataset",
    "InlineColumns",
    "InlineData",
    "InlineRecords",
    "InlineXY",
    "Matrix",
    "Number",
    "Packing",
    "Preview",
    "Sample",
    "TableCell",
    "UploadFormat",
    "Vector",
    "text",
    "wrong_field",
]


def wrong_field(field: str, message: str) -> PydanticCustomError:
    """Make an error of one field, for a check that looks at several."""
    return PydanticCustomError("value_error", "{message}", {"message": message, "field": field})


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _whole(value: object) -> object:
    """JSON Schema counts 10.0 and 1e1 among the integers: by value, however they are written."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)


def text(max_length: int, *, min_length: int | None = None) -> StringConstraints:
    """Constrain a string that is stored as it is: PostgreSQL's text cannot hold a NUL."""
    return StringConstraints(
        strict=True, min_length=min_length, max_length=max_length, pattern=r"^[^\x00]*$"
    )


ColumnName = Annotated[str, text(MAX_NAME_LENGTH, min_length=1)]
ColumnNames = Annotated[list[ColumnName], Field(min_length=1, max_length=MAX_COLUMNS)]
Cell = (
    Annotated[bool, Field(strict=True)]
    | Number
    | Annotated[str, StringConstraints(strict=True, max_length=10_000)]
    | None
)
# A table may have columns of these: they are not kept, and no reason to refuse the others.
TableCell = Cell | list[Any] | dict[str, Any]
# The first bad cell is enough: 16 MiB of them, each with its own error, would take 12 seconds.
Vector = Annotated[list[Number], Field(fail_fast=True)]
Matrix = Annotated[list[Vector], Field(fail_fast=True)]


# Of a table: null is a missing cell.
CellsOfRow = Annotated[list[Number | None], Field(fail_fast=True)]
Cells = Annotated[list[CellsOfRow], Field(fail_fast=True)]


def _shape_of_y(value: object) -> str:
    return (
        "matrix" if isinstance(value, list) and value and isinstance(value[0], list) else "vector"
    )


Y = Annotated[
    Annotated[CellsOfRow, Tag("vector")] | Annotated[Cells, Tag("matrix")],
    Discriminator(_shape_of_y),
]


class InlineXY(BaseModel):
    """A design matrix and targets, written in the request; null is a missing cell.

    Columns are named x0, x1, … and y (or y0, y1, … for several targets); `sample_weight` becomes
    a column of that name and the job's default weight.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"X": [[1.0], [2.0], [3.0]], "y": [2.0, 4.0, 6.0]}]},
    )

    X: Cells = Field(min_length=1, description="n_samples rows of n_features numbers")
    y: Y = Field(description="n_samples numbers, or n_samples rows of n_targets numbers")
    sample_weight: (
        Annotated[list[Annotated[Number, Field(ge=0)] | None], Field(fail_fast=True)] | None
    ) = Field(None, description="n_samples weights, >= 0")

    @field_validator("X")
    @classmethod
    def _rectangular_X(cls, X: Cells) -> Cells:
        return _rectangular(X, "X")

    @field_validator("y")
    @classmethod
    def _rectangular_y(cls, y: CellsOfRow | Cells) -> CellsOfRow | Cells:
        rows = [row for row in y if isinstance(row, list)]
        if rows:
            _rectangular(rows, "y")
        return y

    @model_validator(mode="after")
    def _as_many_rows(self) -> Self:
        self.refuse_unequal_lengths()
        return self

    def refuse_unequal_lengths(self) -> None:
        """Refuse a y or weights of another number of rows than X: a PydanticCustomError."""
        if len(self.y) != len(self.X):
            raise wrong_field("y", f"y has {len(self.y)} rows, X has {len(self.X)}")
        if self.sample_weight is not None and len(self.sample_weight) != len(self.X):
            raise wrong_field(
                "sample_weight",
                f"sample_weight has {len(self.sample_weight)} numbers, X has {len(self.X)} rows",
            )


class InlineColumns(BaseModel):
    """A table written in the request, column by column; null is a missing cell.

    Columns of lists or objects are not kept. A column of text that was meant to be numbers, dates
    or true and false is refused, unless it is named in `text`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"columns": {"hours": [1, 2, 3], "price": [2.0, 4.0, 6.0]}}]
        },
    )

    columns: dict[ColumnName, Annotated[list[TableCell], Field(fail_fast=True)]] = Field(
        min_length=1, max_length=MAX_COLUMNS
    )
    text: list[ColumnName] = Field(
        [], max_length=MAX_COLUMNS, description="columns whose texts are levels, whatever they say"
    )

    @field_validator("columns")
    @classmethod
    def _equally_long(cls, columns: dict[str, list[TableCell]]) -> dict[str, list[TableCell]]:
        first, n_rows = next((name, len(cells)) for name, cells in columns.items())
        if n_rows == 0:
            raise ValueError(f"column {first!r} is empty")
        for name, cells in columns.items():
            if len(cells) != n_rows:
                raise ValueError(
                    f"column {name!r} has {len(cells)} cells, column {first!r} has {n_rows}"
                )
        return columns

    @model_validator(mode="after")
    def _text_is_there(self) -> Self:
        missing = next((name for name in self.text if name not in self.columns), None)
        if missing is not None:
            raise wrong_field("text", f"there is no column {missing!r}")
        return self


class InlineRecords(RootModel[list[dict[ColumnName, TableCell]]]):
    """A table written in the request, row by row; a cell that is null or left out is missing.

    Columns of lists or objects are not kept.
    """

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={"examples": [[{"hours": 1, "price": 2.0}, {"hours": 2, "price": 4.0}]]},
    )

    root: Annotated[list[dict[ColumnName, TableCell]], Field(min_length=1, fail_fast=True)]

    @field_validator("root")
    @classmethod
    def _has_columns(cls, rows: list[dict[str, TableCell]]) -> list[dict[str, TableCell]]:
        n_columns = len(set().union(*rows))
        if not 0 < n_columns <= MAX_COLUMNS:
            raise ValueError(
                f"the records have {n_columns} columns; at least 1, at most {MAX_COLUMNS}"
            )
        return rows

    @property
    def columns(self) -> dict[str, list[TableCell]]:
        """The cells by column, in the order in which the columns first appear."""
        names = dict.fromkeys(name for row in self.root for name in row)
        return {name: [row.get(name) for row in self.root] for name in names}


InlineData = InlineXY | InlineColumns | InlineRecords


def _rectangular(rows: Cells, name: str) -> Cells:
    width = len(rows[0])
    if width == 0:
        raise ValueError(f"{name}[0] is empty")
    if width > MAX_COLUMNS:
        raise ValueError(f"{name} has {width} columns; at most {MAX_COLUMNS}")
    for i, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"{name}[{i}] has {len(row)} numbers, {name}[0] has {width}")
    return rows


Sample = Annotated[bool, Field(strict=True)] | Annotated[int, Field(strict=True)] | float | str


class ColumnType(StrEnum):
    """What a column holds; float64, int64 and bool can be trained on."""

    FLOAT64 = "float64"
    INT64 = "int64"
    BOOL = "bool"
    STRING = "string"


class Column(BaseModel):
    """One column's profile. Statistics are over its present cells; `std` divides by n."""

    model_config = ConfigDict(frozen=True)

    name: str
    dtype: ColumnType
    missing: int = Field(ge=0, description="cells without a value")
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    unnamed: bool = Field(
        False,
        description="the file does not name it, as of an index: no feature unless asked for",
    )
    distinct: int | None = Field(
        None,
        description="distinct values; null where they are more than 100,000 numbers, or texts of"
        " more than a million rows",
    )
    sample: list[Sample] = Field(
        [], description="the first distinct values; none for data that came inside a job"
    )

    @property
    def is_numeric(self) -> bool:
        return self.dtype is not ColumnType.STRING

    @property
    def is_constant(self) -> bool:
        return self.missing == 0 and self.min is not None and self.min == self.max


class Dataset(BaseModel):
    """A stored table: immutable, hashed, profiled."""

    model_config = ConfigDict(frozen=True)

    id: str
    object: Literal["dataset"] = "dataset"
    name: str | None = None
    format: str = Field(
        description="what was uploaded: csv, parquet, arrow_stream, arrow_file, ndjson, json, npy"
        " or npz"
    )
    n_rows: int
    n_columns: int
    size_bytes: int = Field(description="bytes of the canonical Arrow file")
    sha256: str = Field(description="of the canonical Arrow file")
    columns: list[Column]
    unreadable: list[UnreadableColumn] = Field(
        [], description="columns of the file that are not kept: a job that names one is refused"
    )
    default_target: list[str] | None = Field(None, description="targets of an upload with X and y")
    default_weight: str | None = None
    warnings: list[str] = []
    parent_id: str | None = Field(None, description="the dataset to which rows were appended")
    parent_rows: int | None = Field(None, description="how many of the first rows are the parent's")
    created_at: datetime
    urls: dict[str, str] = {}

    @computed_field(  # type: ignore[prop-decorator]
        description="the likeliest column to predict: never a year, a date or an id"
    )
    @property
    def suggested_target(self) -> str | None:
        if self.default_target:
            return self.default_target[0]
        return suggested_target(self.columns, self.n_rows)

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


class Preview(BaseModel):
    """The first rows of a dataset; null is a missing cell."""

    model_config = ConfigDict(frozen=True)

    object: Literal["preview"] = "preview"
    columns: list[str]
    rows: list[list[Sample | None]]


# In a CSV, where nothing else is said, these are missing cells; an empty cell always is.
NULL_WORDS = ("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "-")


class UploadFormat(StrEnum):
    """What an upload may be; a Dataset's `format` says which it was."""

    CSV = "csv"
    PARQUET = "parquet"
    ARROW_STREAM = "arrow_stream"
    ARROW_FILE = "arrow_file"
    NDJSON = "ndjson"
    JSON = "json"
    NPY = "npy"
    NPZ = "npz"


MEDIA_TYPES = {
    "text/csv": UploadFormat.CSV,
    "application/vnd.apache.parquet": UploadFormat.PARQUET,
    "application/vnd.apache.arrow.stream": UploadFormat.ARROW_STREAM,
    "application/vnd.apache.arrow.file": UploadFormat.ARROW_FILE,
    "application/x-ndjson": UploadFormat.NDJSON,
    "application/json": UploadFormat.JSON,
    "application/x-npy": UploadFormat.NPY,
    "application/x-npz": UploadFormat.NPZ,
}

# Formats of numbers alone, without names: no option is about their text.
ARRAYS = frozenset({UploadFormat.NPY, UploadFormat.NPZ})

# How a file that holds each is called; a packed one has a further suffix.
SUFFIXES = {
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
Packing = Literal["gzip", "zstd"]
PACKED_SUFFIXES: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd"}
