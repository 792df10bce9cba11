"""Files made to break a reader: some by hand, and valid ones of every format, mutated by seed."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

__all__ = ["Hostile", "by_hand", "mutated"]

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
NDJSON = "application/x-ndjson"
JSON = "application/json"
NPY = "application/x-npy"
NPZ = "application/x-npz"


@dataclass(frozen=True)
class Hostile:
    """A body; `what` says how it was made, so that it can be made again."""

    what: str
    kind: str
    content: bytes
    packed: bool = False
    query: str = ""


def mutated(seed: int) -> Hostile:
    """Take a valid file and break it: the same file for the same seed."""
    rng = random.Random(seed)  # noqa: S311
    kind, content = rng.choice(valid())
    broken = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        broken = bytearray(rng.choice(WAYS)(broken, rng))
    if rng.random() < 0.05:
        kind = rng.choice([kind for kind, _ in valid()])
    packed = rng.random() < 0.1
    body = bytes(broken)
    if packed:
        body = zlib.compress(body, wbits=31)
        if rng.random() < 0.5:
            body = bytes(rng.choice(WAYS)(bytearray(body), rng))
    query = rng.choice(["", "", "", "delimiter=;", "decimal=,", "encoding=latin-1", "text=a"])
    return Hostile(f"seed {seed}", kind, body, packed, query if kind == CSV else "")


Way = Callable[[bytearray, random.Random], bytes | bytearray]


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _replace(data: bytearray, rng: random.Random) -> bytearray:
    if data:
        data[rng.randrange(len(data))] = rng.choice([0, 10, 13, 34, 44, 59, 127, 128, 255])
    return data


def _cut(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def _cut_out(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice([1, 2, 8, 100]) :]


def _repeat(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.choice([1, 8, 64])]
    return data[:start] + piece * rng.choice([2, 3, 50]) + data[start:]


def _number(data: bytearray, rng: random.Random) -> bytearray:
    """Write a number that lengths and offsets should not be."""
    number = rng.choice([-1, 0, 1, 2**31 - 1, -(2**31), 2**62, -(2**63), 2**40, 10**9])
    packed = struct.pack("<q", number)[: rng.choice([4, 8])]
    start = rng.randrange(len(data) + 1)
    return data[:start] + packed + data[start + len(packed) :]


def _swap(data: bytearray, rng: random.Random) -> bytearray:
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[b:] + data[a:b] + data[:a]


WAYS: list[Way] = [
    _flip,
    _flip,
    _replace,
    _replace,
    _cut,
    _cut_out,
    _repeat,
    _number,
    _number,
    _swap,
]


@cache
def valid() -> list[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "a": [None if i % 7 == 0 else float(v) for i, v in enumerate(rng.random(60))],
            "b": rng.integers(-100, 100, 60),
            "town": [None if i % 5 == 0 else f"Ort {i % 4}, ü" for i in range(60)],
            "sold": [bool(i % 3) for i in range(60)],
        }
    )
    typed = frame.with_columns(pl.col("town").cast(pl.Categorical))
    files = [(CSV, _written(frame.write_csv)), (NDJSON, _written(frame.write_ndjson))]
    for table in (frame, typed):
        files += [
            (PARQUET, _written(table.write_parquet, compression=c))
            for c in ("zstd", "snappy", "uncompressed")
        ]
        for compression in ("uncompressed", "lz4", "zstd"):
            files += [
                (ARROW_FILE, _written(table.write_ipc, compression=compression)),
                (ARROW_STREAM, _written(table.write_ipc_stream, compression=compression)),
            ]
    streams = sorted((Path(__file__).parents[1] / "storage" / "arrow_files").glob("*.arrow*"))
    files += [
        (ARROW_STREAM if path.suffix == ".arrows" else ARROW_FILE, path.read_bytes())
        for path in streams
    ]
    X = rng.random((20, 3))
    npz = io.BytesIO()
    np.savez_compressed(npz, X=X, y=X[:, 0])
    files += [(NPY, _npy(X)), (NPY, _npy(np.asfortranarray(X.astype("f4")))), (NPZ, npz.getvalue())]
    files.append((JSON, b'{"X": [[1.0, 2], [3, 4e0], [5, -6]], "y": [1, 2, 3]}'))
    files.append((JSON, b'{"columns": {"a": [1, null, 2.5], "b": ["x", "y", null]}}'))
    return files


def _written(write: Callable[..., object], **options: object) -> bytes:
    file = io.BytesIO()
    write(file, **options)
    return file.getvalue()


def _npy(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _header(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def by_hand() -> list[Hostile]:
    """Files that were thought of: what a reader must survive by design, not by luck."""
    parquet, stream, file = (
        next(content for kind, content in valid() if kind == wanted)
        for wanted in (PARQUET, ARROW_STREAM, ARROW_FILE)
    )
    return [
        *(Hostile("nothing", kind, b"") for kind, _ in valid()),
        *_of_csv(),
        *_of_numpy(),
        *_of_json(),
        *(Hostile("an Arrow length", ARROW_STREAM, _forged(stream, n)) for n in LENGTHS),
        *(
            Hostile("an Arrow footer", ARROW_FILE, file[:-10] + struct.pack("<i", n) + b"ARROW1")
            for n in LENGTHS
        ),
        *(
            Hostile("a Parquet footer", PARQUET, parquet[:-8] + struct.pack("<i", n) + b"PAR1")
            for n in LENGTHS
        ),
        Hostile("structs in structs", PARQUET, _parquet(b"\x1c" * 1000)),
        Hostile("a list of billions", PARQUET, _parquet(b"\x19\xfc\xff\xff\xff\xff\x0f")),
        *_forged_rows(parquet),
    ]


LENGTHS = (-1, 2**31 - 1, 0, 7)


def _of_csv() -> list[Hostile]:
    names = [b"c%d" % i for i in range(10**6)]
    bombs = {
        "a gzip bomb": zlib.compress(bytes(10**7), wbits=31) * 200,
        "a gzip bomb of lines": zlib.compress(b"a\n" + b"1\n" * 10**7, wbits=31),
        "many empty members": zlib.compress(b"", wbits=31) * 50_000,
    }
    texts = {
        "NULs": bytes(10**6),
        "a NUL in a cell": b"a,b\n1,\x002\n",
        "ragged": b"a,b\n" + b"1,2\n" * 1000 + b"1\n2,3,4\n",
        "a field of 10 MB": b"a,b\n1," + b"x" * 10**7 + b"\n",
        "a quoted field of 10 MB": b'a,b\n1,"' + b"x" * 10**7 + b'"\n',
        "an open quote of 10 MB": b'a,b\n1,"' + b"x\n" * (5 * 10**6),
        "a million columns": b",".join(names) + b"\n1\n",
        "ten thousand columns": b",".join(names[:10_000]) + b"\n1\n",
        "a million cells in a row": b"a,b\n" + b"1," * 10**6 + b"\n",
        "only newlines": b"a\n" + b"\n" * 10**6,
        "only carriage returns": b"a\r" + b"1\r" * 10**5,
        "wrong UTF-8": b"a,b\n1,\xc3\x28\n",
        "UTF-16": "a,b\n1,2\n".encode("utf-16"),
        "surrogates": b"a,b\n1,\xed\xa0\x80\n",
        "digits without end": b"a\n" + b"9" * 10**6 + b"\n",
        "exponents": b"a\n1e" + b"9" * 10**5 + b"\n",
    }
    return [
        *(Hostile(what, CSV, content, packed=True) for what, content in bombs.items()),
        *(Hostile(what, CSV, content) for what, content in texts.items()),
    ]


def _of_numpy() -> list[Hostile]:
    ones = _npy(np.ones(3))
    arrays = {
        "objects": _npy(np.array([{}, []], dtype=object)),
        "a pickle": b"cos\nsystem\n(S'true'\ntR.",
        "a shape beyond memory": _header("(9223372036854775807, 2)") + bytes(16),
        "a shape beyond numbers": _header(f"({'9' * 400},)"),
        "a negative shape": _header("(-1, -1)") + bytes(8),
        "a nested header": _header("(" * 5000 + ")" * 5000),
        "a type of everything": _header("(1,)", "[('a', '<f8', (1000000000,))]"),
    }
    large = _header("(2000000,)") + bytes(16 * 10**6)
    archives = {
        "paths": _zip({"../../X.npy": ones, "/etc/y.npy": ones, "X.npy": ones}),
        "a zip bomb": _zip({"X.npy": large, "y.npy": ones}),
        "a zip in a zip": _zip({"X.npy": _zip({"X.npy": ones}), "y.npy": ones}),
        "one name twice": _zip({"X.npy": ones, "y.npy": ones}).replace(b"y.npy", b"X.npy"),
    }
    return [
        *(Hostile(what, NPY, content) for what, content in arrays.items()),
        *(Hostile(what, NPZ, content) for what, content in archives.items()),
    ]


def _of_json() -> list[Hostile]:
    lines = {
        "brackets": b'{"a":' + b"[" * 10**6,
        "a line without end": b'{"a": "' + b"x" * 10**7,
        "ever new columns": b"\n".join(b'{"c%d": 1}' % i for i in range(20_000)),
        "digits": b'{"a": ' + b"9" * 10**6 + b"}",
    }
    return [
        *(Hostile(what, NDJSON, content) for what, content in lines.items()),
        Hostile("brackets", JSON, b"[" * 10**6),
    ]


def _parquet(footer: bytes) -> bytes:
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _forged(stream: bytes, length: int) -> bytes:
    return stream[:4] + struct.pack("<i", length) + stream[8:]


def _forged_rows(parquet: bytes) -> list[Hostile]:
    """Let each number of rows and values claim more: 60 as a zigzag varint is one byte."""
    start = len(parquet) - 8 - int(struct.unpack("<I", parquet[-8:-4])[0])
    places = [i for i in range(start, len(parquet) - 8) if parquet[i] == 120]
    return [
        Hostile(f"forged at {place}", PARQUET, parquet[:place] + b"\x7e" + parquet[place + 1 :])
        for place in places
    ]
