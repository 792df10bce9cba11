"""What storage does in a second, with every commit on the disk: `python -m benchmarks.storage`.

Options: the folder for the SQLite file (a real disk, not a tmpfs), or a database URL to measure
instead. Prints medians of five rounds; the peer of a commit is one insert by sqlite3 alone, with
the same durability, in the same run.
"""

import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from descend.datasets import InlineXY
from descend.jobs import JobState, StopReason
from storage.database import Database
from storage.ingest import JsonTable, ingest_csv, read_columns
from storage.jobs import Outcome
from storage.migrate import migrate
from tests.storage.acts import MODEL, a_history, claim, claimed, history, report, submit

ROUNDS = 5
LESSON = a_history(1000)


def per_second(act: Callable[[], object], times: int) -> float:
    """Median over the rounds of how often an act runs in a second."""
    rates = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(times):
            act()
        rates.append(times / (time.perf_counter() - begun))
    return statistics.median(rates)


def milliseconds(act: Callable[[], object], times: int = 1) -> float:
    return 1000 / per_second(act, times)


def bare_commits(folder: Path) -> float:
    raw = sqlite3.connect(folder / "bare.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("CREATE TABLE rows (body TEXT)")

    def commit() -> None:
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("INSERT INTO rows VALUES (?)", ("x" * 2000,))
        raw.execute("COMMIT")

    rate = per_second(commit, 200)
    raw.close()
    return rate


def claim_and_finish(database: Database, limit: int) -> None:
    taken = claim(database, limit=limit)
    with database.begin() as tx:
        for held in taken:
            tx.jobs.finish(
                Outcome(
                    job_id=held.job_id,
                    fence=held.fence,
                    state=JobState.SUCCEEDED,
                    stop_reason=StopReason.MAX_EPOCHS,
                    epochs_done=1000,
                    model=MODEL,
                    history=LESSON,
                )
            )


def jobs(database: Database) -> None:
    print(f"submissions, one commit each      {per_second(lambda: submit(database), 200):9.0f} /s")
    alone = per_second(lambda: claim_and_finish(database, 1), 100)
    print(f"claim and finish, one at a time   {alone:9.0f} jobs/s")
    for _ in range(64 * 6 * ROUNDS):
        submit(database)
    together = 64 * per_second(lambda: claim_and_finish(database, 64), 5)
    print(f"claim and finish, 64 at a time    {together:9.0f} jobs/s")
    for _ in range(64):
        submit(database)
    held = {each.job_id: each.fence for each in claim(database, limit=64)}
    beating = milliseconds(lambda: beat(database, held), 50)
    print(f"heartbeat of 64 jobs              {beating:9.2f} ms")
    looking = milliseconds(lambda: look(database), 200)
    print(f"look whether anything is queued   {looking:9.3f} ms")


def beat(database: Database, held: dict[str, int]) -> None:
    with database.begin() as tx:
        tx.jobs.beat("w1", held, lease_seconds=30)


def look(database: Database) -> None:
    with database.read() as tx:
        tx.jobs.has_queued(["cpu"])


def histories(database: Database) -> None:
    held = claimed(database, hyperparameters={"max_epochs": 1_000_000})
    rows = a_history(1_000_000)
    written = milliseconds(lambda: report(database, held, 1_000_000, history=rows))
    print(f"a million epochs written          {written:9.1f} ms")
    whole = milliseconds(lambda: history(database, held.job_id))
    print(f"a million epochs read             {whole:9.1f} ms")
    cut = milliseconds(lambda: history(database, held.job_id, 700_000, 700_100), 20)
    print(f"a hundred of a million read       {cut:9.2f} ms")


def tables(folder: Path) -> None:
    X = np.random.default_rng(0).random((500_000, 5))
    path = folder / "table.csv"
    with path.open("w") as file:
        file.write("a,b,c,d,y\n")
        np.savetxt(file, X, delimiter=",")
    megabytes = path.stat().st_size / 1e6
    target = folder / "table.arrow"
    taken = milliseconds(lambda: ingest_csv(path, name=None, target=target)) / 1000
    print(f"CSV of {megabytes:3.0f} MB                     {megabytes / taken:9.0f} MB/s")
    read = milliseconds(lambda: sum(v.sum() for v in read_columns(target, list("abcdy")).values()))
    print(f"its five columns read and summed  {read:9.1f} ms")
    data = InlineXY(X=X[:50, :1].tolist(), y=X[:50, 1].tolist())
    inline = milliseconds(lambda: JsonTable.of(data).ingested(name=None), 200)
    print(f"fifty inline rows                 {inline:9.3f} ms")


def main(where: str) -> None:
    with tempfile.TemporaryDirectory(dir=None if "://" in where else where) as name:
        folder = Path(name)
        url = where if "://" in where else f"sqlite:///{folder / 'descend.db'}"
        migrate(url)
        database = Database(url)
        print(f"bare sqlite3 commits, the peer    {bare_commits(folder):9.0f} /s")
        jobs(database)
        histories(database)
        tables(folder)
        database.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
