"""`python -m tests.service.fuzz [seconds]`: schemathesis against a real server, every check.

Beside it jobs are ended as a worker ends them, so that histories and models exist to be asked for.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from service.settings import ServiceSettings
from storage.database import Database
from storage.migrate import migrate
from tests.service.conftest import finish_next, serving

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("ndjson_bodies.py")


def fuzz(folder: Path, *, seconds: int) -> subprocess.CompletedProcess[str]:
    """Serve from an empty folder and fuzz for so many seconds; every phase, every check."""
    settings = ServiceSettings(data=folder)
    migrate(settings.url)
    with serving(settings) as client, working(settings):
        return subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                f"--config-file={CONFIGURATION}",
                "run",
                f"{str(client.base_url).rstrip('/')}/openapi.json",
                f"--max-time={seconds}",
                "--continue-on-failure",
            ],
            cwd=folder,
            env=os.environ  # noqa: TID251
            | {"SCHEMATHESIS_HOOKS": HOOKS.stem, "PYTHONPATH": str(HOOKS.parent)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=10 * seconds + 120,
            check=False,
        )


@contextmanager
def working(settings: ServiceSettings) -> Iterator[None]:
    """End jobs as they come."""
    done = threading.Event()
    database = Database(settings.url)

    def work() -> None:
        while not done.wait(0.02):
            while finish_next(database, 1.0 / np.arange(1.0, 11.0)):
                pass

    worker = threading.Thread(target=work)
    worker.start()
    yield
    done.set()
    worker.join()
    database.close()


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as folder:
        run = fuzz(Path(folder), seconds=seconds)
    sys.stdout.write(run.stdout)
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
