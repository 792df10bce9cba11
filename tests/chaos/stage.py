"""A stage for accidents: a database, a broker and workers that a test can hurt; and the verdict.

`Stage.violations` reads the rows, the events and what the workers logged, as Jepsen does: what was
believed, by whom, and whether the numbers are those of a run that nothing happened to.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import text

from descend.datasets import InlineXY
from descend.ids import new_id
from descend.jobs import Hyperparameters, Job, JobKind, JobSpec, JobState
from storage.database import Database, Transaction
from storage.ingest import JsonTable
from storage.migrate import migrate
from tests.servers import Broker, Program, ending, until, worker
from workers import training

LEASE_SECONDS = 2.0
SECONDS_TO_END = 40.0
MOST_EPOCHS = 10_000_000  # that a job may ask for
REHEARSED_EPOCHS = 20_000
UNFENCED = ("-m", "tests.chaos.unfenced")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lesson:
    """A small problem that trains for `epochs` epochs of some microseconds."""

    epochs: int
    seed: int = 0

    @classmethod
    def lasting(cls, seconds: float, seed: int = 0) -> "Lesson":
        """So many epochs that an idle core of this machine takes `seconds` for them, if a job may.

        An accident strikes in mid-training however fast the training has become.
        """
        return cls(min(round(seconds / seconds_per_epoch()), MOST_EPOCHS), seed)

    def data(self) -> InlineXY:
        rng = np.random.default_rng(self.seed)
        X = rng.normal(size=(8, 2))
        y = X @ rng.normal(size=2) + rng.normal(size=8)
        return InlineXY(X=X.tolist(), y=y.tolist())

    def hyperparameters(self) -> Hyperparameters:
        return Hyperparameters(
            learning_rate=1e-3, max_epochs=self.epochs, tol=0, standardize=False
        ).resolved(seed=self.seed)

    def problem(self) -> training.Problem:
        data = self.data()
        return training.Problem.of_rows(
            X=np.array(data.X),
            Y=np.array(data.y).reshape(-1, 1),
            sample_weight=None,
            features=("x0", "x1"),
            targets=("y",),
            hyperparameters=self.hyperparameters(),
        )


@dataclass(frozen=True)
class Hold:
    """A worker's time with a job, in microseconds of the database's clock."""

    worker: str
    claimed_at: int
    left_at: int


@cache
def seconds_per_epoch() -> float:
    """The best of three: what disturbs a measurement makes it longer."""
    rehearsals = [Lesson(REHEARSED_EPOCHS, seed) for seed in range(3)]
    began = [time.perf_counter()]
    for rehearsal in rehearsals:
        undisturbed(rehearsal)
        began.append(time.perf_counter())
    return min(later - earlier for earlier, later in pairwise(began)) / REHEARSED_EPOCHS


@cache
def undisturbed(lesson: Lesson) -> tuple[Floats, Floats, Floats]:
    """Weights, intercept and losses of a run that nothing happens to."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    state = training.start([training.compress(lesson.problem())], "cpu", [None])
    losses = []
    while state.live:
        state, segments = training.advance(state, 5000)
        losses += [segment.history.train_loss for segment in segments]
    torch.set_num_threads(threads)
    outcome = training.outcome(state, 0)
    return outcome.coef, outcome.intercept, np.concatenate(losses)


class Stage:
    """Everything that a scenario needs, in one folder."""

    def __init__(self, folder: Path, url: str, broker: Broker) -> None:
        self.folder = folder
        self.url = url
        self.broker = broker
        self.lessons: dict[str, Lesson] = {}
        self.workers: list[Program] = []
        self._exits = ExitStack()
        migrate(url)
        self.database = Database(url)

    def env(self, **more: str) -> dict[str, str]:
        return {
            "DESCEND_DATABASE_URL": self.url,
            "DESCEND_DATA": str(self.folder / "data"),
            "DESCEND_BROKER_URL": self.broker.url,
            "DESCEND_LEASE_SECONDS": str(LEASE_SECONDS),
            "DESCEND_BEAT_SECONDS": "0.2",
            "DESCEND_POLL_SECONDS": "0.5",
            "DESCEND_RESCUE_SECONDS": "0.3",
            "DESCEND_CHECKPOINT_SECONDS": "0.2",
        } | more

    def hire(
        self, *, program: tuple[str, ...] = ("-m", "workers"), wait: bool = True, **env: str
    ) -> Program:
        """Start a worker; it has a runner, warm, when this returns."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        hired = worker(self.env(**env), log, program=program)
        self._exits.enter_context(ending(hired))
        self.workers.append(hired)
        if wait:
            self.await_ready(hired)
        return hired

    def hire_two(self, *, program: tuple[str, ...] = ("-m", "workers")) -> None:
        for hired in [self.hire(program=program, wait=False) for _ in range(2)]:
            self.await_ready(hired)

    def await_ready(self, hired: Program) -> None:
        def announced() -> bool:
            if hired.process.poll() is not None:
                raise AssertionError(f"the worker ended: {hired.output}")
            return hired.pid in self._owners().values()

        until(announced, seconds=30, what="a worker with a warm runner")

    def submit(self, lesson: Lesson, *, artefact: str | None = None, **more: object) -> str:
        """Queue a job as the API does: data and row in one transaction. No ring."""
        return self.submit_together([lesson], artefact=artefact, **more)[0]

    def submit_together(
        self, lessons: Sequence[Lesson], *, artefact: str | None = None, **more: object
    ) -> list[str]:
        """Queue jobs in one transaction, so that one claim takes them all.

        `artefact` is the key of the data's file; else it is in the row. `more` goes into every
        JobSpec.
        """
        job_ids = [new_id("job") for _ in lessons]
        with self.database.begin() as tx:
            for job_id, lesson in zip(job_ids, lessons, strict=True):
                _add(tx, job_id, lesson, artefact=artefact, more=more)
        self.lessons |= dict(zip(job_ids, lessons, strict=True))
        return job_ids

    def ask(self, lesson: Lesson) -> str:
        """Queue a plan of the lesson."""
        job_id = new_id("job")
        with self.database.begin() as tx:
            _add(tx, job_id, lesson, artefact=None, more={"priority": 9}, kind=JobKind.PLAN)
        return job_id

    def cancel(self, job_id: str) -> None:
        with self.database.begin() as tx:
            tx.jobs.request_cancel(job_id)

    def job(self, job_id: str) -> Job:
        with self.database.read() as tx:
            return tx.jobs.get(job_id)

    def await_progress(self, job_id: str, epochs: int = 1) -> Job:
        """Wait until a worker has reported: it is in the middle of the training."""

        def begun() -> Job | None:
            job = self.job(job_id)
            if job.state.is_terminal:
                raise AssertionError(f"{job_id} ended as {job.state} before it could be disturbed")
            return job if job.state is JobState.RUNNING and job.progress.epoch >= epochs else None

        return until(begun, what="the job trains")

    def await_end(self, job_id: str, seconds: float = SECONDS_TO_END) -> Job:
        def ended() -> Job | None:
            job = self.job(job_id)
            return job if job.state.is_terminal else None

        return until(ended, seconds=seconds, what=f"{job_id} ends")

    def owner(self, job_id: str) -> Program:
        """The worker that holds the job now."""
        query = text("SELECT owner FROM jobs WHERE id = :id")
        with self.database.read() as tx:
            owner = tx.connection.scalar(query, {"id": job_id})
        pid = self._owners().get(owner)
        return next(hired for hired in self.workers if hired.pid == pid)

    def ids_of(self, *hired: Program) -> list[str]:
        """The names under which workers are registered: none before they have a warm runner."""
        pids = {one.pid for one in hired}
        return [worker_id for worker_id, pid in self._owners().items() if pid in pids]

    def holds(self, job_id: str) -> list[Hold]:
        """Who has had the job, in order; a hold that lasts still is not among them."""
        query = text("SELECT to_state, owner, at FROM job_events WHERE job_id = :id ORDER BY seq")
        with self.database.read() as tx:
            events = tx.connection.execute(query, {"id": job_id}).all()
        return [
            Hold(claim.owner, claim.at, left.at)
            for claim, left in pairwise(events)
            if claim.to_state == JobState.RUNNING
        ]

    def crashes(self, job_id: str) -> int:
        query = text("SELECT crashes FROM jobs WHERE id = :id")
        with self.database.read() as tx:
            return int(tx.connection.scalar(query, {"id": job_id}) or 0)

    def claims(self, job_id: str) -> list[int]:
        """The fences under which the job was claimed, in order."""
        return [fence for fence, state in self._events(job_id) if state == JobState.RUNNING]

    def begun_at(self, job_id: str) -> list[int]:
        """The epochs at which its attempts began, in order: 0, and then those of checkpoints."""
        claimed = [event for event in self._logged("claimed") if event["job_id"] == job_id]
        return [event["epochs_done"] for event in sorted(claimed, key=itemgetter("fence"))]

    def violations(self, job_ids: Sequence[str] = ()) -> list[str]:
        """What the promises forbid and yet happened; empty if all is well."""
        believed = self._believed()
        return [
            f"{job_id}: {problem}"
            for job_id in job_ids or self.lessons
            for problem in (*self._written(job_id, believed), *self._numbers(job_id))
        ]

    def close(self) -> None:
        self._exits.close()
        self.database.close()

    def _written(self, job_id: str, believed: dict[str, list[int]]) -> Iterator[str]:
        events = self._events(job_id)
        terminal = [(fence, state) for fence, state in events if JobState(state).is_terminal]
        if len(terminal) != 1:
            yield f"{len(terminal)} terminal events: {events}"
        last_claim = max(self.claims(job_id), default=0)
        fences = believed.get(job_id, [])
        # A worker that was killed between commit and log has left no line: at most one.
        if len(fences) > 1:
            yield f"finished {len(fences)} times, under the fences {fences}"
        if any(fence != last_claim for fence in fences):
            yield f"finished under fence {fences}, last claimed under {last_claim}"

    def _numbers(self, job_id: str) -> Iterator[str]:
        job = self.job(job_id)
        if job.state is not JobState.SUCCEEDED:
            yield f"ended as {job.state}: {job.error}"
            return
        coef, intercept, losses = undisturbed(self.lessons[job_id])
        with self.database.read() as tx:
            model, history = tx.models.of_job(job_id), tx.jobs.history(job_id)
        if not np.array_equal(np.array(model.coef), coef):
            yield f"weights {model.coef}, undisturbed {coef.tolist()}"
        if not np.array_equal(np.array(model.intercept), intercept):
            yield f"intercept {model.intercept}, undisturbed {intercept.tolist()}"
        if not np.array_equal(history.train_loss, losses):
            yield f"{len(history)} losses, undisturbed {len(losses)}, or other numbers"

    def _believed(self) -> dict[str, list[int]]:
        """The fences under which an outcome was accepted, by job, from the workers' logs."""
        found: dict[str, list[int]] = {}
        for event in self._logged("outcome"):
            found.setdefault(event["job_id"], []).append(event["fence"])
        return found

    def _logged(self, name: str) -> Iterator[dict[str, Any]]:
        for hired in self.workers:
            for line in hired.output.splitlines():
                if f'"event": "{name}"' in line and line.endswith("}"):
                    yield json.loads(line)

    def _events(self, job_id: str) -> list[tuple[int, str]]:
        query = text("SELECT fence, to_state FROM job_events WHERE job_id = :id ORDER BY seq")
        with self.database.read() as tx:
            rows = tx.connection.execute(query, {"id": job_id})
            return [(row.fence, row.to_state) for row in rows]

    def _owners(self) -> dict[str, int]:
        query = text("SELECT id, pid FROM workers")
        with self.database.read() as tx:
            return {row.id: row.pid for row in tx.connection.execute(query)}


def _add(
    tx: Transaction,
    job_id: str,
    lesson: Lesson,
    *,
    artefact: str | None,
    more: Mapping[str, object],
    kind: JobKind = JobKind.TRAIN,
) -> None:
    found = JsonTable.of(lesson.data()).ingested(name=None)
    given = {"dataset": found.dataset.id, "hyperparameters": lesson.hyperparameters()} | more
    spec = JobSpec.model_validate(given)
    tx.jobs.add(
        spec,
        found.dataset,
        job_id=job_id,
        targets=("y",),
        features=spec.features or ("x0", "x1"),
        weight=None,
        seed=lesson.seed,
        idempotency_key=None,
        request_sha256="-",
        max_queued=10_000,
        kind=kind,
    )
    tx.datasets.add(found.dataset, inline=None if artefact else found.inline, artefact=artefact)


@contextmanager
def staged(folder: Path, url: str, broker: Broker) -> Iterator[Stage]:
    stage = Stage(folder, url, broker)
    try:
        yield stage
    finally:
        stage.close()
