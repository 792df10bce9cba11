"""Frames: small, JSON, and read with suspicion."""

from multiprocessing import Pipe

import pytest

from workers import frames


def test_a_frame_comes_back_as_it_was_sent() -> None:
    ours, theirs = Pipe()

    frames.send(theirs, frames.On(job_ids=["job_1", "job_2"]))
    frames.send(ours, frames.Drop(job_id="job_1", fence=3))

    assert frames.receive_from_runner(ours) == frames.On(job_ids=["job_1", "job_2"])
    assert frames.receive_from_worker(theirs) == frames.Drop(job_id="job_1", fence=3)


def test_the_ids_of_a_full_claim_fit_into_a_frame() -> None:
    ours, theirs = Pipe()

    frames.send(theirs, frames.On(job_ids=[f"job_{i:032x}" for i in range(64)]))

    assert ours.poll(1)


def test_a_frame_above_32_KiB_is_not_sent() -> None:
    ours, theirs = Pipe()

    with pytest.raises(ValueError, match="at most 32768"):
        frames.send(theirs, frames.On(job_ids=["x" * 33_000]))

    assert not ours.poll(0)


def test_a_frame_above_32_KiB_is_not_read() -> None:
    ours, theirs = Pipe()
    theirs.send_bytes(b'{"type":"idle","retire":false}' + b" " * 40_000)

    with pytest.raises(OSError, match="bad message length"):
        frames.receive_from_runner(ours)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"cos\nsystem\n(S'true'\ntR.",
        b'{"type":"train","number":1}',
        b'{"type":"reported","number":-1}',
        b'{"type":"reported","number":"1"}',
        b'{"type":"idle","retire":false,"more":1}',
    ],
)
def test_what_is_no_frame_of_a_runner_is_refused(body: bytes) -> None:
    ours, theirs = Pipe()
    theirs.send_bytes(body)

    with pytest.raises(ValueError):  # noqa: PT011  pydantic's ValidationError
        frames.receive_from_runner(ours)
