"""The migrations make exactly the tables that the code knows."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from descend.errors import CorruptArtefact
from storage import migrations
from storage.database import HEAD, Database
from storage.migrate import migrate
from storage.tables import metadata
from tests.storage.harms import HARMS, harm

# Alembic cannot compare the index with a DESC in it; test_plans.py sees that it is used.
OPTIONS = {
    "compare_type": True,
    "include_object": lambda _object, name, *_: name != "jobs_queued",
}


def test_the_migrated_schema_is_the_one_in_tables(database_url: str) -> None:
    engine = create_engine(database_url)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=OPTIONS)
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


def test_the_code_knows_the_last_revision() -> None:
    scripts = ScriptDirectory(str(Path(str(migrations.__file__)).parent))

    assert scripts.get_current_head() == HEAD


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    migrate(database_url)

    database = Database(database_url)
    database.check()
    database.close()


def test_of_several_that_migrate_at_once_all_find_it_done(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    command = [sys.executable, "-m", "storage.migrate"]
    env = os.environ | {"DESCEND_DATABASE_URL": url}  # noqa: TID251

    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda _: subprocess.run(command, env=env, check=False), range(3)))

    database = Database(url)
    database.check()
    database.close()
    assert [done.returncode for done in ended] == [0, 0, 0]


def test_the_command_makes_the_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "new" / "folder"

    subprocess.run(
        [sys.executable, "-m", "storage.migrate"],
        env=os.environ | {"DESCEND_DATA": str(data)},  # noqa: TID251
        check=True,
    )

    raw = sqlite3.connect(data / "descend.db")
    assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
    raw.close()


def test_a_damaged_file_is_found_at_the_start(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "descend.db"
    content = bytearray(path.read_bytes())
    content[8192:40_000] = os.urandom(40_000 - 8192)
    path.write_bytes(content)

    with pytest.raises(CorruptArtefact, match="restore"):
        migrate(sqlite_url)


def test_damage_where_no_revision_looks_is_found_at_the_start(
    sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "descend.db"
    raw = sqlite3.connect(path)
    with raw:
        raw.execute("CREATE TABLE letters (text BLOB)")
        raw.executemany("INSERT INTO letters VALUES (?)", [(os.urandom(900),)] * 50)
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    ((page,),) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'letters'")
    raw.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = bytes(4096)
    path.write_bytes(content)

    with pytest.raises(CorruptArtefact, match="restore"):
        migrate(sqlite_url)


@pytest.mark.parametrize("how", HARMS)
def test_what_cannot_be_migrated_is_said_in_a_sentence(
    how: str, sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "descend.db"
    harm(path, how)

    done = subprocess.run(
        [sys.executable, "-m", "storage.migrate"],
        env={"DESCEND_DATA": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert HARMS[how] in done.stderr
    assert len(done.stderr.splitlines()) == 1
