"""Stored datasets: the profile, and where the canonical Arrow file is."""

import json

from pydantic import TypeAdapter
from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, insert, or_, select

from descend.datasets import Column, Dataset
from descend.errors import DatasetInUse, DatasetNotFound
from descend.jobs import Page
from descend.unreadable import UnreadableColumn
from storage.dialects import instant, now
from storage.leases import StoredData
from storage.tables import dataset_parents, datasets, jobs, unreadable_columns

__all__ = ["DatasetRepository"]

_COLUMNS = TypeAdapter(list[Column])
_UNREADABLE = TypeAdapter(list[UnreadableColumn])

_ADD = insert(datasets).values(created_at=now()).returning(datasets.c.created_at)
_OF_THIS = dataset_parents.c.dataset_id == datasets.c.id
_VIEW = select(
    *(column for column in datasets.c if column.name not in {"inline", "artefact"}),
    # Not a join: PostgreSQL does not lock rows of what may be absent.
    select(dataset_parents.c.parent_id).where(_OF_THIS).scalar_subquery().label("parent_id"),
    select(dataset_parents.c.n_rows).where(_OF_THIS).scalar_subquery().label("parent_rows"),
    select(unreadable_columns.c.columns)
    .where(unreadable_columns.c.dataset_id == datasets.c.id)
    .scalar_subquery()
    .label("unreadable"),
)
_GET = _VIEW.where(datasets.c.id == bindparam("my_id"))
# A job may be added for a dataset only while no transaction is deleting it.
_HOLD = _GET.with_for_update(read=True, key_share=True)
_STORED = select(datasets.c.id, datasets.c.sha256, datasets.c.inline, datasets.c.artefact).where(
    datasets.c.id == bindparam("my_id")
)
_LOCK = select(datasets.c.artefact).where(datasets.c.id == bindparam("my_id")).with_for_update()
_USED = select(
    select(jobs.c.id)
    .where(
        or_(
            jobs.c.dataset_id == bindparam("my_id"),
            and_(jobs.c.validation_id.is_not(None), jobs.c.validation_id == bindparam("my_id")),
        ),
        jobs.c.finished_at.is_(None),
    )
    .exists()
)
_DELETE = delete(datasets).where(datasets.c.id == bindparam("my_id"))
_WITH_ARTEFACTS = select(datasets.c.id).where(datasets.c.artefact.is_not(None))
_ARTEFACTS = select(datasets.c.artefact).where(datasets.c.artefact.is_not(None))


class DatasetRepository:
    """Datasets of one transaction.

    In a transaction that writes, `get` also keeps the dataset from being deleted until it ends.
    """

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._get = _HOLD if writes else _GET

    def add(self, dataset: Dataset, *, inline: bytes | None, artefact: str | None) -> Dataset:
        """Store a dataset: its file's bytes, or the artefact key where they are already."""
        created_at = self._connection.scalar(
            _ADD,
            {
                **dataset.model_dump(include=_PLAIN),
                "columns": _COLUMNS.dump_json(dataset.columns).decode(),
                "default_target": json.dumps(dataset.default_target),
                "warnings": json.dumps(dataset.warnings),
                "inline": inline,
                "artefact": artefact,
            },
        )
        if dataset.parent_id is not None:
            self._connection.execute(
                insert(dataset_parents),
                {
                    "dataset_id": dataset.id,
                    "parent_id": dataset.parent_id,
                    "n_rows": dataset.parent_rows,
                },
            )
        if dataset.unreadable:
            columns = _UNREADABLE.dump_json(dataset.unreadable).decode()
            self._connection.execute(
                insert(unreadable_columns), {"dataset_id": dataset.id, "columns": columns}
            )
        return dataset.model_copy(
            update={"created_at": instant(created_at or 0), "urls": _urls(dataset.id)}
        )

    def get(self, dataset_id: str) -> Dataset:
        """Read one dataset; DatasetNotFound where there is none."""
        row = self._connection.execute(self._get, {"my_id": dataset_id}).mappings().first()
        if row is None:
            raise DatasetNotFound(f"there is no dataset {dataset_id}")
        return _dataset_of(row)

    def page(
        self, *, after: str | None = None, limit: int = 20, q: str | None = None
    ) -> Page[Dataset]:
        """List datasets, newest first, from below the id `after`."""
        statement = _VIEW.order_by(datasets.c.id.desc()).limit(limit + 1)
        if after is not None:
            statement = statement.where(datasets.c.id < after)
        if q is not None:
            statement = statement.where(
                or_(
                    datasets.c.name.icontains(q, autoescape=True),
                    datasets.c.id.startswith(q, autoescape=True),
                )
            )
        rows = self._connection.execute(statement).mappings().all()
        data = [_dataset_of(row) for row in rows[:limit]]
        return Page(data=data, has_more=len(rows) > limit, last_id=data[-1].id if data else None)

    def stored(self, dataset_id: str) -> StoredData:
        """Say where a dataset's bytes are; DatasetNotFound where there is none."""
        row = self._connection.execute(_STORED, {"my_id": dataset_id}).first()
        if row is None:
            raise DatasetNotFound(f"there is no dataset {dataset_id}")
        return StoredData(
            dataset_id=row.id, sha256=row.sha256, inline=row.inline, artefact=row.artefact
        )

    def delete(self, dataset_id: str) -> str | None:
        """Delete a dataset; returns the artefact key to delete after the commit, if it has one.

        Raises:
            DatasetNotFound: when there is none with this id.
            DatasetInUse: while jobs that are queued or running use it.
        """
        row = self._connection.execute(_LOCK, {"my_id": dataset_id}).first()
        if row is None:
            raise DatasetNotFound(f"there is no dataset {dataset_id}")
        if self._connection.scalar(_USED, {"my_id": dataset_id}):
            raise DatasetInUse(f"dataset {dataset_id} is used by jobs that have not ended")
        self._connection.execute(_DELETE, {"my_id": dataset_id})
        artefact: str | None = row.artefact
        return artefact

    def ids(self) -> set[str]:
        """The ids of all datasets that have an artefact: what is kept beside them may stay."""
        return set(self._connection.scalars(_WITH_ARTEFACTS))

    def artefacts(self) -> set[str]:
        """All artefact keys in use: what a sweep keeps."""
        return set(self._connection.scalars(_ARTEFACTS))


_PLAIN = {
    "id", "name", "format", "n_rows", "n_columns", "size_bytes", "sha256", "default_weight"
}  # fmt: skip


def _dataset_of(row: RowMapping) -> Dataset:
    return Dataset.model_construct(
        **{name: row[name] for name in _PLAIN},
        columns=_COLUMNS.validate_json(row["columns"]),
        unreadable=_UNREADABLE.validate_json(row["unreadable"]) if row["unreadable"] else [],
        default_target=json.loads(row["default_target"]) if row["default_target"] else None,
        warnings=json.loads(row["warnings"]),
        parent_id=row["parent_id"],
        parent_rows=row["parent_rows"],
        created_at=instant(row["created_at"]),
        urls=_urls(row["id"]),
    )


def _urls(dataset_id: str) -> dict[str, str]:
    here = f"/v1/datasets/{dataset_id}"
    return {"self": here, "preview": f"{here}/preview", "rows": f"{here}/rows"}
