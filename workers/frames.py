"""What goes through the pipe between a worker and a runner: small JSON frames, never pickles.

A runner has parsed somebody's file; nothing that it sends may run code in the worker. And a ready
pipe can still block: a large frame of a stopped runner held the supervisor for as long as the
runner was stopped. Hence the limit; bulk goes through workers.spool.
"""

from multiprocessing.connection import Connection
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from descend.jobs import JobPhase

__all__ = [
    "MAX_FRAME_BYTES",
    "Drain",
    "Drop",
    "FromRunner",
    "GpuMemory",
    "Idle",
    "On",
    "Platform",
    "Ready",
    "Reported",
    "Return",
    "ToRunner",
    "Train",
    "receive_from_runner",
    "receive_from_worker",
    "send",
]

MAX_FRAME_BYTES = 32 * 1024


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Train(_Frame):
    """To the runner: serve the order in this file of the spool."""

    type: Literal["train"] = "train"
    number: int


class Drop(_Frame):
    """To the runner: leave this job alone; its neighbours go on."""

    type: Literal["drop"] = "drop"
    job_id: str
    fence: int


class Return(_Frame):
    """To the runner: let this job go if it has not begun; another is idle."""

    type: Literal["return"] = "return"
    job_id: str
    fence: int


class Drain(_Frame):
    """To the runner: save every job and go idle."""

    type: Literal["drain"] = "drain"


class Platform(_Frame):
    """What a runner computes with: `kernel` names all that its last bits depend on."""

    torch_version: str
    cpu: str
    kernel: str


class Ready(_Frame):
    """From the runner: awake. `preloaded`: torch came with the fork, as it should."""

    type: Literal["ready"] = "ready"
    preloaded: bool
    platform: Platform


class On(_Frame):
    """From the runner: the jobs it turns to now. If it dies, it died of one of these."""

    type: Literal["on"] = "on"
    job_ids: list[str]
    phase: JobPhase = JobPhase.TRAINING


class GpuMemory(_Frame):
    """Of the whole device, whoever uses it."""

    used_bytes: int = Field(ge=0)
    total_bytes: int = Field(ge=0)


class Reported(_Frame):
    """From the runner: a report lies in the spool."""

    type: Literal["reported"] = "reported"
    number: int = Field(ge=0)
    gpu: GpuMemory | None = None


class Idle(_Frame):
    """From the runner: the order is served; everything about it has been reported."""

    type: Literal["idle"] = "idle"
    retire: bool = Field(description="the runner has served its time: start another")


ToRunner = Train | Drop | Return | Drain
FromRunner = Ready | On | Reported | Idle
_to_runner: TypeAdapter[ToRunner] = TypeAdapter(Annotated[ToRunner, Field(discriminator="type")])
_from_runner: TypeAdapter[FromRunner] = TypeAdapter(
    Annotated[FromRunner, Field(discriminator="type")]
)


def send(pipe: "Connection[bytes, bytes]", frame: ToRunner | FromRunner) -> None:
    """Send one frame.

    Raises:
        ValueError: when it is larger than MAX_FRAME_BYTES.
        OSError: when nobody holds the other end.
    """
    body = frame.model_dump_json().encode()
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes; at most {MAX_FRAME_BYTES}")
    pipe.send_bytes(body)


def receive_from_runner(pipe: "Connection[bytes, bytes]") -> FromRunner:
    """Read a frame from the side that is not trusted.

    Raises:
        ValueError: when it is no such frame (pydantic's ValidationError is one).
        OSError: when it is too large; the pipe is of no use then.
        EOFError: when the runner is gone.
    """
    return _from_runner.validate_json(pipe.recv_bytes(MAX_FRAME_BYTES))


def receive_from_worker(pipe: "Connection[bytes, bytes]") -> ToRunner:
    """Read a frame from the worker; EOFError when it is gone."""
    return _to_runner.validate_json(pipe.recv_bytes(MAX_FRAME_BYTES))
