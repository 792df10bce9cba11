"""One thread that claims jobs, keeps their leases, watches the runners and settles the rows.

It owns the database connection, every runner's handle and every pipe, so its state is plain
attributes and events have one order. The price: nothing in it may block, hence small frames, bulk
in files, and statements that time out. Any thread or signal handler may call `ring` and `drain`.

    watch: hire -> settle -> beat -> enforce deadlines -> claim -> wait for [ear, pipes, sentinels]
"""

import random
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from multiprocessing.connection import Connection, wait

import structlog

from descend.ids import new_id
from descend.pulse import Pulse
from storage.artefacts import LocalArtefacts
from storage.counters import RUNNER_RESTARTS
from storage.database import Database
from storage.leases import DRAINED, Beat, Claim
from storage.vital_threads import VitalThread, end_this_process
from workers import frames
from workers.crew import Crew
from workers.ledger import Ledger
from workers.orders import bytes_to_read, write_order
from workers.pause import Pause
from workers.payments import Release, Wish
from workers.process import Cause, Ending, Runner, ended_by, ending_of, open_nursery
from workers.reports import Entry, Fate, Unreadable, read_report
from workers.settings import WorkerSettings
from workers.settle import given_back, payment_for
from workers.sharing import ask_back
from workers.spool import Spool, open_spool

__all__ = ["Supervisor"]

CLAIMED_AT_ONCE = 64
DROP_SECONDS = 2.0  # for a runner to let a job go; then it is killed
DRAIN_SECONDS = 3.0  # for the runners to save their jobs; 5 s is the promise for all of it
WRITE_DOWN_SECONDS = 1.0  # for the database to take what the drain brought
ANNOUNCE_SECONDS = 5.0
STEPS_OF_PATIENCE = 20
READ_BYTES_PER_SECOND = 20e6  # of a slow disk: a runner is silent over its data that long

log = structlog.get_logger()


class Supervisor(VitalThread):
    """The worker's own thread.

    Args:
        database: where the jobs are; closed by whoever opened it.
        settings: queues, slots, lease and intervals.
        pulse: touched at every turn, and between the questions to the database of one.
        on_failure: called when the thread ends and should not, whatever it was that ended it.
    """

    def __init__(
        self,
        database: Database,
        settings: WorkerSettings,
        *,
        pulse: Pulse | None = None,
        on_failure: Callable[[], None] = end_this_process,
    ) -> None:
        super().__init__(self._work, "supervisor", daemon=False, on_failure=on_failure)
        self.worker_id = new_id("wrk")
        self._settings = settings
        self._pulse = pulse or Pulse()
        self._ledger = Ledger(database, self.worker_id, settings, touch=self._pulse.touch)
        self._artefacts = LocalArtefacts(settings.artefacts)
        self._ear, self._bell = socket.socketpair()
        self._bell.setblocking(False)
        self._rung = True  # jobs may be waiting already
        self._draining = False
        self._drain_until: float | None = None
        self._platform = frames.Platform(torch_version="", cpu="", kernel="")
        self._n_orders = 0
        self._no_room = Pause()
        self._look_at = self._beat_at = self._announce_at = 0.0
        self._rescue_at = time.monotonic() + self._until_rescue()

    def ring(self) -> None:
        """Say that there may be jobs. Never blocks; where the buffer is full, it has rung."""
        self._rung = True
        self._poke()

    def drain(self) -> None:
        """Ask for the end: jobs are saved and given back, then the thread ends."""
        self._draining = True
        self._poke()

    def run(self) -> None:
        try:
            super().run()
        finally:
            if self.failed:
                self._ledger.release_all("its worker failed")
            self._ear.close()
            self._bell.close()

    def _work(self) -> None:
        structlog.contextvars.bind_contextvars(worker_id=self.worker_id)
        open_nursery()
        folder, touch = self._settings.spool, self._pulse.touch
        is_wanted = lambda: not self._draining  # noqa: E731
        with closing(open_spool(folder, self.worker_id, touch=touch, is_wanted=is_wanted)) as spool:
            self._watch(spool)

    def _watch(self, spool: Spool) -> None:
        self._spool = spool
        self._crew = Crew(self._settings, spool.folder, worker_id=self.worker_id)
        try:
            while not self._drained():
                now = time.monotonic()
                if not self._draining:
                    self._crew.hire(now)
                self._settle()
                self._beat(now)
                self._enforce(now)
                self._look(now)
                seconds = max(0.0, self._next_event() - time.monotonic())
                ready = wait(self._sources(), seconds)
                self._ledger.vigil.woke(seconds)
                self._listen(ready)
                self._pulse.touch()
            self._ledger.sign_off()
        finally:
            for runner in self._crew:
                self._crew.dismiss(runner)

    # Leases and deadlines

    def _beat(self, now: float) -> None:
        if now >= self._beat_at:
            self._beat_at = now + self._settings.beat_seconds
            beat = self._ledger.beat() if self._ledger.held else None
            if beat is not None:
                self._obey(beat)
                ask_back(self._crew, self._ledger)
        if now >= min(self._announce_at, self._crew.news_at) and any(
            runner.ready for runner in self._crew
        ):
            self._announce_at = now + ANNOUNCE_SECONDS
            stats = {**self._crew.stats(), "no_room": self._no_room.lasts}
            self._ledger.announce(stats, kernel=self._platform.kernel)
        if now >= self._rescue_at:
            self._rescue_at = now + self._until_rescue()
            self._rung |= self._ledger.rescue()

    def _obey(self, beat: Beat) -> None:
        for job_id in beat.lost:
            self._drop(job_id)
        for wish, job_ids in ((Wish.CANCEL, beat.cancel), (Wish.EXPIRE, beat.expired)):
            for job_id in job_ids:
                held = self._ledger.held.get(job_id)
                if held is not None:
                    held.wish = held.wish or wish
                    self._drop(job_id)

    def _drop(self, job_id: str) -> None:
        """Have whoever trains this job let it go: nobody, if it has just been reported."""
        for runner in self._crew:
            if job_id in runner.jobs and job_id not in runner.drops:
                runner.drops[job_id] = time.monotonic() + DROP_SECONDS
                runner.send(frames.Drop(job_id=job_id, fence=runner.jobs[job_id]))

    def _enforce(self, now: float) -> None:
        if self._draining and self._drain_until is None:
            self._begin_drain(now)
        fenced_off = self._ledger.fenced_off(now)
        for runner in self._crew:
            runner.hold(now, fenced_off=fenced_off)
            self._end_if_due(runner, now)

    def _end_if_due(self, runner: Runner, now: float) -> None:
        if now >= self._deadline(runner):
            # After a pause of this whole process its last words may be waiting in the pipe.
            self._read(runner)
        if runner not in self._crew:
            return
        if now >= self._deadline(runner):
            hung = not runner.drops and self._drain_until is None
            log.warning("runner_overdue", hung=hung, job_ids=list(runner.jobs))
            self._lose(runner, ended_by(Cause.HUNG if hung else Cause.NOT_LET_GO))
        elif runner.retired and not runner.busy:
            self._crew.dismiss(runner)
            self._count_restart(Cause.RETIRED)

    def _deadline(self, runner: Runner) -> float:
        if self._drain_until is not None:
            return self._drain_until
        return runner.silent_until()

    def _begin_drain(self, now: float) -> None:
        self._drain_until = now + DRAIN_SECONDS
        for runner in self._crew:
            runner.retired = True
            if runner.busy:
                runner.go_on(now)
                runner.send(frames.Drain())

    def _drained(self) -> bool:
        if self._drain_until is None or len(self._crew):
            return False
        return not self._ledger.owes or time.monotonic() > self._drain_until + WRITE_DOWN_SECONDS

    def _until_rescue(self) -> float:
        """Jittered, so that many workers do not look at the same moment."""
        return self._settings.rescue_seconds * random.uniform(0.5, 1.5)  # noqa: S311

    # Claiming

    def _look(self, now: float) -> None:
        """Give every idle runner a claim, on a ring or when it is time to poll."""
        if now < self._look_due() or not self._no_room.is_over(self._spool.folder):
            return
        self._rung = False
        self._look_at = now + self._settings.poll_seconds * random.uniform(0.75, 1.25)  # noqa: S311
        for n, runner in enumerate(idle := self._crew.idle):
            claims = self._ledger.claim(CLAIMED_AT_ONCE, kinds=runner.kinds, n_idle=len(idle) - n)
            if not claims:
                break
            self._hand_over(runner, claims)
        if now >= self._crew.hire_for_questions_at and self._ledger.asked():
            self._crew.hire_for_questions(now)

    def _look_due(self) -> float:
        """When to look: a ring is kept for the first runner that is idle, or may be hired.

        Never in a drain, nor while the leases may be gone: to wake for nothing is to spin.
        """
        if self._draining or self._ledger.fenced_off(time.monotonic()):
            return float("inf")
        able_at = 0.0 if self._crew.idle else self._crew.hire_for_questions_at
        rung_at = 0.0 if self._rung else self._look_at
        return max(able_at, self._no_room.until, self._ledger.retry_at, rung_at)

    def _hand_over(self, runner: Runner, claims: list[Claim]) -> None:
        for claim in claims:
            self._drop(claim.job_id)  # lost here and claimed again: the old attempt must end
        self._n_orders += 1
        path = self._spool.path("order", self._n_orders)
        try:
            write_order(path, claims, artefact_path=self._artefacts.path)
        except OSError as error:
            log.error("spool_not_writable", reason=error.strerror)  # noqa: TRY400  no fault of ours
            self._no_room.begin()
            for claim in claims:
                self._ledger.owe(
                    Release(claim.job_id, claim.fence, "the spool could not be written")
                )
            return
        n_bytes = bytes_to_read(claims, artefact_path=self._artefacts.path)
        patience = self._settings.hang_seconds + n_bytes / READ_BYTES_PER_SECOND
        runner.take({claim.job_id: claim.fence for claim in claims}, patience_seconds=patience)
        runner.send(frames.Train(number=self._n_orders))

    # Listening

    def _sources(self) -> list["Connection[bytes, bytes] | socket.socket | int"]:
        return [self._ear, *(r.pipe for r in self._crew), *(r.process.sentinel for r in self._crew)]

    def _next_event(self) -> float:
        times = [self._rescue_at, self._look_due(), *(self._deadline(r) for r in self._crew)]
        if self._ledger.held:
            times.append(self._beat_at)
        if self._ledger.owes:
            times.append(self._ledger.retry_at)
        if self._draining:
            times.append(time.monotonic() + 0.05)
        else:
            times += [self._crew.hire_at, self._crew.not_asked_at]
            times.append(max(min(self._announce_at, self._crew.news_at), self._beat_at))
        return min(times)

    def _listen(self, ready: Sequence[object]) -> None:
        if self._ear in ready:
            self._ear.recv(4096)
        for runner in self._crew:
            if runner.pipe in ready:
                self._read(runner)
            if runner in self._crew and runner.process.sentinel in ready:
                self._read(runner)  # results that it sent before it died count
                if runner in self._crew:
                    self._lose(runner)

    def _read(self, runner: Runner) -> None:
        """Take every frame that waits. Whatever a runner sends, only it and its jobs suffer."""
        try:
            while runner.pipe.poll(0):
                runner.heard = time.monotonic()
                self._take(runner, frames.receive_from_runner(runner.pipe))
        except (EOFError, ConnectionError):
            self._lose(runner)
        except (ValueError, OSError):
            log.exception("runner_talks_nonsense")
            self._lose(runner, ended_by(Cause.UNREADABLE))

    def _take(self, runner: Runner, frame: frames.FromRunner) -> None:
        match frame:
            case frames.Ready():
                self._platform = frame.platform
                self._crew.started(runner)
                self._rung = True
                if not frame.preloaded:
                    log.error("torch_not_preloaded")  # every start costs seconds and 200 MiB
            case frames.On():
                self._ledger.turn(runner.jobs, frame, was_on=runner.on)
                runner.on = frozenset(frame.job_ids)
            case frames.Reported():
                runner.gpu = frame.gpu
                self._take_report(runner, frame.number)
            case frames.Idle():
                self._take_idle(runner, retire=frame.retire)

    def _take_report(self, runner: Runner, number: int) -> None:
        path = self._spool.path(f"report-{runner.serial}", number)
        report = read_report(path)
        path.unlink()
        self._no_room.end()
        patience = STEPS_OF_PATIENCE * report.step_seconds
        runner.patience_seconds = max(runner.patience_seconds, patience)
        for entry in report.entries:
            self._take_entry(runner, entry)

    def _take_entry(self, runner: Runner, entry: Entry | Unreadable) -> None:
        if runner.jobs.get(entry.job_id) != entry.fence:
            raise ValueError(f"a report about {entry.job_id}, which was not handed over")
        held = self._ledger.held_under(entry.job_id, entry.fence)
        if held is not None:
            self._ledger.owe(payment_for(entry, held, platform=self._platform))
        if entry.fate is not Fate.RUNNING:
            del runner.jobs[entry.job_id]
            runner.drops.pop(entry.job_id, None)
            (held.log if held else log).info("let_go", job_id=entry.job_id, fate=entry.fate)
        elif isinstance(entry, Unreadable):
            self._drop(entry.job_id)  # it has failed; the runner does not know

    def _take_idle(self, runner: Runner, *, retire: bool) -> None:
        """The order is served; in a drain, what had not begun goes back as it came."""
        if runner.jobs and not self._draining:
            raise ValueError(f"idle, and silent about {len(runner.jobs)} jobs")
        self._give_back(runner, Ending(DRAINED, blame=False, cause=Cause.RETIRED))
        runner.serving = False
        runner.retired |= retire
        self._rung = True

    # Settling

    def _settle(self) -> None:
        for refused in self._ledger.pay():
            self._drop(refused.job_id)

    def _lose(self, runner: Runner, ending: Ending | None = None) -> None:
        """Bury a runner and give back what it had."""
        exit_code = self._crew.dismiss(runner, kill=ending is not None)
        ending = ending or ending_of(exit_code)
        self._count_restart(ending.cause)
        if ending.cause is Cause.NO_ROOM:
            self._no_room.begin()
        log.warning("runner_lost", reason=ending.reason, job_ids=list(runner.jobs))
        if not runner.ready and not self._draining:
            self._crew.start_failed(ending.reason)
        self._give_back(runner, ending)
        self._rung = True

    def _give_back(self, runner: Runner, ending: Ending) -> None:
        """Return jobs to the queue; only what the runner was on may have brought it down.

        One that died before it said what it was on died of its order as a whole.
        """
        suspects = (runner.on or frozenset(runner.jobs)) if ending.blame else frozenset()
        for job_id, fence in runner.jobs.items():
            held = self._ledger.held_under(job_id, fence)
            if held is not None:
                self._ledger.owe(given_back(held, ending.reason, blamed=job_id in suspects))
        runner.jobs = {}
        runner.drops = {}

    def _count_restart(self, cause: Cause) -> None:
        if not self._draining:
            self._ledger.tally.add(RUNNER_RESTARTS, cause)

    def _poke(self) -> None:
        with suppress(OSError):
            self._bell.send(b"!")
