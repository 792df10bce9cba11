"""Run as a process of its own on a disk that is nearly full; prints what happened as JSON.

Arguments: a folder on the disk, which holds descend.db, and a ballast file to delete later.
"""

import json
import resource
import signal
import sqlite3
import sys
from pathlib import Path

from descend.errors import StorageFull
from storage.artefacts import LocalArtefacts
from storage.database import Database
from tests.storage.acts import submit


def main(folder: Path, ballast: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if not ballast.exists():  # no disk of our own: a limit on the size of files stands in
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    database = Database(f"sqlite:///{folder / 'descend.db'}")
    artefacts = LocalArtefacts(folder / "artefacts")
    answered = submit_until_full(database)
    put = put_until_full(artefacts)
    seen = {
        "answered": len(answered),
        "put_is_refused": put,
        "left_over": sorted(str(p) for p in folder.rglob(".tmp-*")),
        "artefacts": list(artefacts.keys()),
    }
    ballast.unlink(missing_ok=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    seen["works_again"] = submit(database)[1]
    with database.read() as tx:
        seen["all_there"] = set(answered) <= set(tx.jobs.states(answered))
    database.close()
    raw = sqlite3.connect(folder / "descend.db")
    (seen["quick_check"],) = raw.execute("PRAGMA quick_check").fetchone()
    (seen["rows"],) = raw.execute("SELECT count(*) FROM jobs").fetchone()
    raw.close()
    sys.stdout.write(json.dumps(seen))


def submit_until_full(database: Database) -> list[str]:
    answered: list[str] = []
    try:
        while len(answered) < 5000:
            answered.append(submit(database, name="x" * 200, metadata={"pad": "x" * 500})[0].id)
    except StorageFull:
        return answered
    raise AssertionError("the disk never got full")


def put_until_full(artefacts: LocalArtefacts) -> bool:
    try:
        artefacts.put("datasets/large.arrow", bytes(4 * 2**20))
    except StorageFull:
        return True
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
