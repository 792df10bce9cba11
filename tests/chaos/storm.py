"""A seeded storm: many jobs, many accidents, and the account of both.

    python -m tests.chaos.storm --seed 1 --jobs 100 [--postgres]

The seed fixes the jobs and the order of the accidents; when they strike is up to the machine.
Ends with status 1 if anything was lost, doubled or wrong.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from descend.errors import Unavailable
from descend.jobs import JobState
from tests.chaos.stage import LEASE_SECONDS, Hold, Lesson, Stage, staged
from tests.servers import Broker, Postgres, Program, until

WORKERS = 2
SECONDS_PER_JOB = 8.0
CLOCK_STEP = 1000


@dataclass(frozen=True)
class Blow:
    """What may crash the jobs that this worker holds, from and to a time in microseconds."""

    worker: str
    since: int
    until: int


class Storm:
    """Accidents that strike a stage, one after another."""

    def __init__(self, stage: Stage, rng: random.Random, postgres: Postgres | None) -> None:
        self.stage = stage
        self.rng = rng
        self.postgres = postgres
        self.struck: Counter[str] = Counter()
        self.blows: list[Blow] = []
        self.accidents: list[Callable[[], None]] = [
            self.kill_a_runner,
            self.kill_a_runner,
            self.kill_a_worker,
            self.stop_a_worker_past_its_lease,
            self.drain_a_worker,
            self.flush_the_broker,
            self.kill_the_broker,
        ]
        if postgres is not None:
            self.accidents.append(self.restart_postgresql)

    def strike(self) -> None:
        accident = self.rng.choice(self.accidents)
        accident()
        self.struck[accident.__name__] += 1
        while len(self.living()) < WORKERS:
            self.stage.hire(wait=False)

    def living(self) -> list[Program]:
        return [worker for worker in self.stage.workers if worker.process.poll() is None]

    def kill_a_runner(self) -> None:
        worker = self.rng.choice(self.living())
        with self.blow(worker):
            runners = worker.runners()
            if runners:
                os.kill(runners[-1], signal.SIGKILL)

    def kill_a_worker(self) -> None:
        worker = self.rng.choice(self.living())
        with self.blow(worker):
            worker.signal(signal.SIGKILL)
            worker.wait()

    def drain_a_worker(self) -> None:
        worker = self.rng.choice(self.living())
        worker.signal(signal.SIGTERM)
        worker.wait()

    def stop_a_worker_past_its_lease(self) -> None:
        worker = self.rng.choice(self.living())
        # It may be stopped while it has SQLite's one write lock: nobody can then renew a lease.
        struck = [worker] if self.postgres is not None else self.living()
        with self.blow(*struck):
            worker.signal(signal.SIGSTOP)
            time.sleep(1.5 * LEASE_SECONDS)  # time itself is the accident
            worker.signal(signal.SIGCONT)

    @contextmanager
    def blow(self, *struck: Program) -> Iterator[None]:
        """Note who is struck, and when, for the account of who crashed."""
        known: list[str] = []
        patiently(lambda: known.extend(self.stage.ids_of(*struck)))
        since = time.time_ns() // 1000
        yield
        until = time.time_ns() // 1000
        self.blows += [Blow(worker_id, since, until) for worker_id in known]

    def crashes_of_its_own(self, job_id: str) -> int:
        """Crashes of a job that no blow explains; a claim whose worker was struck explains one."""
        holds = self.stage.holds(job_id)
        struck = [hold for hold in holds if any(_falls_on(blow, hold) for blow in self.blows)]
        return max(0, self.stage.crashes(job_id) - len(struck))

    def flush_the_broker(self) -> None:
        self.stage.broker.flush()

    def kill_the_broker(self) -> None:
        self.stage.broker.kill()
        self.stage.broker.start()

    def restart_postgresql(self) -> None:
        if self.postgres is not None:
            self.postgres.restart_immediately()


def _falls_on(blow: Blow, hold: Hold) -> bool:
    """A database's clock may be exact to the millisecond only."""
    return (
        blow.worker == hold.worker
        and blow.since <= hold.left_at + CLOCK_STEP
        and blow.until >= hold.claimed_at - CLOCK_STEP
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL instead of SQLite")
    options = parser.parse_args()
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="descend-storm-")))
        postgres = Postgres() if options.postgres else None
        if postgres is not None:
            exits.callback(postgres.stop)
        url = postgres.create() if postgres else f"sqlite:///{folder / 'descend.db'}"
        broker = Broker().start()
        exits.callback(broker.kill)
        stage = exits.enter_context(staged(folder, url, broker))
        rng = random.Random(options.seed)  # noqa: S311  accidents, not secrets
        return rage(Storm(stage, rng, postgres), options.jobs)


def rage(storm: Storm, n_jobs: int) -> int:
    """Submit jobs between accidents until all are submitted, then wait for calm; account."""
    stage, rng = storm.stage, storm.rng
    lessons = [Lesson(epochs, seed) for epochs in (8_000, 80_000, 320_000) for seed in range(5)]
    began = time.monotonic()
    for _ in range(WORKERS):
        stage.hire()
    while len(stage.lessons) < n_jobs:
        share = min(rng.randint(1, 5), n_jobs - len(stage.lessons))
        patiently(partial(stage.submit_together, rng.choices(lessons, k=share)))
        time.sleep(rng.uniform(0.0, 1.5))  # time itself is the accident
        storm.strike()
    patiently(lambda: until(lambda: all_ended(stage), seconds=SECONDS_PER_JOB * n_jobs))
    return account(storm, time.monotonic() - began)


def patiently(act: Callable[[], object]) -> None:
    """Do it again while the database is away: a client's retry."""

    def done() -> bool:
        try:
            act()
        except Unavailable:
            return False
        return True

    until(done, seconds=3600)


def all_ended(stage: Stage) -> bool:
    with stage.database.read() as tx:
        states = tx.jobs.states(list(stage.lessons))
    return all(state.is_terminal for state, _ in states.values())


def account(storm: Storm, seconds: float) -> int:
    stage = storm.stage
    states = Counter(stage.job(job_id).state for job_id in stage.lessons)
    quarantined = [j for j in stage.lessons if stage.job(j).state is JobState.QUARANTINED]
    alone = {j: n for j in stage.lessons if (n := storm.crashes_of_its_own(j))}
    violations = stage.violations([j for j in stage.lessons if j not in quarantined])
    # Three accidents in a row end a job, as they should; fewer must not.
    violations += [
        f"{j}: quarantined, and {alone[j]} of its crashes were no accident"
        for j in quarantined
        if j in alone
    ]
    lost = [v for v in violations if "ended as" in v or "0 terminal" in v]
    double = [v for v in violations if "terminal events" in v or "finished" in v]
    wrong = [v for v in violations if "undisturbed" in v]
    claims = sum(len(stage.claims(job_id)) for job_id in stage.lessons)
    lines = [
        f"{len(stage.lessons)} jobs in {seconds:.0f} s, {sum(storm.struck.values())} accidents:",
        *(f"    {n:3d} {name.replace('_', ' ')}" for name, n in storm.struck.most_common()),
        f"ended: {dict(states)}; {claims} claims",
        f"submitted {len(stage.lessons)}, lost {len(lost)}, double terminals {len(double)},",
        f"wrong {len(wrong)}, quarantined after three accidents {len({*quarantined} - {*alone})},",
        f"crashes without an accident {sum(alone.values())}",
        *violations,
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
