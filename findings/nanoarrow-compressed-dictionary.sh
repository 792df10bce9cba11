#!/usr/bin/env bash
# nanoarrow 0.9.0 reads Arrow streams whose buffers are compressed, zstd or lz4, but not their
# dictionaries: it takes a dictionary's compressed bytes for the buffers themselves, and refuses the
# stream ("Expected string array buffer 1 to have size >= ... but found ..." for zstd, sizes
# or offsets of no sense for lz4). The same table with plain text columns, compressed, is
# read; so is the same dictionary, uncompressed. pyarrow 26.0.1 writes all of them, and reads them.
#
# Seen with Python 3.11 on Linux x86-64. Exits 0 while this is so, 1 where it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  nanoarrow==0.9.0 pyarrow==26.0.1

"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import nanoarrow
import pyarrow as pa
from pyarrow import ipc

TREES = ["ash", "oak", "fir"] * 200
PLAIN = pa.table({"tree": TREES})
DICTIONARY = pa.table({"tree": pa.array([f"tree {i}" for i in range(600)]).dictionary_encode()})


def written(table, codec):
    file = io.BytesIO()
    with ipc.new_stream(file, table.schema, options=ipc.IpcWriteOptions(compression=codec)) as w:
        w.write_table(table)
    return file.getvalue()


def read(stream):
    assert len(ipc.open_stream(stream).read_all()) == 600  # pyarrow reads every one
    try:
        return f"{len(nanoarrow.Array(nanoarrow.ArrayStream.from_readable(stream)))} rows"
    except nanoarrow._utils.NanoarrowException as error:
        return f"refused: {str(error).splitlines()[0]}"


told = {
    (name, codec): read(written(table, codec))
    for name, table in (("text", PLAIN), ("dictionary", DICTIONARY))
    for codec in (None, "zstd", "lz4")
}
for (name, codec), answer in told.items():
    print(f"{name:10} {codec or 'uncompressed':12} {answer}")
refused = {key for key, answer in told.items() if answer.startswith("refused")}
sys.exit(refused != {("dictionary", "zstd"), ("dictionary", "lz4")})
PYTHON
