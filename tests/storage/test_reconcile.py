"""The tick that any process may make: leases, bells, orphans."""

import os
import time
from pathlib import Path

from sqlalchemy import text

from descend.jobs import QUEUES, JobState
from storage.artefacts import LocalArtefacts
from storage.database import Database
from storage.reconcile import ORPHAN_SECONDS, reconcile, sweep
from storage.vigil import Vigil
from tests.storage.acts import a_dataset, claimed, expire_lease, get, submit


def test_a_tick_gives_lost_jobs_back_and_wakes_their_workers(database: Database) -> None:
    held = claimed(database)
    expire_lease(database, held.job_id)

    woken = reconcile(database, Vigil())

    assert woken == list(QUEUES)
    assert get(database, held.job_id).state is JobState.QUEUED


def test_a_tick_of_who_has_not_watched_for_a_lease_believes_no_lease_lost(
    database: Database,
) -> None:
    held = claimed(database)
    with database.begin() as tx:
        tx.connection.execute(text("UPDATE jobs SET lease_until = lease_until - 3600000000"))

    reconcile(database, Vigil())

    assert get(database, held.job_id).state is JobState.RUNNING


def test_a_tick_rings_again_for_jobs_that_have_waited_and_for_no_others(
    database: Database,
) -> None:
    submit(database)
    fresh = reconcile(database, Vigil())
    with database.begin() as tx:
        tx.connection.execute(text("UPDATE jobs SET changed_at = changed_at - 6000000"))

    assert fresh == []
    assert reconcile(database, Vigil()) == ["cpu"]


def test_a_sweep_keeps_what_rows_name_and_what_is_young(database: Database, tmp_path: Path) -> None:
    artefacts = LocalArtefacts(tmp_path / "artefacts")
    dataset = a_dataset()
    for name in ("named", "orphan", "young"):
        artefacts.put(f"datasets/{name}", b"rows")
    old = time.time() - ORPHAN_SECONDS - 60
    for name in ("named", "orphan"):
        os.utime(artefacts.path(f"datasets/{name}"), (old, old))
    with database.begin() as tx:
        tx.datasets.add(dataset, inline=None, artefact="datasets/named")

    assert sweep(database, artefacts) == ["datasets/orphan"]
    assert sorted(artefacts.keys()) == ["datasets/named", "datasets/young"]


def test_a_sweep_deletes_what_was_half_written_beside_a_living_dataset(
    database: Database, tmp_path: Path
) -> None:
    artefacts = LocalArtefacts(tmp_path / "artefacts")
    dataset = a_dataset()
    with database.begin() as tx:
        tx.datasets.add(dataset, inline=None, artefact="datasets/named")
    folder = artefacts.path(f"factors/{dataset.id}")
    folder.mkdir(parents=True)
    old = time.time() - ORPHAN_SECONDS - 60
    for name in ("a.factor", ".tmp-old", ".tmp-young"):
        (folder / name).write_bytes(b"half")
    for name in ("a.factor", ".tmp-old"):
        os.utime(folder / name, (old, old))

    assert sweep(database, artefacts) == [f"factors/{dataset.id}/.tmp-old"]
    assert {path.name for path in folder.iterdir()} == {"a.factor", ".tmp-young"}
