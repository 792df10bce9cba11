"""A worker whose repository does not look at the fence: the negative control.

Run as `python -m tests.chaos.unfenced` with a worker's environment.
"""

import sys
from typing import Any

from sqlalchemy import ColumnElement

from storage.database import Database
from storage.jobs import JobRepository
from storage.tables import jobs
from workers.app import build
from workers.settings import WorkerSettings


class UnfencedJobs(JobRepository):
    """Any holder, past or present, is believed."""

    @staticmethod
    def mine(fence: ColumnElement[Any]) -> ColumnElement[bool]:
        return jobs.c.fence >= fence


if __name__ == "__main__":
    settings = WorkerSettings()
    sys.exit(build(settings, database=Database(settings.url, jobs=UnfencedJobs)).run())
