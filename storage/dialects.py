"""What SQLite and PostgreSQL say differently, each said once.

Every time in the database is an integer: microseconds since 1970-01-01 UTC, by the database's
own clock.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Boolean, Table, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from descend.jobs import JobState

__all__ = [
    "a_lease_after_start",
    "held_fence",
    "insert_for",
    "instant",
    "is_settled",
    "now",
    "state",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class now(FunctionElement[int]):  # noqa: N801  an SQL function
    """The database's clock, in microseconds; the same value within one statement.

    SQLite's clock is exact to the millisecond only: julianday is a double with steps of 40 us,
    so it is rounded to the millisecond it stands for. PostgreSQL's statement_timestamp is stable
    and so, unlike clock_timestamp, can be compared with an index.
    """

    type = BigInteger()
    inherit_cache = True


class held_fence(FunctionElement[int]):  # noqa: N801  an SQL function
    """held_fence(held, id): the fence that the JSON object `held` has for this id."""

    type = BigInteger()
    inherit_cache = True


class a_lease_after_start(FunctionElement[bool]):  # noqa: N801  an SQL function
    """a_lease_after_start(lease): the server has been up for longer than this lease.

    While a PostgreSQL server restarts nobody can renew: an expired lease says nothing until every
    worker has had a lease's time to come back. SQLite has no server that could have been away.
    """

    type = Boolean()
    inherit_cache = True


class is_settled(FunctionElement[bool]):  # noqa: N801  an SQL function
    """is_settled(place): no transaction that still runs can commit an event before this one.

    PostgreSQL's places are numbers of transactions, and these commit in any order: what the oldest
    running one has not passed is held back, for the milliseconds that it takes. (After a restore
    the numbers begin anew; migrate brings the places back to 0.) SQLite's writers take turns.
    """

    type = Boolean()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(_element: now, _compiler: SQLCompiler, **_: Any) -> str:
    return "(CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000)"


@compiles(now, "postgresql")
def _now_postgresql(_element: now, _compiler: SQLCompiler, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT)"


@compiles(held_fence, "sqlite")
def _held_sqlite(element: held_fence, compiler: SQLCompiler, **kw: Any) -> str:
    held, key = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_extract({held}, '$.' || {key})"


@compiles(held_fence, "postgresql")
def _held_postgresql(element: held_fence, compiler: SQLCompiler, **kw: Any) -> str:
    held, key = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"CAST(CAST({held} AS JSONB) ->> {key} AS BIGINT)"


@compiles(is_settled, "sqlite")
def _settled_sqlite(_element: is_settled, _compiler: SQLCompiler, **_: Any) -> str:
    return "1 = 1"


@compiles(is_settled, "postgresql")
def _settled_postgresql(element: is_settled, compiler: SQLCompiler, **kw: Any) -> str:
    (place,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{place} < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"


@compiles(a_lease_after_start, "sqlite")
def _up_sqlite(_element: a_lease_after_start, _compiler: SQLCompiler, **_: Any) -> str:
    return "1 = 1"


@compiles(a_lease_after_start, "postgresql")
def _up_postgresql(element: a_lease_after_start, compiler: SQLCompiler, **kw: Any) -> str:
    (lease,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return (
        f"pg_postmaster_start_time() + {lease} * INTERVAL '1 microsecond' < statement_timestamp()"
    )


def state(state: JobState) -> Any:
    """Write a state into the statement itself: partial indexes are not found through a bind."""
    return literal_column(f"'{state.value}'")


def insert_for(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Begin an INSERT that may say ON CONFLICT."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def instant(microseconds: int) -> datetime:
    """Read a time of the database."""
    return _EPOCH + timedelta(microseconds=microseconds)
