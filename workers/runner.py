"""The child that holds torch: load -> train -> report; it ends when its pipe closes.

Single-threaded. Between two calls into the engine (a chunk, a tenth of a second) it looks at its
pipe, and every 0.2 s it reports; what ends is reported at once. No database, no socket.
"""

import gc
import os
import resource
import statistics
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection

import structlog
import torch

from descend.errors import DescendError
from descend.jobs import JobError, JobKind, JobPhase
from storage import logs
from workers import frames
from workers.answers import answer
from workers.batch import Trainee, Work, batches, load, rehearse, unloaded, work_on
from workers.kernels import platform
from workers.orders import Assignment, read_order
from workers.process import CUDA_FAULT, NO_ROOM, RunnerOptions
from workers.reports import Entry, Fate, portions, write_report
from workers.training import CheckpointMismatch

__all__ = ["first_chunk", "main", "next_chunk"]

# Before anything is known about an epoch's cost: at most so many epochs, and about 20 ms of them.
FIRST_CHUNK = 32
FIRST_CELLS = 2**24
CHUNK_SECONDS = 0.1  # aimed at: a wish is seen after one chunk, and 0.25 s is the promise
REPORT_SECONDS = 0.2
LIVE_PER_REPORT = 16  # more jobs at once report less often: each costs the worker some statements
RETIRE_AFTER_GROWTH = 2**30

log = structlog.get_logger()


def main(pipe: "Connection[bytes, bytes]", options: RunnerOptions, *, preloaded: bool) -> None:
    """Serve orders until the pipe closes."""
    torch.set_num_threads(1)
    # The same switch as use_deterministic_algorithms(True), which imports sympy first: 1.5 to 3 s.
    torch.set_deterministic_debug_mode("error")
    logs.configure("runner", form=options.log_format, level=options.log_level)
    structlog.contextvars.bind_contextvars(worker_id=options.worker_id)
    rehearse()
    desk = Desk(pipe, options)
    desk.send(frames.Ready(preloaded=preloaded, platform=platform()))
    while True:
        frame = desk.receive()
        # A drop or a drain that arrives here speaks of jobs that have been reported meanwhile.
        if isinstance(frame, frames.Train):
            order = options.spool / f"order-{frame.number}"
            jobs = read_order(order)
            order.unlink()
            Shift(desk, jobs).serve()
            desk.served(len(jobs))


def first_chunk(cells: int) -> int:
    """Choose how many epochs to train first; `cells`: what one epoch reads."""
    return max(1, min(FIRST_CHUNK, FIRST_CELLS // cells))


def next_chunk(epochs: int, seconds: float) -> int:
    """Choose how many epochs to train before the next look at the pipe.

    At most eight times as many as just now: the first epochs are not like the later ones.
    """
    wanted = CHUNK_SECONDS * epochs / max(seconds, 1e-6)
    return max(1, int(min(wanted, 8 * epochs)))


class Desk:
    """The runner's side of pipe and spool. A closed pipe ends the process."""

    def __init__(self, pipe: "Connection[bytes, bytes]", options: RunnerOptions) -> None:
        self.options = options
        self.retire = False
        self._pipe = pipe
        self._n_reports = 0
        self._n_jobs = 0
        self._first_rss: int | None = None

    def send(self, frame: frames.FromRunner) -> None:
        try:
            frames.send(self._pipe, frame)
        except OSError:
            raise SystemExit(0) from None

    def receive(self) -> frames.ToRunner:
        try:
            return frames.receive_from_worker(self._pipe)
        except (EOFError, OSError):
            raise SystemExit(0) from None

    def waiting(self) -> bool:
        return self._pipe.poll(0)

    def report(self, entries: Sequence[Entry], *, step_seconds: float) -> None:
        for portion in portions(entries):
            self._report(portion, step_seconds=step_seconds)

    def _report(self, entries: Sequence[Entry], *, step_seconds: float) -> None:
        path = self.options.spool / f"report-{self.options.serial}-{self._n_reports}"
        try:
            write_report(path, entries, step_seconds=step_seconds)
        except OSError:
            log.exception("spool_not_writable")
            raise SystemExit(NO_ROOM) from None
        self.send(frames.Reported(number=self._n_reports, gpu=_gpu_memory()))
        self._n_reports += 1

    def served(self, n_jobs: int) -> None:
        self._n_jobs += n_jobs
        rss = _resident_bytes()
        self._first_rss = self._first_rss or rss  # after the first order: what it needs to work
        grown = rss - self._first_rss > RETIRE_AFTER_GROWTH
        self.retire = self.retire or grown or self._n_jobs >= self.options.jobs
        self.send(frames.Idle(retire=self.retire))


class _LetGo(Exception):
    """The worker wants a job back that is being answered."""

    def __init__(self, fate: Fate) -> None:
        super().__init__(fate)
        self.fate = fate


class Shift:
    """One order's service: every job of it ends in an entry, unless the worker drains."""

    def __init__(self, desk: Desk, jobs: Sequence[Assignment]) -> None:
        self._desk = desk
        self._jobs = jobs
        self._trainees: list[Trainee] = []
        self._dropped: set[tuple[str, int]] = set()
        self._wanted_back: set[tuple[str, int]] = set()
        self._draining = False
        self._ended: list[Entry] = []
        self._steps: deque[float] = deque([0.0], maxlen=20)
        now = time.monotonic()
        self._report_at = now + REPORT_SECONDS
        self._checkpoint_at = now + desk.options.checkpoint_seconds

    def serve(self) -> None:
        for job in self._jobs:
            self._load(job)
        for batch in batches(self._trainees):
            self._train(batch)
        self._report()

    def _load(self, job: Assignment) -> None:
        phase = JobPhase.LOADING if job.kind is JobKind.TRAIN else JobPhase.TRAINING
        self._desk.send(frames.On(job_ids=[job.job_id], phase=phase))
        self._heed()
        if self._draining:
            return
        if (job.job_id, job.fence) in self._dropped:
            self._ended.append(unloaded(job, Fate.DROPPED))
            return
        if (job.job_id, job.fence) in self._wanted_back:
            self._ended.append(unloaded(job, Fate.RETURNED))
            return
        if job.kind is not JobKind.TRAIN:
            self._answer(job)
            return
        try:
            self._trainees.append(load(job, scratch=self._desk.options.spool))
        except Exception as error:  # noqa: BLE001  whatever the data did, its neighbours go on
            self._ended.append(unloaded(job, Fate.FAILED, error=_told(error, [job])))

    def _answer(self, job: Assignment) -> None:
        """Answer at once: somebody waits, and no neighbour shares the work."""
        try:
            spool = self._desk.options.spool
            self._ended.append(answer(job, alive=lambda: self._go_on(job), scratch=spool))
        except _LetGo as wish:
            self._ended.append(unloaded(job, wish.fate))
        except Exception as error:  # noqa: BLE001  whatever the data did, its neighbours go on
            self._ended.append(unloaded(job, Fate.FAILED, error=_told(error, [job])))
        self._report()

    def _go_on(self, job: Assignment) -> None:
        """Say that the work goes on, and end it where the worker wishes so."""
        self._desk.send(frames.On(job_ids=[job.job_id]))
        self._heed()
        if (job.job_id, job.fence) in self._dropped:
            raise _LetGo(Fate.DROPPED)
        if self._draining:
            raise _LetGo(Fate.SAVED)

    def _train(self, batch: list[Trainee]) -> None:
        """Train a batch; in trouble, its halves, until the one that is in trouble is alone."""
        parts = [batch]
        while parts and not self._draining:
            part = [trainee for trainee in parts.pop() if not trainee.ended]
            trouble = self._attempt(part) if part else None
            if trouble is None:
                continue
            if len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            elif trouble.code == "gpu_oom" and not part[0].retried:
                part[0].retried = True  # once more, in the memory that its neighbours gave back
                parts.append(part)
            elif trouble.code == CheckpointMismatch.code and part[0].checkpoint is not None:
                part[0].start_over()
                parts.append(part)
            else:
                self._ended.append(part[0].failed(trouble))

    def _attempt(self, part: list[Trainee]) -> JobError | None:
        jobs = [trainee.job for trainee in part]
        for trainee in part:
            trainee.begun = True
        self._desk.send(frames.On(job_ids=[job.job_id for job in jobs]))
        batch: Work | None = None
        try:
            batch = work_on(part)
            self._loop(batch)
        except torch.AcceleratorError:
            # Sticky: the context is lost, and with it every tensor. Nothing is left to save.
            log.exception("cuda_fault", job_ids=[job.job_id for job in jobs])
            os._exit(CUDA_FAULT)
        except Exception as error:  # noqa: BLE001  one job's fate must not be its neighbours'
            trouble = _told(error, jobs)
        else:
            return None
        # Out of the except block: its traceback held the tensors that are to be freed.
        # https://github.com/pytorch/pytorch/issues/18853
        if batch is not None:
            batch.save()
            batch = None
        self._recover(trouble)
        return trouble

    def _recover(self, trouble: JobError) -> None:
        gc.collect()
        if trouble.code == "gpu_oom":
            torch.cuda.empty_cache()
            self._desk.retire = True

    def _loop(self, batch: Work) -> None:
        epochs = first_chunk(batch.cells)
        while batch.live:
            self._ended += batch.advance(epochs)
            self._steps.append(batch.chunk_seconds)
            epochs = next_chunk(epochs, batch.chunk_seconds)
            self._report(self._progress(batch))
            self._heed()
            self._let_go(batch)

    def _progress(self, batch: Work) -> list[Entry]:
        now = time.monotonic()
        live = batch.live
        if not live or now < self._report_at:
            return []
        self._report_at = now + REPORT_SECONDS * max(1.0, len(live) / LIVE_PER_REPORT)
        if now >= self._checkpoint_at:
            batch.save()
            spent = time.monotonic() - now  # saving may cost one hundredth of the work
            self._checkpoint_at = now + max(self._desk.options.checkpoint_seconds, 100 * spent)
        return [trainee.entry(Fate.RUNNING) for trainee in live]

    def _heed(self) -> None:
        """Read what the worker wishes."""
        while self._desk.waiting():
            frame = self._desk.receive()
            if isinstance(frame, frames.Drop):
                self._dropped.add((frame.job_id, frame.fence))
            elif isinstance(frame, frames.Return):
                self._wanted_back.add((frame.job_id, frame.fence))
            elif isinstance(frame, frames.Drain):
                self._draining = True

    def _let_go(self, batch: Work) -> None:
        """Carry the wishes out; a dropped job may also wait in a batch to come."""
        if not (self._dropped or self._wanted_back or self._draining):
            return
        if self._draining:
            batch.save()
        in_batch = batch.live
        for trainee in self._trainees:
            if trainee.ended:
                continue
            live = trainee in in_batch
            dropped = (trainee.job.job_id, trainee.job.fence) in self._dropped
            if self._is_wanted_back(trainee) and not dropped:
                self._ended.append(trainee.entry(Fate.RETURNED))
            elif dropped or (self._draining and live):
                self._ended.append(trainee.entry(Fate.DROPPED if dropped else Fate.SAVED))
                if live:
                    batch.drop(trainee)
        self._report()

    def _is_wanted_back(self, trainee: Trainee) -> bool:
        wanted = (trainee.job.job_id, trainee.job.fence) in self._wanted_back
        return wanted and not trainee.begun

    def _report(self, progress: Sequence[Entry] = ()) -> None:
        if self._ended or progress:
            median = statistics.median(self._steps)
            self._desk.report([*self._ended, *progress], step_seconds=median)
            self._ended = []


def _told(error: Exception, jobs: Sequence[Assignment]) -> JobError:
    """Say what went wrong; what is nobody's business but ours goes to the log, under an id."""
    if isinstance(error, DescendError):
        return JobError(code=error.code, message=error.message, param=error.param)
    if isinstance(error, torch.OutOfMemoryError):
        return JobError(code="gpu_oom", message="the GPU has not enough memory for this job")
    error_id = os.urandom(6).hex()
    attempts = {job.job_id: job.attempt for job in jobs}
    log.error("training_failed", error_id=error_id, attempts=attempts, exc_info=error)
    return JobError(
        code="internal_error",
        message=f"an unexpected error ended the training; the worker's log has it as {error_id}",
        detail={"error_id": error_id},
    )


def _gpu_memory() -> frames.GpuMemory | None:
    """Ask the driver; not before a job has used the GPU, for asking would make a context."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    free, total = torch.cuda.mem_get_info()
    return frames.GpuMemory(used_bytes=total - free, total_bytes=total)


def _resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
