"""`python -m storage.backup FILE`: the database and its artefacts in one consistent tar file.

Restore: stop the stack, unpack the file into an empty data folder, start the stack.
"""

import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path

from descend.errors import DescendError, InvalidInput, Unavailable
from storage.artefacts import LocalArtefacts, durable, no_room_is_storage_full
from storage.database import Database
from storage.private_files import keep_private
from storage.settings import StorageSettings

__all__ = ["backup", "main"]

_TRIES = 10


def backup(database: Database, artefacts: LocalArtefacts, target: Path) -> None:
    """Write `descend.db` and every artefact it names to a tar file, while others go on writing.

    The file appears when it is complete and on the disk, and is its owner's alone.

    Raises:
        InvalidInput: on PostgreSQL, whose own pg_dump does this; where the file exists already, or
            cannot be where it should.
        StorageFull: when there is no room; nothing is left behind then.
    """
    target = target.resolve()
    _refuse_place(target)
    with (
        no_room_is_storage_full(),
        tempfile.TemporaryDirectory(prefix=".descend-backup-", dir=target.parent) as folder,
    ):
        staged = Path(folder)
        _stage(database, artefacts, staged)
        with durable(target) as file, tarfile.open(fileobj=file, mode="w") as archive:
            for path in sorted(staged.rglob("*")):
                if path.is_file():
                    archive.add(path, arcname=path.relative_to(staged).as_posix())


def _refuse_place(target: Path) -> None:
    """An earlier backup is what one has when this one fails: it is not written over."""
    if target.exists():
        raise InvalidInput(f"{target} exists already: name a file that does not", param="file")
    if not target.parent.is_dir():
        raise InvalidInput(f"there is no folder {target.parent}: make it first", param="file")


def _stage(database: Database, artefacts: LocalArtefacts, staged: Path) -> None:
    """Copy the database, then catch the artefacts it names before someone deletes one.

    A row goes before its artefact does, so a snapshot whose artefact is gone is one that a newer
    snapshot no longer names: take that.
    """
    for _ in range(_TRIES):
        copy = staged / "descend.db"
        copy.unlink(missing_ok=True)
        database.backup(copy)
        try:
            for key in _named(copy):
                _catch(artefacts.path(key), staged / "artefacts" / key)
        except FileNotFoundError:
            shutil.rmtree(staged / "artefacts", ignore_errors=True)
        else:
            return
    raise Unavailable("datasets are being deleted faster than they can be copied; try again")


def _named(copy: Path) -> list[str]:
    connection = sqlite3.connect(copy)
    try:
        rows = connection.execute("SELECT artefact FROM datasets WHERE artefact IS NOT NULL")
        return [key for (key,) in rows]
    finally:
        connection.close()


def _catch(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, place)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one that knows no links
        shutil.copyfile(path, place)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m storage.backup FILE", file=sys.stderr)  # noqa: T201
        return 2
    keep_private()
    try:
        _back_up(StorageSettings(), Path(arguments[0]))
    except InvalidInput as error:
        return _failed(error.message, 2)
    except DescendError as error:
        return _failed(error.message, 1)
    except OSError as error:
        return _failed(f"the backup cannot be written: {error.strerror or error}", 1)
    return 0


def _back_up(settings: StorageSettings, target: Path) -> None:
    if not settings.database_url and not (settings.data / "descend.db").is_file():
        raise InvalidInput(f"there is no database in {settings.data}", param="data")
    database = Database(settings.url)
    try:
        database.check()
        backup(database, LocalArtefacts(settings.artefacts), target)
    finally:
        database.close()


def _failed(message: str, exit_code: int) -> int:
    print(f"descend: {message}", file=sys.stderr)  # noqa: T201
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
