"""Artefacts are absent or complete, whatever runs full or is killed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from descend.errors import CorruptArtefact
from storage.artefacts import LocalArtefacts

MEGABYTE = 2**20


@pytest.fixture
def artefacts(tmp_path: Path) -> LocalArtefacts:
    return LocalArtefacts(tmp_path / "artefacts")


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, MEGABYTE, 3 * MEGABYTE + 1])
def test_what_is_put_is_read_back_with_its_checksum(
    artefacts: LocalArtefacts, tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    source = tmp_path / "source"
    source.write_bytes(content)

    sums = [artefacts.put("datasets/a.arrow", content), artefacts.put("datasets/b.arrow", source)]

    assert sums == [hashlib.sha256(content).hexdigest()] * 2
    assert artefacts.path("datasets/a.arrow").read_bytes() == content
    assert artefacts.path("datasets/b.arrow").read_bytes() == content
    artefacts.verify("datasets/a.arrow", sums[0])


@pytest.mark.parametrize(
    "key",
    ["", "a", "../a", "datasets/../a", "/etc/passwd", "datasets/.tmp-1", "d/a\0", "d/ü", "d//a"],
)
def test_a_key_never_leaves_the_folder(artefacts: LocalArtefacts, key: str) -> None:
    with pytest.raises(ValueError, match="no artefact key"):
        artefacts.path(key)


def test_a_changed_or_missing_artefact_is_found_out(artefacts: LocalArtefacts) -> None:
    sha256 = artefacts.put("datasets/a.arrow", b"content")
    artefacts.path("datasets/a.arrow").write_bytes(b"c0ntent")

    with pytest.raises(CorruptArtefact, match="checksum"):
        artefacts.verify("datasets/a.arrow", sha256)
    with pytest.raises(CorruptArtefact, match="missing"):
        artefacts.verify("datasets/b.arrow", sha256)


def test_deleting_twice_is_fine(artefacts: LocalArtefacts) -> None:
    artefacts.put("datasets/a.arrow", b"content")

    artefacts.delete("datasets/a.arrow")
    artefacts.delete("datasets/a.arrow")

    assert not artefacts.exists("datasets/a.arrow")


def test_a_sweep_takes_what_no_row_names_and_no_one_writes(artefacts: LocalArtefacts) -> None:
    for name in ("kept", "orphan", "young"):
        artefacts.put(f"datasets/{name}", b"content")
    left_over = artefacts.path("datasets/kept").with_name(".tmp-dead")
    left_over.write_bytes(b"half")
    for path in (artefacts.path("datasets/kept"), artefacts.path("datasets/orphan"), left_over):
        os.utime(path, (time.time() - 100, time.time() - 100))

    swept = artefacts.sweep({"datasets/kept"}.__contains__, older_than_seconds=50)

    assert sorted(swept) == ["datasets/.tmp-dead", "datasets/orphan"]
    assert sorted(artefacts.keys()) == ["datasets/kept", "datasets/young"]


PUT_BEYOND_A_LIMIT = """
import resource, signal, sys
from pathlib import Path
from descend.errors import StorageFull
from storage.artefacts import LocalArtefacts
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    LocalArtefacts(Path(sys.argv[1])).put("datasets/a.arrow", bytes(2000))
except StorageFull:
    sys.exit(7)
"""


def test_a_short_write_is_seen_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PUT_BEYOND_A_LIMIT, str(tmp_path)], check=False, timeout=60
    )

    assert done.returncode == 7
    assert files(tmp_path) == []


PUT_SLOWLY = """
import sys
from pathlib import Path
from storage.artefacts import LocalArtefacts, durable
place = LocalArtefacts(Path(sys.argv[1])).path("datasets/a.arrow")
place.parent.mkdir(parents=True)
with durable(place) as file:
    file.write(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_writer_that_is_killed_leaves_no_artefact(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", PUT_SLOWLY, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdin is not None
    assert writer.stdout.readline() == b"writing\n"

    writer.send_signal(signal.SIGKILL)
    writer.wait(timeout=10)
    writer.stdin.close()
    writer.stdout.close()

    artefacts = LocalArtefacts(tmp_path)
    assert not artefacts.exists("datasets/a.arrow")
    assert list(artefacts.keys()) == []
    assert len(artefacts.sweep(lambda _: False, older_than_seconds=-1)) == 1
