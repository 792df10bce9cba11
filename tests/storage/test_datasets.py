"""Datasets, models and workers as rows."""

import pytest

from descend.errors import DatasetInUse, DatasetNotFound, ModelNotFound
from storage.database import Database
from tests.storage.acts import a_dataset, cancel, claim, claimed, finish, get, submit


def test_a_dataset_is_read_back_as_it_was_answered(database: Database) -> None:
    given = a_dataset()

    with database.begin() as tx:
        answered = tx.datasets.add(given, inline=b"rows", artefact=None)
    with database.read() as tx:
        read = tx.datasets.get(given.id)
        stored = tx.datasets.stored(given.id)

    assert read == answered
    assert read.columns == given.columns
    assert read.urls["self"] == f"/v1/datasets/{given.id}"
    assert (stored.inline, stored.artefact, stored.sha256) == (b"rows", None, given.sha256)


def test_a_dataset_keeps_its_parent_also_when_that_is_deleted(database: Database) -> None:
    parent = a_dataset()
    child = a_dataset().model_copy(update={"parent_id": parent.id, "parent_rows": 2})
    with database.begin() as tx:
        tx.datasets.add(parent, inline=b"rows", artefact=None)
        tx.datasets.add(child, inline=b"more rows", artefact=None)

    with database.begin() as tx:
        tx.datasets.delete(parent.id)
    with database.begin() as tx:
        read, (listed,) = tx.datasets.get(child.id), tx.datasets.page().data

    assert (read.parent_id, read.parent_rows) == (parent.id, 2)
    assert listed == read


def test_datasets_are_listed_newest_first_and_found_by_name(database: Database) -> None:
    given = [a_dataset().model_copy(update={"name": name}) for name in ("Longley", "wool", None)]
    with database.begin() as tx:
        for dataset in given:
            tx.datasets.add(dataset, inline=None, artefact=f"datasets/{dataset.id}.arrow")

    with database.read() as tx:
        first = tx.datasets.page(limit=2)
        second = tx.datasets.page(limit=2, after=first.last_id)
        found = tx.datasets.page(q="LONG")

    ids = [dataset.id for dataset in given]
    assert [d.id for d in first.data + second.data] == ids[::-1]
    assert (first.has_more, second.has_more) == (True, False)
    assert [d.id for d in found.data] == ids[:1]


def test_a_dataset_in_use_is_not_deleted_until_its_jobs_have_ended(database: Database) -> None:
    dataset = a_dataset()
    with database.begin() as tx:
        tx.datasets.add(dataset, inline=None, artefact="datasets/a.arrow")
    running, _ = submit(database, dataset=dataset)
    (held,) = claim(database)
    queued, _ = submit(database, dataset=dataset)

    for end in (lambda: finish(database, held), lambda: cancel(database, queued.id)):
        with pytest.raises(DatasetInUse), database.begin() as tx:
            tx.datasets.delete(dataset.id)
        end()
    with database.begin() as tx:
        key = tx.datasets.delete(dataset.id)

    assert key == "datasets/a.arrow"
    assert get(database, running.id).dataset_id == dataset.id


def test_what_is_not_there_is_not_found(database: Database) -> None:
    with database.begin() as tx:
        for act in (tx.datasets.get, tx.datasets.stored, tx.datasets.delete):
            with pytest.raises(DatasetNotFound):
                act("ds_0")
        for read in (tx.models.get, tx.models.of_job):
            with pytest.raises(ModelNotFound):
                read("mdl_0")


def test_models_are_listed_newest_first(database: Database) -> None:
    jobs = [claimed(database) for _ in range(3)]
    for held in jobs:
        finish(database, held)

    with database.read() as tx:
        first = tx.models.page(limit=2)
        second = tx.models.page(limit=2, after=first.last_id)

    ids = [get(database, held.job_id).model_id for held in jobs]
    assert [model.id for model in first.data + second.data] == ids[::-1]
    assert (first.has_more, second.has_more) == (True, False)


def test_a_worker_is_live_while_it_is_seen(database: Database) -> None:
    with database.begin() as tx:
        tx.workers.seen("w1", "host", pid=1, queues=["cpu", "cuda"])
        tx.workers.seen("w2", "host", pid=2, queues=["cpu"])
        tx.workers.seen("w2", "host", pid=2, queues=["cpu"])

    with database.read() as tx:
        live = [tx.workers.live(queue, 60) for queue in ("cpu", "cuda", "c")]
        long_ago = tx.workers.live("cpu", -1)
    with database.begin() as tx:
        tx.workers.forget("w1")
        after = tx.workers.live("cpu", 60)

    assert live == [2, 1, 0]
    assert long_ago == 0
    assert after == 1
