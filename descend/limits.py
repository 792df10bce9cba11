"""The limits in force, stated once: in the schema, in refusals and by `GET /v1/limits`."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "DEFAULT_LIST",
    "INLINE_IN_ROW_BYTES",
    "MAX_COEFFICIENTS",
    "MAX_COLUMNS",
    "MAX_ENCODED_CELLS",
    "MAX_EPOCHS",
    "MAX_HISTORY_POINTS",
    "MAX_LEARNING_RATE",
    "MAX_LEVELS",
    "MAX_LIST",
    "MAX_METADATA_PAIRS",
    "MAX_NAME_LENGTH",
    "MAX_PREDICTIONS",
    "MAX_TIMEOUT_SECONDS",
    "MAX_WAIT_SECONDS",
    "Limits",
]

MAX_EPOCHS = 10_000_000
MAX_LEARNING_RATE = 1e300  # where X is 1e-150, auto needs that
MAX_COLUMNS = 10_000
MAX_COEFFICIENTS = 1_000_000
MAX_LEVELS = 1000
MAX_ENCODED_CELLS = 2**24
MAX_PREDICTIONS = 2**22
MAX_LIST = 100
DEFAULT_LIST = 20
MAX_WAIT_SECONDS = 60
MAX_HISTORY_POINTS = 100_000
MAX_NAME_LENGTH = 200
MAX_METADATA_PAIRS = 16
MAX_TIMEOUT_SECONDS = 7 * 24 * 3600
INLINE_IN_ROW_BYTES = 256 * 1024


class Limits(BaseModel):
    """What this server accepts."""

    model_config = ConfigDict(frozen=True)

    inline_json_bytes: int = Field(16 * 2**20, ge=1, description="largest JSON body, bytes")
    upload_bytes: int = Field(10 * 2**30, ge=1, description="largest uploaded dataset, bytes")
    columns: int = Field(MAX_COLUMNS, description="columns of a dataset")
    coefficients: int = Field(MAX_COEFFICIENTS, description="features x targets of one model")
    levels: int = Field(MAX_LEVELS, description="levels of a text column that is encoded")
    encoded_cells: int = Field(
        MAX_ENCODED_CELLS, description="rows of one `predict` x features of its model"
    )
    predictions: int = Field(MAX_PREDICTIONS, description="rows of one request x targets")
    max_epochs: int = Field(MAX_EPOCHS, description="epochs of one job")
    queued_jobs: int = Field(10_000, ge=1, description="jobs waiting at once")
    free_bytes: int = Field(
        64 * 2**20,
        ge=0,
        description="room on the server's disk below which nothing is taken, bytes",
    )
    list_default: int = Field(DEFAULT_LIST, description="items in a list when no limit is given")
    list_max: int = Field(MAX_LIST, description="items in a list at most")
    wait_seconds: int = Field(MAX_WAIT_SECONDS, description="longest wait of one request, seconds")
    history_points: int = Field(
        MAX_HISTORY_POINTS, description="points in one JSON history; use max_points or CSV beyond"
    )
