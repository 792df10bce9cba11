"""The columnar loss history of a job."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired

import numpy as np
from numpy.typing import NDArray

# On Python 3.11 pydantic cannot read typing.TypedDict.
from typing_extensions import TypedDict

if TYPE_CHECKING:
    import pandas
    import polars
    from rich.console import Group

__all__ = ["COLUMNS", "History", "HistoryJSON"]

COLUMNS = ("epoch", "train_loss", "eval_loss", "learning_rate", "grad_norm", "gap")

Floats = NDArray[np.float64]


class HistoryJSON(TypedDict):
    """A history as JSON: lists of equal length; `total` counts the stored epochs.

    Only the columns that were asked for are there, all where none was named. A value that is not
    finite (a divergence's last losses) is null.
    """

    object: str
    total: int
    epoch: NotRequired[list[int]]
    train_loss: NotRequired[list[float | None]]
    eval_loss: NotRequired[list[float | None]]
    learning_rate: NotRequired[list[float | None]]
    grad_norm: NotRequired[list[float | None]]
    gap: NotRequired[list[float | None]]


@dataclass(frozen=True, eq=False)
class History:
    """Losses by epoch, each column a float64 array of the same length.

    `train_loss[k]` is the data term of the objective BEFORE step k, as the notebook prints it.
    `eval_loss` is all NaN where the job has no validation rows. `grad_norm` is the 2-norm of the
    gradient of the smooth objective (data term and l2) in the coordinates that were trained. `gap`
    is the objective's distance from its certified minimum, NaN where no minimum is known.

    Attributes:
        epoch: epoch numbers, int64, increasing.
        total: epochs stored for the job; len(history) may be fewer (a slice, a downsampling).
    """

    epoch: NDArray[np.int64]
    train_loss: Floats
    eval_loss: Floats
    learning_rate: Floats
    grad_norm: Floats
    gap: Floats
    total: int

    def __len__(self) -> int:
        return len(self.epoch)

    @classmethod
    def empty(cls) -> "History":
        """Return a history of no epochs."""
        none = np.empty(0)
        return cls(np.empty(0, np.int64), none, none, none, none, none, total=0)

    @classmethod
    def joined(cls, parts: Sequence["History"]) -> "History":
        """Put slices behind one another; the last knows the total."""
        if len(parts) == 1:
            return parts[0]
        columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in COLUMNS}
        return cls(**columns, total=parts[-1].total)

    def take(self, places: NDArray[np.intp]) -> "History":
        """Return the rows at these places: no point is invented."""
        return History(
            epoch=self.epoch[places],
            train_loss=self.train_loss[places],
            eval_loss=self.eval_loss[places],
            learning_rate=self.learning_rate[places],
            grad_norm=self.grad_norm[places],
            gap=self.gap[places],
            total=self.total,
        )

    def to_numpy(self) -> Floats:
        """Return shape (epochs, 6), float64: the columns in the order of COLUMNS."""
        return np.column_stack([getattr(self, name).astype(np.float64) for name in COLUMNS])

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a pandas frame with the columns of COLUMNS."""
        import pandas

        return pandas.DataFrame({name: getattr(self, name) for name in COLUMNS})

    def to_polars(self) -> "polars.DataFrame":
        """Return a polars frame with the columns of COLUMNS."""
        import polars

        return polars.DataFrame({name: getattr(self, name) for name in COLUMNS})

    def __rich__(self) -> "Group":
        from descend.views import history_page

        return history_page(self)

    def _repr_html_(self) -> str:
        from descend.views import history_html

        return history_html(self)

    def to_json(self) -> HistoryJSON:
        """Return what the wire has: lists, in which null is a number that is not finite."""
        return HistoryJSON(
            object="history",
            total=self.total,
            epoch=self.epoch.tolist(),
            train_loss=_finite(self.train_loss),
            eval_loss=_finite(self.eval_loss),
            learning_rate=_finite(self.learning_rate),
            grad_norm=_finite(self.grad_norm),
            gap=_finite(self.gap),
        )

    @classmethod
    def from_json(cls, body: HistoryJSON) -> "History":
        """Read what the wire has."""

        def column(values: list[float | None]) -> Floats:
            return np.array([math.nan if v is None else v for v in values], dtype=np.float64)

        return cls(
            epoch=np.array(body["epoch"], dtype=np.int64),
            train_loss=column(body["train_loss"]),
            eval_loss=column(body["eval_loss"]),
            learning_rate=column(body["learning_rate"]),
            grad_norm=column(body["grad_norm"]),
            gap=column(body["gap"]),
            total=body["total"],
        )


def _finite(column: Floats) -> list[float | None]:
    if np.isfinite(column).all():
        return list(column.tolist())
    return [value if math.isfinite(value) else None for value in column.tolist()]
