"""One thing that is wrong with a request, for programs: which field, and what would be taken."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FieldError"]


class FieldError(BaseModel):
    """One field, or one column of a file, that is wrong."""

    model_config = ConfigDict(frozen=True)

    param: str = Field(description="dotted path of the field, e.g. hyperparameters.learning_rate")
    message: str
    code: str
    column: str | None = Field(None, description="of a file: the column at fault")
    rows: list[int] = Field([], description="of a file: the first such rows; row 1 is the first")
    n_cells: int | None = Field(None, description="of a file: how many cells are at fault")
    options: list[dict[str, list[str]]] = Field(
        [],
        description="ways to have it taken, the likeliest first: query parameters to send as well,"
        " each perhaps several times",
    )
