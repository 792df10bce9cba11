"""What a worker hands to a runner: claimed jobs with their data and checkpoints, in a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from descend.jobs import Hyperparameters
from storage.jobs import Claim
from workers.spool import Blobs, Document, read_file, write_file

__all__ = ["Assignment", "bytes_to_read", "read_order", "write_order"]


@dataclass(frozen=True)
class Assignment:
    """One job as the runner sees it. `data`: an Arrow file's bytes, or the path of one."""

    job_id: str
    fence: int
    attempt: int
    hyperparameters: Hyperparameters
    device: str
    features: tuple[str, ...]
    targets: tuple[str, ...]
    weight: str | None
    data: bytes | Path
    checkpoint: bytes | None
    epochs_done: int

    @property
    def columns(self) -> tuple[str, ...]:
        weight = () if self.weight is None else (self.weight,)
        return (*self.features, *self.targets, *weight)


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
    paths = [artefact_path(c.dataset.artefact) for c in claims if c.dataset.artefact is not None]
    return sum(path.stat().st_size for path in paths if path.exists())


def _job(claim: Claim, blobs: Blobs, artefact_path: Callable[[str], Path]) -> Document:
    data = claim.dataset
    return {
        "job_id": claim.job_id,
        "fence": claim.fence,
        "attempt": claim.attempt,
        "hyperparameters": claim.hyperparameters.model_dump(mode="json"),
        "device": claim.spec.device,
        "features": claim.features,
        "targets": claim.targets,
        "weight": claim.weight,
        "inline": None if data.inline is None else blobs.add(data.inline),
        "artefact": None if data.artefact is None else str(artefact_path(data.artefact)),
        "checkpoint": None if claim.checkpoint is None else blobs.add(claim.checkpoint),
        "epochs_done": claim.epochs_done,
    }


def _assignment(job: Document, blobs: list[bytes]) -> Assignment:
    inline, checkpoint = job["inline"], job["checkpoint"]
    return Assignment(
        job_id=job["job_id"],
        fence=job["fence"],
        attempt=job["attempt"],
        hyperparameters=Hyperparameters.model_validate(job["hyperparameters"]),
        device=job["device"],
        features=tuple(job["features"]),
        targets=tuple(job["targets"]),
        weight=job["weight"],
        data=Path(job["artefact"]) if inline is None else blobs[inline],
        checkpoint=None if checkpoint is None else blobs[checkpoint],
        epochs_done=job["epochs_done"],
    )
