"""`python -m storage.migrate`: bring the database's schema up to this code's.

Safe to run from several places at once: one does it, the others wait and find it done.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from pydantic import ValidationError
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from descend.errors import CorruptArtefact, DescendError, Unavailable
from storage.database import DAMAGED, HEAD, newer, revision_of, translated
from storage.private_files import keep_private, make_private
from storage.settings import StorageSettings
from storage.shrinking import AUTO_VACUUM, make_shrinkable

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
        CorruptArtefact: when a SQLite file is none, or does not pass its quick check.
        Unavailable: when a newer version wrote the database, or it does not answer.
        StorageFull: when the disk is.
    """
    engine = create_engine(url, poolclass=NullPool)
    sqlite = make_url(url).get_backend_name() == "sqlite"
    if sqlite:
        event.listen(engine, "connect", _explicit_transactions)
        event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    with translated(), engine.begin() as connection:
        revision = revision_of(connection)
        if revision is not None and revision > HEAD:
            raise Unavailable(newer(revision))
        if sqlite:
            _quick_check(connection)
        else:
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        command.upgrade(_config(connection), "head")
        if not sqlite:
            connection.execute(text(_PLACES_OF_A_RESTORE))
    engine.dispose()
    if sqlite:
        make_shrinkable(Path(make_url(url).database or ""))


def _quick_check(connection: Connection) -> None:
    """A file that the disk has damaged is found at the start, not in the middle of a night."""
    if connection.scalar(text("PRAGMA quick_check(1)")) != "ok":
        raise CorruptArtefact(DAMAGED)


def _explicit_transactions(raw, _record) -> None:  # type: ignore[no-untyped-def]
    raw.isolation_level = None
    raw.execute(AUTO_VACUUM)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA busy_timeout = 30000")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


def main() -> int:
    keep_private()
    try:
        settings = StorageSettings()
        make_private(settings.data)
        migrate(settings.url)
    except (DescendError, ValidationError) as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"the data folder cannot be used: {error.strerror or error}")
    return 0


def _failed(message: str) -> int:
    print(f"descend: {message}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
