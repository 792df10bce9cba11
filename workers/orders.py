"""What a worker hands to a runner: claimed jobs with their data and checkpoints, in a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from descend.jobs import Hyperparameters, JobKind
from storage.artefacts import FACTORS
from storage.leases import Claim, StoredData
from workers.spool import Blobs, Document, read_file, write_file

__all__ = ["Assignment", "bytes_to_read", "read_order", "write_order"]


@dataclass(frozen=True)
class Assignment:
    """One job as the runner sees it.

    Attributes:
        data: an Arrow file's bytes, or the path of one.
        validation: the same, of rows to validate on.
        factors: folder of the dataset's factors; None for data so small that none are kept.
        parent_factors: folder of the factors of the dataset that this one begins with.
        parent_rows: how many of the first rows are that dataset's.
    """

    job_id: str
    fence: int
    attempt: int
    hyperparameters: Hyperparameters
    device: str
    features: tuple[str, ...]
    targets: tuple[str, ...]
    weight: str | None
    missing: str
    categorical: str
    data: bytes | Path
    validation: bytes | Path | None
    factors: Path | None
    parent_factors: Path | None
    parent_rows: int
    checkpoint: bytes | None
    epochs_done: int
    kind: JobKind = JobKind.TRAIN


def write_order(
    path: Path, claims: Sequence[Claim], *, artefact_path: Callable[[str], Path]
) -> None:
    """Write the claimed jobs to a file; equal data sets are written once.

    Raises:
        OSError: when the disk is full.
    """
    blobs = Blobs()
    jobs = [_job(claim, blobs, artefact_path) for claim in claims]
    write_file(path, {"jobs": jobs}, blobs.parts)


def read_order(path: Path) -> list[Assignment]:
    """Read the file back, in the order of the claims."""
    document, blobs = read_file(path)
    return [_assignment(job, blobs) for job in document["jobs"]]


def bytes_to_read(claims: Sequence[Claim], *, artefact_path: Callable[[str], Path]) -> int:
    """Count the bytes of the files that the jobs' data is in."""
    data = [one for claim in claims for one in (claim.dataset, claim.validation) if one]
    paths = [artefact_path(one.artefact) for one in data if one.artefact is not None]
    return sum(path.stat().st_size for path in paths if path.exists())


def _job(claim: Claim, blobs: Blobs, artefact_path: Callable[[str], Path]) -> Document:
    data, parent = claim.dataset, claim.dataset.parent
    return {
        "job_id": claim.job_id,
        "kind": claim.kind,
        "fence": claim.fence,
        "attempt": claim.attempt,
        "hyperparameters": claim.hyperparameters.model_dump(mode="json"),
        "device": claim.spec.device,
        "features": claim.features,
        "targets": claim.targets,
        "weight": claim.weight,
        "missing": claim.spec.missing,
        "categorical": claim.spec.categorical,
        "data": _placed(data, blobs, artefact_path),
        "validation": _placed(claim.validation, blobs, artefact_path),
        "factors": None
        if data.artefact is None
        else str(artefact_path(f"{FACTORS}/{data.dataset_id}")),
        "parent_factors": None
        if parent is None
        else str(artefact_path(f"{FACTORS}/{parent.dataset_id}")),
        "parent_rows": 0 if parent is None else parent.n_rows,
        "checkpoint": None if claim.checkpoint is None else blobs.add(claim.checkpoint),
        "epochs_done": claim.epochs_done,
    }


def _placed(
    data: StoredData | None, blobs: Blobs, artefact_path: Callable[[str], Path]
) -> int | str | None:
    """Where the bytes are: a blob's number, or a path."""
    if data is None or (data.inline is None and data.artefact is None):
        return None
    if data.inline is not None:
        return blobs.add(data.inline)
    return str(artefact_path(str(data.artefact)))


def _found(place: int | str | None, blobs: list[bytes]) -> bytes | Path | None:
    return blobs[place] if isinstance(place, int) else _path(place)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _assignment(job: Document, blobs: list[bytes]) -> Assignment:
    checkpoint = job["checkpoint"]
    return Assignment(
        job_id=job["job_id"],
        kind=JobKind(job["kind"]),
        fence=job["fence"],
        attempt=job["attempt"],
        hyperparameters=Hyperparameters.model_validate(job["hyperparameters"]),
        device=job["device"],
        features=tuple(job["features"]),
        targets=tuple(job["targets"]),
        weight=job["weight"],
        missing=job["missing"],
        categorical=job["categorical"],
        data=_found(job["data"], blobs) or b"",
        validation=_found(job["validation"], blobs),
        factors=_path(job["factors"]),
        parent_factors=_path(job["parent_factors"]),
        parent_rows=job["parent_rows"],
        checkpoint=None if checkpoint is None else blobs[checkpoint],
        epochs_done=job["epochs_done"],
    )
