"""Bulk between worker and runner: files that hold numbers, never code."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from descend.history import History
from descend.jobs import Metrics, StopReason
from tests.servers import until
from workers.reports import (
    MAX_BLOB_BYTES,
    Entry,
    Fate,
    Unreadable,
    portions,
    read_report,
    write_report,
)
from workers.spool import MAX_FILE_BYTES, Blobs, Spool, read_file, write_file


def rows(n: int, *, total: int) -> History:
    columns = np.random.default_rng(n).normal(size=(5, n))
    epoch = np.arange(total - n, total)
    return History(epoch, columns[0], columns[1], columns[2], columns[3], columns[4], total=total)


def test_a_document_and_its_blobs_come_back_as_they_were(tmp_path: Path) -> None:
    write_file(tmp_path / "order-1", {"jobs": ["ü", 1.5, None]}, [b"", b"\x00\xff" * 1000])

    document, blobs = read_file(tmp_path / "order-1")

    assert document == {"jobs": ["ü", 1.5, None]}
    assert blobs == [b"", b"\x00\xff" * 1000]


def test_equal_bytes_are_written_once() -> None:
    blobs = Blobs()

    places = [blobs.add(b"data"), blobs.add(b"other"), blobs.add(b"data")]

    assert places == [0, 1, 0]
    assert blobs.parts == [b"data", b"other"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],
        lambda whole: whole + b"x",
        lambda whole: b"\xff" * 8 + whole[8:],
        lambda whole: whole.replace(b"{", b"[", 1),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage) -> None:
    path = tmp_path / "report-1"
    write_file(path, {"entries": []}, [b"12345678"])
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(ValueError):  # noqa: PT011  JSON's and ours
        read_file(path)


def test_a_file_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from workers.spool import write_file\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_file(Path(sys.argv[1]), {}, [bytes(100_000)])\n"
        "except OSError as error: sys.exit(error.errno)\n"
    )

    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "order-1")], check=False)

    assert done.returncode == 27  # EFBIG
    assert list(tmp_path.iterdir()) == []


def test_a_report_brings_every_bit_of_its_numbers(tmp_path: Path) -> None:
    history = rows(7, total=20)
    history.train_loss[3] = np.inf
    history.eval_loss[:] = np.nan
    entry = Entry(
        "job_1",
        3,
        fate=Fate.SUCCEEDED,
        epochs_done=20,
        history=history,
        checkpoint=b"\x01\x02",
        stop_reason=StopReason.MAX_EPOCHS,
        coef=np.array([[0.1, 2e-308], [-1.0, 1 / 3]]),
        intercept=np.array([np.pi, -0.0]),
        metrics=Metrics(n_samples=3, epochs=20, train_loss=0.5),
        warnings=("slow",),
    )

    write_report(tmp_path / "r", [entry], step_seconds=0.25)
    report = read_report(tmp_path / "r")

    (read,) = report.entries
    assert isinstance(read, Entry)
    assert report.step_seconds == 0.25
    for name in ("job_id", "fence", "fate", "epochs_done", "checkpoint", "stop_reason", "warnings"):
        assert getattr(read, name) == getattr(entry, name)
    assert read.metrics == entry.metrics
    np.testing.assert_array_equal(read.coef, entry.coef)
    np.testing.assert_array_equal(read.intercept, entry.intercept)
    for name in ("epoch", "train_loss", "eval_loss", "learning_rate", "grad_norm"):
        np.testing.assert_array_equal(getattr(read.history, name), getattr(history, name))
    assert read.history.total == 20


def test_a_report_of_another_shape_is_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "r", {"entries": [{"job_id": "job_1"}], "step_seconds": 1})

    with pytest.raises(ValueError, match="not a report"):
        read_report(tmp_path / "r")


def document(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


def report(**changed: object) -> bytes:
    entry = {"job_id": "job_1", "fence": 1, "fate": "running", "epochs_done": 1, "warnings": []}
    nulls = [one.name for one in fields(Entry) if one.name not in entry] + ["n_targets"]
    whole = {"step_seconds": 1.0, "blobs": []} | changed
    entry |= dict.fromkeys(nulls) | {key: whole.pop(key) for key in changed if key not in PARTS}
    return document(json.dumps({"entries": [entry]} | whole).encode())


PARTS = {"step_seconds", "blobs", "entries"}


@pytest.mark.parametrize(
    "written",
    [
        document(b"{}"),
        document(b"[]"),
        document(b"null"),
        document(b"[" * 100_000),
        report(blobs=["x"]),
        report(blobs=None),
        report(entries=[[]]),
        report(fence=float("inf")),
        report(fence=float("nan")),
        report(fence=2**64),
        report(step_seconds=float("inf")),
        report(step_seconds=float("nan")),
    ],
)
def test_whatever_else_a_report_holds_it_is_refused_as_a_value(
    tmp_path: Path, written: bytes
) -> None:
    (tmp_path / "good").write_bytes(report())
    (tmp_path / "bad").write_bytes(written)

    assert read_report(tmp_path / "good").entries[0].job_id == "job_1"
    with pytest.raises(ValueError):  # noqa: PT011  JSON's and ours
        read_report(tmp_path / "bad")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"epochs_done": -1}, "a count that is none"),
        ({"epochs_done": 2**31}, "a count that is none"),
        ({"engine": ["eager"]}, "a word that is none"),
        ({"device": "cpu\0"}, "a word that is none"),
        ({"device": "\ud800"}, "a word that is none"),
        ({"coef": 0}, "IndexError"),
        ({"resolved": {"learning_rate": 1e301}}, "Hyperparameters.learning_rate"),
        ({"metrics": {"n_samples": 3, "epochs": "many"}}, "Metrics.epochs: Input should be"),
        ({"stop_reason": "boredom"}, "is not a valid StopReason"),
    ],
)
def test_an_entry_that_is_none_names_its_job_and_leaves_the_others_alone(
    tmp_path: Path, changed: dict[str, object], reason: str
) -> None:
    good, bad = (json.loads(report(**more)[8:])["entries"][0] for more in ({}, changed))
    whole = {"entries": [bad, good | {"job_id": "job_2"}], "step_seconds": 1.0, "blobs": []}
    (tmp_path / "r").write_bytes(document(json.dumps(whole).encode()))

    one, other = read_report(tmp_path / "r").entries

    assert isinstance(one, Unreadable)
    assert (one.job_id, one.fence, one.fate) == ("job_1", 1, Fate.RUNNING)
    assert reason in one.reason
    assert isinstance(other, Entry)
    assert other.job_id == "job_2"


def test_a_report_of_more_bytes_than_may_be_read_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(report())
    os.truncate(tmp_path / "r", MAX_FILE_BYTES + 1)  # a hole: it takes no room

    with pytest.raises(ValueError, match=f"a file of {MAX_FILE_BYTES + 1} bytes; at most"):
        read_report(tmp_path / "r")


def test_entries_of_more_bytes_than_a_report_holds_are_parted() -> None:
    bulk = bytes(MAX_BLOB_BYTES // 2 - 1)
    entries = [
        Entry(f"job_{n}", 1, fate=Fate.RUNNING, epochs_done=1, checkpoint=bulk) for n in range(5)
    ]

    parted = list(portions(entries))

    assert [len(portion) for portion in parted] == [2, 2, 1]
    assert [entry for portion in parted for entry in portion] == entries
    assert list(portions([])) == []


def test_a_new_worker_removes_the_spool_of_a_dead_one_and_leaves_that_of_a_living_one(
    tmp_path: Path,
) -> None:
    script = (
        "import os, sys, time; from pathlib import Path; from workers.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), sys.argv[2])\n"
        "write = (spool.folder / 'order-1').write_text('x'); os.read(0, 1)\n"
    )

    def started(worker_id: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), worker_id], stdin=subprocess.PIPE
        )
        until((tmp_path / worker_id / "order-1").exists)
        return process

    with started("wrk_dead") as dead, started("wrk_alive") as alive:
        os.kill(dead.pid, signal.SIGKILL)
        dead.wait()
        mine = Spool(tmp_path, "wrk_mine")
        left = sorted(path.name for path in tmp_path.glob("wrk_*"))
        alive.kill()

    assert left == ["wrk_alive", "wrk_mine"]
    mine.close()
    assert not mine.folder.exists()
