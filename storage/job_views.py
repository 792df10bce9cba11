"""Rows of jobs as the contract's Job."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import RowMapping

from descend.jobs import (
    Hyperparameters,
    Job,
    JobError,
    JobKind,
    JobPhase,
    JobSpec,
    JobState,
    Metrics,
    Progress,
    StopReason,
    Transition,
)
from storage.dialects import instant

__all__ = ["estimated_finish", "job_of", "progress_of", "queued_job"]

NOT_READ = "what was asked for cannot be read: `spec` and `resolved_hyperparameters` are defaults"


def queued_job(
    row: Mapping[str, Any],
    spec: JobSpec,
    *,
    hyperparameters: Hyperparameters,
    created_at: datetime,
    queue_position: int,
    parent_id: str | None,
) -> Job:
    """Build the Job that was queued just now, without reading it again."""
    return Job.model_construct(
        id=row["id"],
        kind=JobKind(row["kind"]),
        name=row["name"],
        state=JobState.QUEUED,
        created_at=created_at,
        progress=Progress(epoch=0, max_epochs=row["max_epochs"], fraction=0.0),
        queue_position=queue_position,
        spec=spec,
        resolved_hyperparameters=hyperparameters,
        attempt=0,
        seed=row["seed"],
        warnings=json.loads(row["warnings"]),
        parent_id=parent_id,
        transitions=[Transition(state=JobState.QUEUED, at=created_at, reason="submitted")],
        dataset_id=row["dataset_id"],
        dataset_sha256=row["dataset_sha256"],
        metadata=spec.metadata,
        urls=_urls(row["id"], None),
    )


def job_of(
    row: RowMapping, *, transitions: Sequence[Transition], queue_position: int | None
) -> Job:
    """Build a Job from a row of VIEW."""
    spec, hyperparameters, unread = _asked_for(row)
    state = JobState(row["state"])
    asked = row["cancel_requested_at"] is not None
    # Every other part was checked when it was stored.
    return Job.model_construct(
        id=row["id"],
        kind=JobKind(row["kind"]),
        name=row["name"],
        state=state,
        intent="cancel" if asked and not state.is_terminal else None,
        stop_reason=StopReason(row["stop_reason"]) if row["stop_reason"] else None,
        created_at=instant(row["created_at"]),
        started_at=_instant(row["started_at"]),
        work_started_at=_instant(row["work_started_at"]),
        finished_at=_instant(row["finished_at"]),
        estimated_finish=estimated_finish(row),
        progress=progress_of(row),
        queue_position=queue_position,
        spec=spec,
        resolved_hyperparameters=hyperparameters,
        engine=row["engine"],
        device=row["device"],
        attempt=row["attempts"],
        seed=row["seed"],
        warnings=json.loads(row["warnings"]) + unread,
        error=JobError.model_validate_json(row["error"]) if row["error"] else None,
        transitions=list(transitions),
        metrics=Metrics.model_validate_json(row["metrics"]) if row["metrics"] else None,
        result=json.loads(row["result"]) if row.get("result") else None,
        model_id=row["model_id"],
        parent_id=row["parent_id"],
        dataset_id=row["dataset_id"],
        dataset_sha256=row["dataset_sha256"],
        metadata=spec.metadata,
        urls=_urls(row["id"], row["model_id"]),
    )


def progress_of(row: RowMapping) -> Progress:
    """Say how far a job is."""
    done, max_epochs = row["epochs_done"], row["max_epochs"]
    phase = JobPhase(row["phase"]) if row["phase"] else None
    return Progress(epoch=done, max_epochs=max_epochs, fraction=done / max_epochs, phase=phase)


def _asked_for(row: RowMapping) -> tuple[JobSpec, Hyperparameters, list[str]]:
    """Read what was asked for; a row of another version can still be seen, cancelled, deleted.

    Nothing counts as set in what stands for it: a retry has to say all of it again.
    """
    try:
        return (
            JobSpec.model_validate_json(row["spec"]),
            Hyperparameters.model_validate_json(row["hyperparameters"]),
            [],
        )
    except ValidationError:
        spec = JobSpec.model_construct(_fields_set=set(), dataset=row["dataset_id"])
        return spec, Hyperparameters(), [NOT_READ]


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else instant(microseconds)


def estimated_finish(row: RowMapping) -> datetime | None:
    """The end at max_epochs, at the rate of the work; a model that converges ends earlier."""
    if row["state"] != JobState.RUNNING or row["reported_at"] is None:
        return None
    trained = row["epochs_done"] - row["claimed_epochs"]
    if trained <= 0:
        return None
    left = row["max_epochs"] - row["epochs_done"]
    took = row["reported_at"] - (row["work_started_at"] or row["claimed_at"])
    return instant(row["reported_at"]) + timedelta(microseconds=took * left // trained)


def _urls(job_id: str, model_id: str | None) -> dict[str, str]:
    here = f"/v1/jobs/{job_id}"
    urls = {"self": here, "cancel": f"{here}/cancel", "history": f"{here}/history"}
    return urls | {"model": f"{here}/model"} if model_id else urls
