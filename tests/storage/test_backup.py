"""A backup is one consistent file, made while others write; a restored one works."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from descend.errors import InvalidInput
from descend.ids import new_id
from storage.artefacts import LocalArtefacts
from storage.backup import backup
from storage.database import Database
from tests.storage.acts import a_dataset, a_history, claimed, finish, get, history, submit
from tests.storage.harms import HARMS, harm


@pytest.fixture
def artefacts(tmp_path: Path) -> LocalArtefacts:
    return LocalArtefacts(tmp_path / "artefacts")


def upload(database: Database, artefacts: LocalArtefacts) -> str:
    """Store a dataset in the way uploads do: bytes first, then the row."""
    dataset = a_dataset()
    key = f"datasets/{dataset.id}.arrow"
    artefacts.put(key, dataset.id.encode() * 1000)
    with database.begin() as tx:
        tx.datasets.add(dataset, inline=None, artefact=key)
    return dataset.id


def restored(archive: Path, folder: Path) -> tuple[Database, LocalArtefacts]:
    folder.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)  # as a person would
    return Database(f"sqlite:///{folder / 'descend.db'}"), LocalArtefacts(folder / "artefacts")


def test_a_restored_backup_has_jobs_models_histories_and_datasets(
    sqlite_database: Database, artefacts: LocalArtefacts, tmp_path: Path
) -> None:
    held = claimed(sqlite_database)
    finish(sqlite_database, held, history=a_history(1000))
    dataset_id = upload(sqlite_database, artefacts)

    backup(sqlite_database, artefacts, tmp_path / "backup.tar")

    database, files = restored(tmp_path / "backup.tar", tmp_path / "restored")
    database.check()
    assert get(database, held.job_id) == get(sqlite_database, held.job_id)
    assert len(history(database, held.job_id)) == 1000
    with database.read() as tx:
        assert tx.models.of_job(held.job_id).coef == [[2.0]]
        stored = tx.datasets.stored(dataset_id)
    assert stored.artefact is not None
    assert files.path(stored.artefact).read_bytes() == dataset_id.encode() * 1000
    assert submit(database)[1]
    database.close()


def test_a_backup_made_while_datasets_come_and_go_is_consistent(
    sqlite_database: Database, artefacts: LocalArtefacts, tmp_path: Path
) -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            dataset_id = upload(sqlite_database, artefacts)
            submit(sqlite_database)
            if int(dataset_id[-1], 16) % 2:
                with sqlite_database.begin() as tx:
                    key = tx.datasets.delete(dataset_id)
                artefacts.delete(str(key))

    writer = threading.Thread(target=come_and_go)
    writer.start()
    try:
        for i in range(5):
            backup(sqlite_database, artefacts, tmp_path / f"{i}.tar")
    finally:
        stop.set()
        writer.join()

    for i in range(5):
        database, files = restored(tmp_path / f"{i}.tar", tmp_path / f"restored{i}")
        with database.read() as tx:
            named = tx.datasets.artefacts()
        database.close()
        assert set(files.keys()) == named


class Shrinking(Database):
    """A database whose datasets are all deleted just after a first snapshot was taken."""

    artefacts: LocalArtefacts
    snapshots = 0

    def backup(self, target: Path) -> None:
        super().backup(target)
        self.snapshots += 1
        with self.begin() as tx:
            keys = [tx.datasets.delete(dataset.id) for dataset in tx.datasets.page().data]
        for key in keys:
            self.artefacts.delete(str(key))


def test_a_dataset_deleted_after_the_snapshot_is_left_out_of_the_next(
    sqlite_url: str, artefacts: LocalArtefacts, tmp_path: Path
) -> None:
    shrinking = Shrinking(sqlite_url)
    shrinking.artefacts = artefacts
    upload(shrinking, artefacts)

    backup(shrinking, artefacts, tmp_path / "backup.tar")

    shrinking.close()
    database, files = restored(tmp_path / "backup.tar", tmp_path / "restored")
    with database.read() as tx:
        assert tx.datasets.page().data == []
    database.close()
    assert list(files.keys()) == []
    assert shrinking.snapshots == 2


def test_a_backup_that_fails_leaves_nothing(
    sqlite_database: Database, artefacts: LocalArtefacts, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(InvalidInput, match="exists already"):
        backup(sqlite_database, artefacts, tmp_path / "taken")

    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_postgresql_is_backed_up_by_its_own_tool(
    postgresql_url: str, artefacts: LocalArtefacts, tmp_path: Path
) -> None:
    database = Database(postgresql_url)

    with pytest.raises(InvalidInput, match="pg_dump"):
        backup(database, artefacts, tmp_path / "backup.tar")

    database.close()
    assert not (tmp_path / "backup.tar").exists()


def test_the_command_writes_a_backup(
    sqlite_database: Database, tmp_path: Path, sqlite_url: str
) -> None:
    job, _ = submit(sqlite_database, name=new_id("wrk"))

    done = subprocess.run(
        [sys.executable, "-m", "storage.backup", str(tmp_path / "backup.tar")],
        env={"DESCEND_DATABASE_URL": sqlite_url, "DESCEND_DATA": str(tmp_path)},
        check=False,
        timeout=60,
    )

    database, _ = restored(tmp_path / "backup.tar", tmp_path / "restored")
    assert done.returncode == 0
    assert get(database, job.id) == job
    database.close()


def command(target: Path, data: Path) -> tuple[int, str]:
    """Run the command as a person would; return its exit code and all it says."""
    done = subprocess.run(
        [sys.executable, "-m", "storage.backup", str(target)],
        env={"DESCEND_DATA": str(data)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_a_backup_is_its_owners_alone(
    sqlite_database: Database, artefacts: LocalArtefacts, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        backup(sqlite_database, artefacts, tmp_path / "backup.tar")
    finally:
        os.umask(before)

    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600


def test_an_earlier_backup_is_not_written_over(sqlite_database: Database, tmp_path: Path) -> None:
    (tmp_path / "earlier.tar").write_bytes(b"all that is left")

    code, words = command(tmp_path / "earlier.tar", tmp_path)

    assert code == 2
    assert words == f"descend: {tmp_path}/earlier.tar exists already: name a file that does not\n"
    assert (tmp_path / "earlier.tar").read_bytes() == b"all that is left"


@pytest.mark.parametrize("how", HARMS)
def test_what_cannot_be_backed_up_is_said_in_a_sentence(
    how: str, sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "descend.db"
    harm(path, how)

    code, words = command(tmp_path / "backup.tar", tmp_path)

    assert code == 1
    assert HARMS[how] in words
    assert len(words.splitlines()) == 1
    assert not (tmp_path / "backup.tar").exists()


def test_a_backup_of_nothing_or_to_nowhere_makes_nothing(
    sqlite_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    of_nothing = command(tmp_path / "backup.tar", tmp_path / "empty")
    to_nowhere = command(tmp_path / "nowhere" / "backup.tar", tmp_path)

    assert of_nothing == (2, f"descend: there is no database in {tmp_path}/empty\n")
    assert to_nowhere == (2, f"descend: there is no folder {tmp_path}/nowhere: make it first\n")
    assert list((tmp_path / "empty").iterdir()) == []
