"""The canonical file that polars writes: a streaming pass, whole or not at all."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from storage.arrow_writer import batch_rows

if TYPE_CHECKING:
    import polars as pl

__all__ = ["sink_canonical"]


def sink_canonical(scan: "pl.LazyFrame", target: Path, n_columns: int) -> None:
    """Write to `target`, which `scan` may read from.

    A pass that fails leaves threads of polars behind that write a little longer: to a file of its
    own, which nobody reads, or they would write into the next attempt's.
    """
    import polars as pl

    attempt = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        scan.sink_ipc(
            attempt,
            compat_level=pl.CompatLevel.oldest(),
            record_batch_size=batch_rows(n_columns),
        )
        attempt.rename(target)
    finally:
        attempt.unlink(missing_ok=True)
