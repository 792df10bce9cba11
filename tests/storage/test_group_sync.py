"""One fsync for many commits: nobody is told too early, nobody pays alone."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from descend.errors import Unavailable
from storage.database import Database
from storage.group_sync import IO_ERROR, GroupSync

N_THREADS = 16
N_COMMITS = 20


class WatchedSync(GroupSync):
    """A real sync that notes what had been written when it began, and once it has ended."""

    def __init__(self, database: Path, written: Callable[[], int]) -> None:
        super().__init__(database)
        self.n_syncs = 0
        self.on_disk = 0
        self._written = written

    def _sync(self) -> None:
        begun_with = self._written()
        super()._sync()
        self.n_syncs += 1
        self.on_disk = begun_with


class SlowSync(GroupSync):
    """A real sync that begins when everybody has committed and all but one of them wait."""

    def _sync(self) -> None:
        until(lambda: self._committed >= N_THREADS)
        super()._sync()


def test_who_waits_is_told_after_a_sync_that_began_after_its_commit(tmp_path: Path) -> None:
    log = tmp_path / "a.db-wal"
    log.touch()
    sync = WatchedSync(tmp_path / "a.db", lambda: log.stat().st_size)
    lock = threading.Lock()
    too_early = []

    def commit() -> None:
        for _ in range(N_COMMITS):
            with lock, log.open("ab") as file:
                file.write(b"x")
                mine = file.tell()
            sync.wait()
            if sync.on_disk < mine:
                too_early.append(mine)

    run_at_once(commit)

    assert too_early == []
    assert sync.n_syncs < N_THREADS * N_COMMITS / 2


def test_a_database_syncs_what_it_writes_and_nothing_else(sqlite_database: Database) -> None:
    path = Path(sqlite_database.url.database or "")
    sync = sqlite_database._sync = WatchedSync(path, lambda: 0)

    with sqlite_database.read() as tx:
        tx.workers.live("cpu", 10)
    with sqlite_database.begin():
        pass
    assert sync.n_syncs == 0

    with sqlite_database.begin() as tx:
        tx.workers.seen("wrk_1", "here", pid=1, queues=("cpu",))
    assert sync.n_syncs == 1


def test_a_log_that_a_checkpoint_removed_needs_no_sync(tmp_path: Path) -> None:
    sync = GroupSync(tmp_path / "gone.db")

    sync.wait()

    assert not (tmp_path / "gone.db-wal").exists()


def test_a_failed_sync_ends_the_process_before_anybody_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.db-wal").symlink_to("/proc/self/status")  # fdatasync fails with EINVAL there
    program = (
        "from pathlib import Path; from storage.group_sync import GroupSync;"
        f" GroupSync(Path({str(tmp_path / 'a.db')!r})).wait(); print('told')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert ended.returncode == IO_ERROR
    assert "told" not in ended.stdout


def test_a_log_that_cannot_be_opened_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "a.db-wal").symlink_to("a.db-wal")  # ELOOP
    sync = SlowSync(tmp_path / "a.db")
    refused = []

    def commit() -> None:
        try:
            sync.wait()
        except Unavailable as error:
            refused.append(error)

    threads = [threading.Thread(target=commit, daemon=True) for _ in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=2)
    assert len(refused) == N_THREADS

    (tmp_path / "a.db-wal").unlink()
    sync.wait()


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.001)


def run_at_once(act: Callable[[], None]) -> None:
    threads = [threading.Thread(target=act) for _ in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
