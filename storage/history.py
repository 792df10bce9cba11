r"""Loss histories as chunks of float64 columns: a few rows for a million epochs.

A chunk is self-describing, little-endian:

    4 bytes  "dh2\0"
    u32      n, the rows in it
    6 bytes  how each of descend.history.COLUMNS is stored: r(aw), c(onstant) or, for epoch, s(teps)
    then     per column: raw n values of 8 bytes; constant one value; steps the first epoch (each
             next is one more)

A column that no epoch changes (a rate, the eval_loss that is not there) costs 8 bytes a chunk.
Chunks that begin with "dh1\0" are older and have no gap, the last column.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from descend.errors import CorruptArtefact
from descend.history import COLUMNS, History
from descend.hyperparameters import Hyperparameters

__all__ = [
    "BYTES_PER_EPOCH",
    "CHUNK_ROWS",
    "HEAD_BYTES",
    "chunks",
    "decoded",
    "estimated_bytes",
    "joined",
    "loss_place",
]

# Of most: train_loss, grad_norm and gap; the other columns are the same all along.
BYTES_PER_EPOCH = 24

# A slice reads whole chunks: 16,384 rows are at most 640 KiB.
CHUNK_ROWS = 16_384

_HEAD = struct.Struct("<4sI6s")
_MAGIC = b"dh2\0"
_HEAD_WITHOUT_GAP = struct.Struct("<4sI5s")
_MAGIC_WITHOUT_GAP = b"dh1\0"
_RAW, _CONSTANT, _STEPS = b"rcs"
HEAD_BYTES = _HEAD.size


def estimated_bytes(h: Hyperparameters) -> int:
    """Estimate what a history of all its epochs takes: 8 bytes for each number that changes."""
    if h.optimizer == "exact":
        return BYTES_PER_EPOCH
    evaluated = bool(h.validation_fraction) or h.validation_dataset is not None
    changing = 2 + h.has_certificate + evaluated + (h.schedule is not None)
    return 8 * changing * h.max_epochs


def chunks(history: History) -> Iterator[tuple[int, bytes]]:
    """Cut new rows into (place of the first row, encoded chunk).

    The history's `total` counts the job's rows up to and with these, so that it ends there.
    """
    first = history.total - len(history)
    if first < 0:
        raise ValueError(f"{len(history)} rows cannot end at row {history.total}")
    for start in range(0, len(history), CHUNK_ROWS):
        part = history.take(np.arange(start, min(start + CHUNK_ROWS, len(history))))
        yield first + start, _encoded(part)


def _encoded(history: History) -> bytes:
    kinds, payloads = bytearray(), []
    for name in COLUMNS:
        values = np.ascontiguousarray(
            getattr(history, name), dtype="<i8" if name == "epoch" else "<f8"
        )
        bits = values.view(np.int64)  # NaN equals itself here, and -0.0 does not equal 0.0
        if name == "epoch" and (np.diff(values) == 1).all():
            kinds.append(_STEPS)
            payloads.append(values[:1].tobytes())
        elif (bits == bits[0]).all():
            kinds.append(_CONSTANT)
            payloads.append(values[:1].tobytes())
        else:
            kinds.append(_RAW)
            payloads.append(values.tobytes())
    return _HEAD.pack(_MAGIC, len(history), bytes(kinds)) + b"".join(payloads)


def decoded(chunk: bytes) -> History:
    """Read a chunk; `total` is the number of its rows."""
    head = _HEAD_WITHOUT_GAP if chunk[:4] == _MAGIC_WITHOUT_GAP else _HEAD
    magic, n, kinds = head.unpack_from(chunk)
    if magic not in {_MAGIC, _MAGIC_WITHOUT_GAP}:
        raise CorruptArtefact("a history chunk does not begin as one")
    columns: dict[str, NDArray[np.int64] | NDArray[np.float64]] = {}
    place = head.size
    for name, kind in zip(COLUMNS, kinds, strict=False):
        stored = n if kind == _RAW else 1
        values = np.frombuffer(chunk, "<i8" if name == "epoch" else "<f8", stored, place)
        place += 8 * stored
        if kind == _STEPS:
            values = np.arange(values[0], values[0] + n)
        columns[name] = np.repeat(values, n) if kind == _CONSTANT else values
    columns.setdefault("gap", np.full(n, np.nan))
    return History(**columns, total=n)  # type: ignore[arg-type]  # epoch is int64, the others not


def loss_place(head: bytes, row: int) -> int:
    """Say where in a chunk the train_loss of a row stands, by the chunk's first HEAD_BYTES."""
    form = _HEAD_WITHOUT_GAP if head[:4] == _MAGIC_WITHOUT_GAP else _HEAD
    _, n, (epochs, losses, *_) = form.unpack_from(head)
    place = form.size + 8 * (n if epochs == _RAW else 1)
    return place + (8 * row if losses == _RAW else 0)


def joined(stored: Iterable[tuple[int, bytes]], *, start: int, stop: int, total: int) -> History:
    """Put chunks together, in the order of their places, and cut the rows [start, stop)."""
    parts = []
    for first, chunk in stored:
        part = decoded(chunk)
        low, high = max(start - first, 0), min(stop - first, len(part))
        if low < high:
            parts.append(part if high - low == len(part) else part.take(np.arange(low, high)))
    if not parts:
        return replace(History.empty(), total=total)
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
    return History(**columns, total=total)
