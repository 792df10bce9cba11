"""What an entry of a runner's report means for the job's row. Torch-free."""

import hashlib
import json
import math
from functools import cache
from importlib.metadata import version
from pathlib import Path

from descend.diagnostics import Diagnostics
from descend.gradients import Gradients
from descend.jobs import JobError, JobKind, JobPhase, JobState, StopReason
from descend.models import LinearModel, Provenance, Receipt
from descend.plans import Plan
from descend.statistics import INTERCEPT, Statistics
from storage.leases import DRAINED, Claim, Outcome, Report
from workers.frames import Platform
from workers.payments import Crash, GivenBack, Held, Payment, Release, Wish
from workers.reports import Entry, Fate, Unreadable, told

__all__ = ["given_back", "payment_for"]

CODE_VERSION = version("descend")  # once: each call reads and parses a file, 1 ms
_ANSWERS: dict[JobKind, type[Plan] | type[Gradients] | type[Diagnostics]] = {
    JobKind.PLAN: Plan,
    JobKind.GRADIENTS: Gradients,
    JobKind.DIAGNOSTICS: Diagnostics,
}
_GIVEN_UP = {
    Wish.CANCEL: (JobState.CANCELLED, StopReason.CANCELLED),
    Wish.EXPIRE: (JobState.EXPIRED, StopReason.TIMED_OUT),
}


def payment_for(entry: Entry | Unreadable, held: Held, *, platform: Platform) -> Payment:
    """Turn an entry into what is owed to the database.

    One that cannot be read, or does not fit its job, fails that job: it would come again as it is.
    """
    if isinstance(entry, Unreadable):
        return _not_readable(held, entry.reason)
    try:
        return _payment_for(entry, held, platform)
    except ValueError as error:
        return _not_readable(held, told(error))


def _payment_for(entry: Entry, held: Held, platform: Platform) -> Payment:
    held.epochs_done = entry.epochs_done
    if entry.fate is Fate.SUCCEEDED and held.claim.kind is not JobKind.TRAIN:
        return _outcome(entry, held, JobState.SUCCEEDED, result=_result(entry, held.claim))
    if entry.fate is Fate.SUCCEEDED:
        return _outcome(entry, held, JobState.SUCCEEDED, _model(entry, held.claim, platform))
    if entry.fate is Fate.FAILED:
        return _outcome(entry, held, JobState.FAILED)
    if entry.fate is Fate.RUNNING:
        held.told = JobPhase.TRAINING  # the report says so
        return _report(entry, held)
    return _let_go(entry, held)


def _let_go(entry: Entry, held: Held) -> Payment:
    if held.wish is not None:
        return _given_up(held, entry)
    if entry.fate is Fate.RETURNED:
        return GivenBack(entry.job_id, entry.fence)
    return Release(entry.job_id, entry.fence, reason=DRAINED, report=_report(entry, held))


def given_back(held: Held, reason: str, *, blamed: bool) -> Payment:
    """Say what becomes of a job whose runner is gone: it goes back, unless nobody wishes it."""
    if held.wish is not None:
        return _given_up(held)
    return (Crash if blamed else Release)(held.claim.job_id, held.fence, reason)


def _not_readable(held: Held, reason: str) -> Outcome:
    held.log.error("report_not_readable", reason=reason)
    return Outcome(
        job_id=held.claim.job_id,
        fence=held.fence,
        state=JobState.FAILED,
        stop_reason=StopReason.ERROR,
        epochs_done=held.epochs_done,
        error=JobError(
            code="internal_error",
            message=f"what the training process reported of this job could not be read: {reason}",
        ),
        worked_seconds=held.worked_seconds,
    )


def _given_up(held: Held, entry: Entry | None = None) -> Outcome:
    """Make the outcome of a job that was cancelled or ran out of time."""
    state, stop_reason = _GIVEN_UP[held.wish or Wish.CANCEL]
    return Outcome(
        job_id=held.claim.job_id,
        fence=held.fence,
        state=state,
        stop_reason=stop_reason,
        epochs_done=held.epochs_done,
        history=None if entry is None else entry.history,
        device=None if entry is None else entry.device,
        worked_seconds=held.worked_seconds,
    )


def _report(entry: Entry, held: Held) -> Report:
    return Report(
        job_id=entry.job_id,
        fence=entry.fence,
        epochs_done=entry.epochs_done,
        history=entry.history,
        checkpoint=entry.checkpoint,
        device=entry.device,
        worked_seconds=held.worked_seconds,
    )


def _outcome(
    entry: Entry,
    held: Held,
    state: JobState,
    model: LinearModel | None = None,
    *,
    result: str | None = None,
) -> Outcome:
    if entry.stop_reason is None:
        raise ValueError("an ended job without a reason")
    return Outcome(
        job_id=entry.job_id,
        fence=entry.fence,
        state=state,
        stop_reason=entry.stop_reason,
        epochs_done=entry.epochs_done,
        history=entry.history,
        model=model,
        metrics=entry.metrics,
        error=entry.error,
        resolved=entry.resolved,
        engine=entry.engine,
        device=entry.device,
        warnings=tuple(dict.fromkeys((*held.claim.warnings, *entry.warnings))),
        result=result,
        statistics=None if model is None else _statistics(entry, model),
        covariance=None if model is None else entry.covariance,
        worked_seconds=held.worked_seconds,
    )


def _result(entry: Entry, claim: Claim) -> str:
    """Hold an answer against the contract: pydantic's ValidationError is a ValueError."""
    if entry.result is None or entry.stop_reason is not StopReason.ANSWERED:
        raise ValueError("a success without an answer")
    answer = _ANSWERS[claim.kind].model_validate_json(entry.result)
    warnings = dict.fromkeys((*claim.warnings, *getattr(answer, "warnings", ())))
    if warnings and "warnings" in type(answer).model_fields:
        answer = answer.model_copy(update={"warnings": list(warnings)})
    return answer.model_dump_json()


def _statistics(entry: Entry, model: LinearModel) -> Statistics | None:
    """Hold statistics against the model that they are of."""
    statistics, spread = entry.statistics, entry.covariance
    if statistics is None:
        if spread is not None:
            raise ValueError("a covariance without statistics")
        return None
    names = statistics.names
    plain = names[:-1] if names[-1:] == [INTERCEPT] else names
    if plain != model.features or [one.target for one in statistics.targets] != model.targets:
        raise ValueError("statistics of another model")
    lengths = {len(errors) for one in statistics.targets for errors in one.std_errors.values()}
    if lengths - {len(names)}:
        raise ValueError("standard errors of another number of weights")
    if spread is not None and len(spread) != 8 * (2 * len(plain) + len(names) ** 2):
        raise ValueError(f"a covariance of {len(spread)} bytes")
    return statistics


def _model(entry: Entry, claim: Claim, platform: Platform) -> LinearModel:
    coef, intercept, encoding = entry.coef, entry.intercept, entry.encoding
    if coef is None or intercept is None or encoding is None:
        raise ValueError("a success without weights")
    if [one.name for one in encoding.inputs] != list(claim.features):
        raise ValueError("an encoding of other columns")
    features = encoding.features
    if coef.shape != (len(claim.targets), len(features)) or intercept.shape != coef.shape[:1]:
        raise ValueError(f"weights of shapes {coef.shape} and {intercept.shape}")
    return LinearModel(
        features=features,
        targets=list(claim.targets),
        coef=coef.tolist(),
        intercept=intercept.tolist(),
        encoding=None if encoding.is_plain else encoding,
        metrics={} if entry.metrics is None else entry.metrics.model_dump(exclude_none=True),
        receipt=_receipt(entry, claim, platform, n_features=len(features)),
        provenance=Provenance(
            job_id=claim.job_id,
            dataset_id=claim.dataset.dataset_id,
            dataset_sha256=claim.dataset.sha256,
            code_version=CODE_VERSION,
            torch_version=platform.torch_version,
            device=entry.device or "cpu",
            dtype=claim.hyperparameters.dtype,
            seed=claim.hyperparameters.seed or 0,
            engine=entry.engine or "eager",
            weight=claim.weight,
            missing=claim.spec.missing,
            validation_fraction=claim.hyperparameters.validation_fraction,
        ),
    )


def _receipt(entry: Entry, claim: Claim, platform: Platform, *, n_features: int) -> Receipt:
    h, metrics = claim.hyperparameters, entry.metrics
    condition = None if metrics is None else metrics.condition_number
    return Receipt(
        rank=None if metrics is None else metrics.rank,
        n_columns=n_features + h.fit_intercept,
        condition_number=condition,
        digits_lost=None if condition is None else math.log10(max(condition, 1.0)),
        dtype=h.dtype,
        device=entry.device or "cpu",
        engine=entry.engine or "eager",
        cpu=platform.cpu,
        kernel=platform.kernel,
        data_sha256=claim.dataset.sha256,
        spec_sha256=_spec_sha256(claim),
        code_sha256=_code_sha256(),
    )


def _spec_sha256(claim: Claim) -> str:
    """Hash what was asked for and bears on the numbers: data by content, no ids and no names."""
    validation = None if claim.validation is None else claim.validation.sha256
    asked = {
        "columns": [claim.features, claim.targets, claim.weight],
        "missing": claim.spec.missing,
        "categorical": claim.spec.categorical,
        "validation_sha256": validation,
        "hyperparameters": claim.hyperparameters.model_dump(
            mode="json", exclude={"validation_dataset"}
        ),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@cache
def _code_sha256() -> str:
    """Hash the engine's source: what trained, whatever the version says."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent / "training").glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
