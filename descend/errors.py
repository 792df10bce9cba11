"""The exception tree; the same classes stand on both sides of the wire.

    DescendError
    ├── InvalidInput (ValueError)          422  invalid_input       names the field in `param`
    │   ├── MalformedBody                  400  malformed_body
    │   ├── BodyTooLarge                   413  body_too_large
    │   ├── UnsupportedMediaType           415  unsupported_media_type
    │   ├── InvalidDataset                 422  invalid_dataset
    │   └── IdempotencyKeyReused           422  idempotency_key_reused
    ├── NotFound (LookupError)             404  not_found
    │   ├── DatasetNotFound                404  dataset_not_found
    │   ├── JobNotFound                    404  job_not_found
    │   └── ModelNotFound                  404  model_not_found
    ├── Conflict                           409  conflict
    │   ├── WrongState                     409  wrong_state
    │   └── DatasetInUse                   409  dataset_in_use
    ├── Unauthorized                       401  unauthorized
    ├── WrongHost                          421  wrong_host
    ├── QueueFull                          503  queue_full          retry later
    ├── Unavailable                        503  unavailable         retry later
    ├── StorageFull                        507  storage_full
    ├── CorruptArtefact                    500  corrupt_artefact
    ├── Unreachable                          –  unreachable         client side: no server answered
    └── JobFailed                            –  job_failed          client side: no model came out

A docstring is the class's default message. HTTP statuses are service/errors.py's table.
"""

from collections.abc import Sequence
from typing import ClassVar

from descend.field_errors import FieldError

__all__ = [
    "NOTHING_MADE",
    "BodyTooLarge",
    "Conflict",
    "CorruptArtefact",
    "DatasetInUse",
    "DatasetNotFound",
    "DescendError",
    "IdempotencyKeyReused",
    "InvalidDataset",
    "InvalidInput",
    "JobFailed",
    "JobNotFound",
    "MalformedBody",
    "ModelNotFound",
    "NotFound",
    "QueueFull",
    "StorageFull",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "UnsupportedMediaType",
    "WrongHost",
    "WrongState",
    "error_class",
]


class DescendError(Exception):
    """Something inside Descend went wrong."""

    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        retry_after_seconds: float | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.errors = tuple(errors)  # each field or column that is wrong, where several may be
        super().__init__(self.message)


class InvalidInput(DescendError, ValueError):
    """The request holds a value that cannot be used."""

    code = "invalid_input"


class MalformedBody(InvalidInput):
    """The body cannot be read as the media type it claims."""

    code = "malformed_body"


class BodyTooLarge(InvalidInput):
    """The body is larger than the limit."""

    code = "body_too_large"


class UnsupportedMediaType(InvalidInput):
    """The body's media type is not one that this route reads."""

    code = "unsupported_media_type"


class InvalidDataset(InvalidInput):
    """The dataset cannot be used for this request."""

    code = "invalid_dataset"


class IdempotencyKeyReused(InvalidInput):
    """This Idempotency-Key was used before with a different body."""

    code = "idempotency_key_reused"


class NotFound(DescendError, LookupError):
    """There is nothing with this id."""

    code = "not_found"


class DatasetNotFound(NotFound):
    """There is no dataset with this id."""

    code = "dataset_not_found"


class JobNotFound(NotFound):
    """There is no job with this id."""

    code = "job_not_found"


class ModelNotFound(NotFound):
    """There is no model with this id."""

    code = "model_not_found"


class Conflict(DescendError):
    """The request does not fit the present state."""

    code = "conflict"


class WrongState(Conflict):
    """The job's state does not allow this."""

    code = "wrong_state"


class DatasetInUse(Conflict):
    """The dataset is used by jobs that have not ended."""

    code = "dataset_in_use"


class Unauthorized(DescendError):
    """A valid API key is needed: Authorization: Bearer dsc_<id>_<secret>."""

    code = "unauthorized"


class WrongHost(DescendError):
    """A server without an API key answers only to localhost, 127.0.0.1 and [::1]."""

    code = "wrong_host"


class QueueFull(DescendError):
    """The queue is full; try again later."""

    code = "queue_full"


class Unavailable(DescendError):
    """A part of the service is not available just now; try again."""

    code = "unavailable"


class StorageFull(DescendError):
    """There is no room left to store this."""

    code = "storage_full"


class CorruptArtefact(DescendError):
    """A stored file does not have the checksum it was stored with."""

    code = "corrupt_artefact"


class Unreachable(DescendError):
    """No Descend server answered."""

    code = "unreachable"


class JobFailed(DescendError):
    """The job ended without a model."""

    code = "job_failed"


# Of a submission: after these there is no job. After others there may be one.
NOTHING_MADE = (InvalidInput, NotFound, Conflict, Unauthorized, WrongHost, QueueFull, StorageFull)


def _tree(root: type[DescendError]) -> dict[str, type[DescendError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found = _tree(child) | found  # a subclass that shares its parent's code is the parent
    return found


def error_class(code: str) -> type[DescendError]:
    """Return the class whose `code` this is; `DescendError` where none is known."""
    return _tree(DescendError).get(code, DescendError)
