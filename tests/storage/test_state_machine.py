"""Whatever the order of acts by API, workers, zombies and reconciler, rows follow a plain model."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from descend.jobs import JobPhase, JobState, StopReason
from storage.database import Database
from storage.jobs import Claim, Report
from tests.storage.acts import (
    a_history,
    cancel,
    claim,
    crash,
    expire_lease,
    finish,
    get,
    give_back,
    history,
    release,
    report,
    rescue,
    submit,
    turn,
)

TIMEOUT_SECONDS = 450


@dataclass
class Modelled:
    """What a job should be, in plain Python."""

    priority: int
    state: JobState = JobState.QUEUED
    fence: int = 0
    crashes: int = 0
    leases_lost: int = 0
    attempts: int = 0
    asked: bool = False
    epochs: int = 0
    saved: int = 0
    phase: JobPhase = JobPhase.WAITING
    worked: int = 0  # seconds of work, as the turns told them
    began: bool = False
    reported: bool = False
    moves: list[JobState] = field(default_factory=lambda: [JobState.QUEUED])

    def go(self, state: JobState) -> None:
        if state is JobState.RUNNING:
            self.phase, self.began, self.reported = JobPhase.WAITING, False, False
        self.state = state
        self.moves.append(state)

    def holds(self, fence: int) -> bool:
        return self.state is JobState.RUNNING and self.fence == fence

    @property
    def alone(self) -> bool:
        return self.crashes >= 2 or self.attempts >= 4

    def crash(self) -> JobState:
        self.crashes += 1
        return self._lost(last=self.crashes >= 3)

    def lose(self) -> JobState:
        self.leases_lost += 1
        return self._lost(last=self.leases_lost >= 10)

    def _lost(self, *, last: bool) -> JobState:
        self.fence += 1
        ended = JobState.QUARANTINED if last else JobState.QUEUED
        self.go(JobState.CANCELLED if self.asked else ended)
        return self.state


class Jobs(RuleBasedStateMachine):
    migrated: Path
    claims: Bundle[Claim] = Bundle("claims")
    keys = st.sampled_from([None, "a", "b"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.migrated, self.folder / "descend.db")
        self.database = Database(f"sqlite:///{self.folder / 'descend.db'}")
        self.jobs: dict[str, Modelled] = {}
        self.keyed: dict[str, str] = {}

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    @rule(key=keys, priority=st.integers(4, 6))
    def submit(self, key: str | None, priority: int) -> None:
        job, created = submit(
            self.database, key=key, priority=priority, timeout_seconds=TIMEOUT_SECONDS
        )

        assert created == (key is None or key not in self.keyed)
        if created:
            self.jobs[job.id] = Modelled(priority)
        if key is not None:
            assert self.keyed.setdefault(key, job.id) == job.id

    @rule(target=claims, limit=st.integers(1, 3), worker=st.sampled_from(["w1", "w2"]))
    def claim(self, limit: int, worker: str) -> object:
        queued = [job_id for job_id, job in self.jobs.items() if job.state is JobState.QUEUED]
        queued.sort(key=lambda job_id: (-self.jobs[job_id].priority, job_id))
        expected = queued[:limit]
        if expected and self.jobs[expected[0]].alone:
            expected = expected[:1]
        expected = expected[:1] + [i for i in expected[1:] if not self.jobs[i].alone]

        taken = claim(self.database, worker=worker, limit=limit)

        assert [c.job_id for c in taken] == expected
        for held in taken:
            job = self.jobs[held.job_id]
            job.go(JobState.RUNNING)
            job.fence += 1
            job.attempts += 1
            job.epochs = job.saved
            assert (held.fence, held.attempt, held.crashes, held.epochs_done) == (
                job.fence,
                job.attempts,
                job.crashes,
                job.saved,
            )
            assert held.checkpoint == (str(job.saved).encode() if job.saved else None)
        return multiple(*taken)

    @rule(held=claims, more=st.integers(1, 50), save=st.booleans())
    def report(self, held: Claim, more: int, save: bool) -> None:  # noqa: FBT001
        job = self.jobs[held.job_id]
        epochs = job.epochs + more
        state = str(epochs).encode() if save else None

        accepted = report(
            self.database, held, epochs, history=a_history(more, total=epochs), checkpoint=state
        )

        assert accepted == job.holds(held.fence)
        if accepted:
            job.epochs = epochs
            job.saved = epochs if save else job.saved
            job.phase, job.reported = JobPhase.TRAINING, True

    @rule(held=claims, phase=st.sampled_from(JobPhase), worked=st.integers(1, 3))
    def turn(self, held: Claim, phase: JobPhase, worked: int) -> None:
        job = self.jobs[held.job_id]
        waits = phase is JobPhase.WAITING
        mine = job.holds(held.fence)

        accepted = turn(
            self.database, held, phase, worked_seconds=None if waits else 100.0 * worked
        )

        assert accepted == mine
        if mine:
            job.worked += 0 if waits or job.began else 100 * worked
            job.phase, job.began = phase, not waits

    @rule(held=claims)
    def beat(self, held: Claim) -> None:
        job = self.jobs[held.job_id]
        with self.database.begin() as tx:
            beat = tx.jobs.beat("w1", {held.job_id: held.fence}, lease_seconds=30)

        mine = job.holds(held.fence)
        assert (held.job_id in beat.lost) == (not mine)
        assert (held.job_id in beat.cancel) == (mine and job.asked)
        assert (held.job_id in beat.expired) == (mine and job.worked > TIMEOUT_SECONDS)

    @rule(
        held=claims,
        state=st.sampled_from([JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED]),
    )
    def finish(self, held: Claim, state: JobState) -> None:
        job = self.jobs[held.job_id]
        ended_by_me = job.state.is_terminal and job.fence == held.fence

        finished = finish(
            self.database, held, state=state, stop_reason=StopReason.ERROR, epochs_done=job.epochs
        )

        assert finished == (job.holds(held.fence) or ended_by_me)
        if job.holds(held.fence):
            overruled = state is JobState.SUCCEEDED and job.asked
            job.go(JobState.CANCELLED if overruled else state)

    @rule(held=claims)
    def crash(self, held: Claim) -> None:
        job = self.jobs[held.job_id]
        expected = job.crash() if job.holds(held.fence) else None

        assert crash(self.database, held) == expected

    @rule(held=claims, more=st.integers(0, 20))
    def release(self, held: Claim, more: int) -> None:
        job = self.jobs[held.job_id]
        epochs = job.epochs + more
        last = Report(
            job_id=held.job_id,
            fence=held.fence,
            epochs_done=epochs,
            history=a_history(more, total=epochs),
            checkpoint=str(epochs).encode(),
        )

        released = release(self.database, held, report=last if more else None)

        assert released == job.holds(held.fence)
        if released:
            job.epochs = epochs
            job.saved = epochs if more else job.saved
            job.fence += 1
            job.go(JobState.CANCELLED if job.asked else JobState.QUEUED)

    @rule(held=claims)
    def give_back(self, held: Claim) -> None:
        job = self.jobs[held.job_id]
        unbegun = job.holds(held.fence) and not job.reported

        assert give_back(self.database, held) == unbegun
        if unbegun:
            job.fence += 1
            job.attempts -= 1
            job.go(JobState.CANCELLED if job.asked else JobState.QUEUED)

    @rule(held=consumes(claims))
    def lose(self, held: Claim) -> None:
        job = self.jobs[held.job_id]
        dead = job.holds(held.fence)
        if dead:
            expire_lease(self.database, held.job_id)
            job.lose()

        assert rescue(self.database) == ([held.job_id] if dead else [])

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if not self.jobs:
            return
        job_id = data.draw(st.sampled_from(sorted(self.jobs)))
        job = self.jobs[job_id]
        job.asked = job.asked or not job.state.is_terminal
        if job.state is JobState.QUEUED:
            job.go(JobState.CANCELLED)

        assert cancel(self.database, job_id).state is job.state

    @invariant()
    def rows_are_as_modelled(self) -> None:
        for job_id, job in self.jobs.items():
            row = get(self.database, job_id)
            assert [t.state for t in row.transitions] == job.moves
            assert (row.state, row.attempt, row.progress.epoch) == (
                job.state,
                job.attempts,
                job.epochs,
            )
            running = job.state is JobState.RUNNING
            assert row.progress.phase == (job.phase if running else None)
            assert (row.model_id is not None) == (row.state is JobState.SUCCEEDED)
            assert (row.intent == "cancel") == (job.asked and not job.state.is_terminal)
            stored = history(self.database, job_id)
            assert stored.epoch.tolist() == list(range(job.epochs))


def test_rows_follow_the_model_through_any_order_of_acts(migrated_sqlite: Path) -> None:
    Jobs.migrated = migrated_sqlite

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Jobs,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
