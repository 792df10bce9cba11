"""Factors kept beside their dataset: the second job on it reads none of its rows.

A file per way of looking at the dataset (weight, missing cells, encoding, rows held out) and choice
of columns. It can be made again, so it is written without fsync, and what is damaged is no more
than absent.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from descend.encoding import Encoding
from descend.errors import CorruptArtefact
from workers import training
from workers.spool import read_file, write_file
from workers.tables import Columns

__all__ = ["FactorFolder", "Kept", "View"]


_SPLIT = "split-"

# Of each kind, by last use: choices of columns, and splits, whose seed is mostly another each time.
MOST_KEPT = 8


@dataclass(frozen=True)
class View:
    """A way of looking at a dataset: all that its factor depends on."""

    columns: Columns
    fraction: float = 0.0  # held out
    seed: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every row is in the factor that is trained on, whatever its features hold."""
        return self.fraction == 0

    def name(self) -> str:
        seed = self.seed if self.fraction else 0
        digest = _sha256([asdict(self.columns), self.fraction, seed])[:32]
        return digest if self.is_whole else f"{_SPLIT}{digest}"


@dataclass(frozen=True, eq=False)
class Kept:
    """What a folder keeps of a view."""

    encoding: Encoding
    n_used: int
    n_dropped: int
    trained: training.Factor
    held: training.Factor | None
    weight_unit: float = 1.0


class FactorFolder:
    """The factors of one dataset."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, view: View) -> Kept | None:
        """Read what is kept of a view; None where nothing is, or nothing that can be used."""
        try:
            document, blobs = read_file(self._path(view))
            if document.pop("sha256") != _sha256(document):
                return None
            with contextlib.suppress(OSError):
                os.utime(self._path(view))  # the last use
            return Kept(
                encoding=Encoding.model_validate(document["encoding"]),
                n_used=int(document["n_used"]),
                n_dropped=int(document["n_dropped"]),
                trained=training.factor_from_bytes(blobs[0]),
                held=training.factor_from_bytes(blobs[1]) if len(blobs) > 1 else None,
                weight_unit=float.fromhex(document.get("weight_unit", "0x1p+0")),
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError, CorruptArtefact):
            return None

    def keep(self, view: View, kept: Kept) -> None:
        """Keep a view's factor; a disk without room for it only costs the next job its time."""
        path = self._path(view)
        temporary = path.with_name(f".tmp-{os.urandom(8).hex()}")
        factors = [kept.trained] if kept.held is None else [kept.trained, kept.held]
        document = {
            "encoding": kept.encoding.model_dump(mode="json"),
            "n_used": kept.n_used,
            "n_dropped": kept.n_dropped,
            "weight_unit": kept.weight_unit.hex(),
        }
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            document["sha256"] = _sha256(document)
            write_file(temporary, document, [training.factor_to_bytes(one) for one in factors])
            temporary.rename(path)
            self._evict(view)

    def _evict(self, view: View) -> None:
        """Delete what was not used for longest; a split never displaces a whole."""
        alike = [
            path
            for path in self._folder.glob("*.factor")
            if path.name.startswith(_SPLIT) != view.is_whole
        ]
        for path in sorted(alike, key=lambda path: path.stat().st_mtime_ns)[:-MOST_KEPT]:
            path.unlink(missing_ok=True)

    def _path(self, view: View) -> Path:
        return self._folder / f"{view.name()}.factor"


def _sha256(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
