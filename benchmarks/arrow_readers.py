"""Libraries that could read an uploaded Arrow stream, side by side (docs/decisions/0020).

    python -m benchmarks.arrow_readers [--rounds 5] [--broken 2000]

Those of arro3, pyarrow, nanoarrow and polars that are installed, each in a process of its own: the
time of its import, of reading a stream of 2,000,000 rows (ten numbers and a text of 50 levels) and
writing it as a canonical file, the most memory (RssAnon), and the size on disk. Then, of so many
streams broken by seed, how many ended the process.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from tests.hostile.broken import ARROW_STREAM, mutated

ROWS, COLUMNS, LEVELS, BATCH = 2_000_000, 10, 50, 2**17
PACKAGES = {
    "descend": ("storage.arrow_tables", ("arro3-core", "arro3-io")),  # arro3 behind our checks
    "arro3": ("arro3.io", ("arro3-core", "arro3-io")),
    "pyarrow": ("pyarrow.ipc", ("pyarrow",)),
    "nanoarrow": ("nanoarrow.ipc", ("nanoarrow",)),
    "polars": ("polars", ()),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--broken", type=int, default=2000, help="streams")
    options.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        _one(*chosen.one)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.arrows"
        _table().write_ipc_stream(path)
        for name, (module, packages) in PACKAGES.items():
            if find_spec(module.partition(".")[0]):
                _measure(name, packages, path, chosen.rounds, chosen.broken)


def _measure(name: str, packages: tuple[str, ...], path: Path, rounds: int, broken: int) -> None:
    found = [_asked(name, "read", str(path)) for _ in range(rounds)]
    if not all(found):
        print(f"{name:10} does not read the stream")
        return
    imported, took, most = (statistics.median(row) for row in zip(*found, strict=True))
    size = sum(_installed_bytes(package) for package in packages) / 2**20
    ended, place = 0, 0
    while place < broken:
        last = _asked(name, "break", f"{place}:{broken}")
        ended += last[-1] < broken
        place = int(last[-1]) + 1
    print(
        f"{name:10} import {imported:6.1f} ms   read and write {took:5.2f} s   most"
        f" {most:5.0f} MB   on disk {size:4.0f} MB   ended by {ended} of {broken} broken streams"
    )


def _asked(name: str, what: str, told: str) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.arrow_readers", "--one", name, what, told]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return [float(number) for number in answer.stdout.split()[-3:]]


def _one(name: str, what: str, told: str) -> None:
    begun = time.perf_counter()
    import_module(PACKAGES[name][0])
    imported = 1e3 * (time.perf_counter() - begun)
    if what == "read":
        begun = time.perf_counter()
        _write_canonical(name, Path(told))
        print(imported, time.perf_counter() - begun, _most_megabytes())
        return
    first, after = map(int, told.split(":"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broken.arrows"
        streams = (one for one in map(mutated, count()) if one.kind == ARROW_STREAM)
        for place, one in enumerate(islice(streams, after)):
            if place >= first:
                print(place, flush=True)
                path.write_bytes(one.content)
                _read_broken(READERS[name], path)
    print(after)


def _read_broken(reader: Callable[[Path], Iterable[pl.DataFrame]], path: Path) -> None:
    try:
        for frame in reader(path):
            frame.rows()
    except BaseException as error:  # a panic of Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise


def _write_canonical(name: str, path: Path) -> None:
    target, reader = path.with_suffix(".canonical"), READERS[name]
    if name == "descend":
        scan = import_module("storage.arrow_tables").scan_arrow(path, 2**32, is_stream=True)
        scan.sink_ipc(target, record_batch_size=BATCH)
        return

    def frames(*_: Any) -> Iterator[pl.DataFrame]:
        for frame in reader(path):
            for start in range(0, len(frame), BATCH):
                yield frame[start : start + BATCH].with_columns(pl.col("k").cast(pl.String))

    schema = {f"x{j}": pl.Float64() for j in range(COLUMNS)} | {"k": pl.String()}
    scan = register_io_source(frames, schema=schema)
    scan.sink_ipc(target, record_batch_size=BATCH)


def _arro3(path: Path) -> Iterator[pl.DataFrame]:
    return map(pl.DataFrame, import_module("arro3.io").read_ipc_stream(path))


def _pyarrow(path: Path) -> Iterator[pl.DataFrame]:
    pyarrow = import_module("pyarrow")
    with pyarrow.OSFile(str(path)) as file:
        for batch in pyarrow.ipc.open_stream(file):
            batch.validate(full=True)
            yield pl.DataFrame(batch)


def _nanoarrow(path: Path) -> Iterator[pl.DataFrame]:
    stream = import_module("nanoarrow.ipc").InputStream.from_path(path)
    return map(pl.DataFrame, import_module("nanoarrow").ArrayStream(stream))


def _polars(path: Path) -> Iterator[pl.DataFrame]:
    yield pl.read_ipc_stream(path)


def _descend(path: Path) -> Iterator[pl.DataFrame]:
    yield import_module("storage.arrow_tables").scan_arrow(path, 2**32, is_stream=True).collect()


READERS = {
    "descend": _descend,
    "arro3": _arro3,
    "pyarrow": _pyarrow,
    "nanoarrow": _nanoarrow,
    "polars": _polars,
}


def _table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    words = pl.Series([f"level {i}" for i in range(LEVELS)])
    numbers = {f"x{j}": rng.normal(size=ROWS) for j in range(COLUMNS)}
    texts = words.gather(rng.integers(0, LEVELS, ROWS))
    return pl.DataFrame(numbers | {"k": texts.cast(pl.Categorical)})


def _most_megabytes() -> float:
    """The most resident memory that is not a mapped file's, as the kernel last knew it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    told = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
    return (int(told["VmHWM"]) - int(told["RssFile"])) / 1024


def _installed_bytes(package: str) -> int:
    files = distribution(package).files or []
    return sum(Path(str(file.locate())).stat().st_size for file in files)


if __name__ == "__main__":
    main()
