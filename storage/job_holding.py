"""A worker's side of jobs: claim, renew, report, finish, give back."""

import json
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, RowMapping

from descend.ids import new_id
from descend.jobs import Hyperparameters, JobError, JobKind, JobSpec, JobState, StopReason
from storage import claim_statements as claiming
from storage import lease_statements as sql
from storage.counters import JOB_FAILURES, JOBS_ENDED, JOBS_REQUEUED, LEASES_LOST, Tally
from storage.dialects import instant
from storage.history import chunks
from storage.leases import (
    DRAINED,
    REBALANCED,
    Beat,
    Claim,
    Expired,
    Outcome,
    Parent,
    Report,
    StoredData,
    Turn,
)
from storage.models import ModelRepository
from storage.tables import jobs

__all__ = ["JobHolding"]

UNREADABLE = JobError(
    code="unreadable",
    message="the worker cannot read what this job asks for: another version may have written it",
)


class JobHolding:
    """The part of JobRepository that workers write with.

    Every write of a running job is guarded by its fence, in one place: `mine`. A test of the
    protocol can see what the fence prevents by a subclass that compares with >= instead.
    """

    def __init__(self, connection: Connection, tally: Tally) -> None:
        self._connection = connection
        self._tally = tally
        self._dialect = connection.dialect.name
        self._held = _held(self.mine)

    @staticmethod
    def mine(fence: ColumnElement[Any]) -> ColumnElement[bool]:
        """The row is still held under this fence: no other claim came after mine."""
        return jobs.c.fence == fence

    def has_queued(
        self, queues: Collection[str], *, kinds: Collection[JobKind] = tuple(JobKind)
    ) -> bool:
        """Whether a claim would find something; takes no lock."""
        mine = {"my_queues": list(queues), "my_kinds": list(kinds)}
        return bool(self._connection.scalar(claiming.HAS_QUEUED, mine))

    def claim(
        self,
        worker_id: str,
        limit: int,
        *,
        queues: Collection[str],
        lease_seconds: float,
        kinds: Collection[JobKind] = tuple(JobKind),
        shares: int = 1,
    ) -> list[Claim]:
        """Take up to `limit` small jobs, or one large or twice crashed one, in the queue's order.

        Of `shares` who could have them it takes its part of the work, and at least one.

        The history that was reported after a job's checkpoint is deleted: it comes again. A job
        that cannot be read is ended here: it would come again at every claim, for ever.
        """
        taken = self._connection.execute(
            claiming.CLAIM,
            {
                "my_worker": worker_id,
                "at_most": limit,
                "my_queues": list(queues),
                "my_kinds": list(kinds),
                "my_lease": _microseconds(lease_seconds),
                "my_shares": shares,
            },
        ).all()
        if not taken:
            return []
        again = [row.id for row in taken if row.attempts > 1]
        if again:
            self._connection.execute(claiming.CUT_HISTORY, {"my_jobs": again})
        found = self._connection.execute(claiming.CLAIMED, {"my_jobs": [row.id for row in taken]})
        rows = found.mappings().all()
        for row in rows:
            self._tally.waited(row["queue"], max(0, row["waited"]) / 1e6)
        read = [self._read_or_end(row) for row in rows]
        return [claim for claim in read if claim is not None]

    def beat(
        self,
        worker_id: str,  # noqa: ARG002
        held: Mapping[str, int],
        *,
        lease_seconds: float,
        missed_seconds: float = 0.0,
    ) -> Beat:
        """Renew the leases of all held jobs (id -> fence); learn what became of them.

        `missed_seconds`, in which the worker stood still, do not count to the jobs' timeouts.
        """
        if not held:
            return Beat(frozenset(), frozenset(), frozenset())
        rows = self._connection.execute(
            self._held.beat,
            {
                "my_jobs": list(held),
                "my_held": json.dumps(dict(held)),
                "my_lease": _microseconds(lease_seconds),
                "my_missed": _microseconds(missed_seconds),
            },
        ).all()
        return Beat(
            lost=frozenset(held) - {row.id for row in rows},
            cancel=frozenset(row.id for row in rows if row.cancel_requested_at is not None),
            expired=frozenset(
                row.id
                for row in rows
                if row.timeout_seconds is not None and row.ran > row.timeout_seconds * 1_000_000
            ),
        )

    def turn(self, turn: Turn) -> bool:
        """Note what is being done about a running job now; False: fenced.

        The time that counts to its timeout runs from the first turn to it, and stands while the
        job waits.
        """
        values = {
            "my_job": turn.job_id,
            "my_fence": turn.fence,
            "my_phase": turn.phase.value,
            "my_worked": _worked(turn.worked_seconds),
        }
        return self._connection.execute(self._held.turn, values).rowcount > 0

    def report(self, report: Report) -> bool:
        """Store progress, new history and checkpoint of a running job; False: fenced."""
        changed = self._connection.execute(self._held.report, _progress(report))
        if changed.rowcount == 0:
            return False
        self._store(report)
        if report.checkpoint is not None:
            self._connection.execute(
                sql.SAVE_CHECKPOINT[self._dialect],
                {"job_id": report.job_id, "data": report.checkpoint},
            )
        return True

    def finish(self, outcome: Outcome) -> bool:
        """End a running job: state, weights and the last history in this one transaction.

        A job whose cancel was accepted ends as cancelled, never as succeeded. False: fenced. A
        finish that is repeated, because its commit's fate was unknown, is True again.
        """
        keeps = outcome.model is not None and outcome.state is JobState.SUCCEEDED
        model_id = new_id("mdl") if keeps else None
        values = _progress(outcome) | _ending(outcome) | {"my_model_id": model_id}
        ended = self._connection.execute(self._held.finish, values).first()
        if ended is None:
            held = {"my_job": outcome.job_id, "my_fence": outcome.fence}
            return self._connection.scalar(self._held.ended, held) is not None
        self._count_end(ended, code=outcome.error.code if outcome.error else None)
        self._store(outcome)
        if ended.state == JobState.SUCCEEDED:
            self._keep(outcome, model_id)
        return True

    def _keep(self, outcome: Outcome, model_id: str | None) -> None:
        """Store what a success brought: a model with its statistics, or an answer."""
        if outcome.model is not None and model_id is not None:
            models = ModelRepository(self._connection)
            models.add(outcome.model, model_id=model_id, job_id=outcome.job_id)
            if outcome.statistics is not None:
                models.add_statistics(model_id, outcome.statistics, spread=outcome.covariance)
        if outcome.result is not None:
            values = {"job_id": outcome.job_id, "data": outcome.result}
            self._connection.execute(sql.SAVE_RESULT, values)

    def release(
        self,
        job_id: str,
        fence: int,
        *,
        reason: str,
        report: Report | None = None,
        delay_seconds: float = 0,
    ) -> bool:
        """Give a running job back: queued again, no crash counted; False: fenced.

        `delay_seconds` keeps it from being claimed at once, where the fault is not the job's.
        """
        if report is not None and not self.report(report):
            return False
        values = {
            "my_job": job_id,
            "my_fence": fence,
            "my_reason": reason,
            "my_delay": _microseconds(delay_seconds),
        }
        released = self._connection.execute(self._held.release, values).first()
        if released is None:
            return False
        self._count_end(released, requeued="drained" if reason == DRAINED else "runner_lost")
        return True

    def give_back(self, job_id: str, fence: int) -> bool:
        """Put a claimed job that has not begun back into the queue, as if it had not been claimed.

        False: fenced, or begun.
        """
        values = {"my_job": job_id, "my_fence": fence, "my_reason": REBALANCED, "my_delay": 0}
        returned = self._connection.execute(self._held.give_back, values).first()
        if returned is not None:
            self._count_end(returned, requeued=REBALANCED)
        return returned is not None

    def crashed(self, job_id: str, fence: int, *, reason: str) -> JobState | None:
        """Count a crash: queued again, or quarantined at the third. None: fenced."""
        values = {"my_job": job_id, "my_fence": fence} | _lost(reason, sql.MAX_CRASHES)
        crashed = self._connection.execute(self._held.crashed, values).first()
        if crashed is None:
            return None
        self._count_end(crashed, code="crashed", requeued="runner_lost")
        return JobState(crashed.state)

    def expired(self) -> Expired:
        """Say which leases have run out, by the database's clock."""
        clock = self._connection.scalar(sql.CLOCK) or 0
        leases = self._connection.scalars(sql.EXPIRED, {"my_before": clock})
        return Expired(clock, frozenset(leases))

    def rescue(self, expired: Expired | None = None, *, limit: int = 100) -> list[str]:
        """Take jobs from workers that let their lease run out. Returns their ids.

        No crash is counted; but at the tenth lost lease the job is quarantined.
        """
        expired = expired or self.expired()
        if not expired.leases:
            return []
        values = {"at_most": limit, "my_leases": list(expired.leases), "my_before": expired.clock}
        error = _lost(sql.LEASE_EXPIRED, sql.MAX_LOST_LEASES)
        rescued = self._connection.execute(sql.RESCUE, values | error).all()
        self._tally.add(LEASES_LOST, n=len(rescued))
        for row in rescued:
            self._count_end(row, code="crashed", requeued="lease_expired")
        return [row.id for row in rescued]

    def _read_or_end(self, row: RowMapping) -> Claim | None:
        try:
            return _claim_of(row)
        except (ValueError, TypeError):  # another version's, or damaged
            unreadable = Outcome(
                job_id=row["id"],
                fence=row["fence"],
                state=JobState.FAILED,
                stop_reason=StopReason.ERROR,
                epochs_done=row["epochs_done"],
                error=UNREADABLE,
            )
            self.finish(unreadable)
            return None

    def _count_end(
        self, row: Row[Any], *, code: str | None = None, requeued: str | None = None
    ) -> None:
        """Count what became of a job: its end, a failure's code, or why it is queued again."""
        state = JobState(row.state)
        if state.is_terminal:
            self._tally.add(JOBS_ENDED, row.kind, state, row.engine or "none")
        if state in {JobState.FAILED, JobState.QUARANTINED} and code is not None:
            self._tally.add(JOB_FAILURES, code)
        if state is JobState.QUEUED and requeued is not None:
            self._tally.add(JOBS_REQUEUED, requeued)

    def _store(self, of: Report | Outcome) -> None:
        if of.history is not None and len(of.history):
            self._connection.execute(
                sql.SAVE_CHUNK[self._dialect],
                [
                    {"job_id": of.job_id, "start": start, "data": data}
                    for start, data in chunks(of.history)
                ],
            )
        if of.resolved is not None:
            self._connection.execute(
                sql.SAVE_RESOLVED,
                {"my_job": of.job_id, "my_resolved": of.resolved.model_dump_json()},
            )


@cache
def _held(mine: sql.Guard) -> sql.Held:
    return sql.Held.by(mine)


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _worked(seconds: float | None) -> int | None:
    return None if seconds is None else _microseconds(seconds)


def _progress(of: Report | Outcome) -> dict[str, Any]:
    rows = of.history.total if of.history is not None and len(of.history) else None
    saved = isinstance(of, Report) and of.checkpoint is not None
    return {
        "my_job": of.job_id,
        "my_fence": of.fence,
        "my_epochs": of.epochs_done,
        "my_history_rows": rows,
        "my_checkpoint_epochs": of.epochs_done if saved else None,
        "my_engine": of.engine,
        "my_device": of.device,
        "my_warnings": json.dumps(list(of.warnings)) if of.warnings else None,
        "my_worked": _worked(of.worked_seconds),
    }


def _ending(outcome: Outcome) -> dict[str, Any]:
    return {
        "my_state": outcome.state.value,
        "my_stop_reason": outcome.stop_reason.value,
        "my_reason": outcome.stop_reason.value,
        "my_metrics": outcome.metrics.model_dump_json() if outcome.metrics else None,
        "my_error": outcome.error.model_dump_json() if outcome.error else None,
    }


def _lost(reason: str, times: int) -> dict[str, str]:
    error = JobError(
        code="crashed",
        message=f"the training process was lost {times} times; the last time: {reason}",
        detail={"crashes": times},
    )
    return {"my_reason": reason, "my_error": error.model_dump_json()}


def _claim_of(row: RowMapping) -> Claim:
    return Claim(
        job_id=row["id"],
        fence=row["fence"],
        attempt=row["attempts"],
        crashes=row["crashes"],
        spec=JobSpec.model_validate_json(row["spec"]),
        hyperparameters=Hyperparameters.model_validate_json(row["hyperparameters"]),
        dataset=StoredData(
            dataset_id=row["dataset_id"],
            sha256=row["dataset_sha256"],
            inline=row["inline"],
            artefact=row["artefact"],
            parent=Parent(row["parent_id"], row["parent_rows"]) if row["parent_id"] else None,
        ),
        validation=_validation_of(row),
        targets=tuple(json.loads(row["targets"])),
        features=tuple(json.loads(row["features"])),
        weight=row["weight"],
        checkpoint=row["checkpoint"],
        epochs_done=row["epochs_done"],
        started_at=instant(row["started_at"]),
        timeout_seconds=row["timeout_seconds"],
        kind=JobKind(row["kind"]),
        queue=row["queue"],
        warnings=tuple(json.loads(row["warnings"])),
        work=row["work"],
    )


def _validation_of(row: RowMapping) -> StoredData | None:
    if row["validation_id"] is None:
        return None
    return StoredData(
        dataset_id=row["validation_id"],
        sha256=row["validation_sha256"] or "",
        inline=row["validation_inline"],
        artefact=row["validation_artefact"],
    )
