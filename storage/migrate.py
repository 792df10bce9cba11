"""`python -m storage.migrate`: bring the database's schema up to this code's.

Safe to run from several places at once: one does it, the others wait and find it done.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from descend.errors import CorruptArtefact
from storage.settings import StorageSettings

__all__ = ["main", "migrate"]

# Any number will do, as long as it is always the same: "descend" in base 36.
_LOCK = 29_137_938_133

# Places of events are numbers of transactions, which a restored PostgreSQL counts from anew.
_PLACES_OF_A_RESTORE = """
UPDATE job_events SET place = 0
WHERE place > CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)
"""


def migrate(url: str) -> None:
    """Run the revisions that are missing, in one transaction.

    Raises:
        CorruptArtefact: when a SQLite file does not pass its quick check.
    """
    engine = create_engine(url, poolclass=NullPool)
    sqlite = make_url(url).get_backend_name() == "sqlite"
    if sqlite:
        event.listen(engine, "connect", _explicit_transactions)
        event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        if sqlite:
            _quick_check(connection)
        else:
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        command.upgrade(_config(connection), "head")
        if not sqlite:
            connection.execute(text(_PLACES_OF_A_RESTORE))
    engine.dispose()


def _quick_check(connection: Connection) -> None:
    """A file that the disk has damaged is found at the start, not in the middle of a night."""
    try:
        verdict = connection.scalar(text("PRAGMA quick_check(1)"))
    except DatabaseError as error:
        verdict = str(error.orig)
    if verdict != "ok":
        raise CorruptArtefact("the database's file is damaged: restore the last backup")


def _explicit_transactions(raw, _record) -> None:  # type: ignore[no-untyped-def]
    raw.isolation_level = None
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA busy_timeout = 30000")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


def main() -> None:
    settings = StorageSettings()
    if not settings.database_url:
        settings.data.mkdir(parents=True, exist_ok=True)
    migrate(settings.url)


if __name__ == "__main__":
    main()
