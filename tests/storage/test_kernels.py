"""What selects the kernels is inherited; workers that compute with others are found."""

import pytest

from storage.database import Database
from storage.kernels import kernel_environment

SELECTING = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ATEN_CPU_CAPABILITY",
)


@pytest.mark.parametrize("name", SELECTING)
def test_a_child_is_given_what_selects_the_kernels(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in SELECTING:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "Haswell")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")

    assert kernel_environment() == {name: "Haswell"}


def test_an_empty_variable_selects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SELECTING:
        monkeypatch.setenv(name, "")

    assert kernel_environment() == {}


def test_live_workers_of_the_same_queue_and_another_kernel_are_found(database: Database) -> None:
    with database.begin() as tx:
        tx.workers.seen("mine", "a", pid=1, queues=["cpu"], kernel="Haswell")
        tx.workers.seen("like", "b", pid=2, queues=["cpu"], kernel="Haswell")
        tx.workers.seen("other", "c", pid=3, queues=["cpu", "cuda"], kernel="Zen")
        tx.workers.seen("elsewhere", "d", pid=4, queues=["cuda"], kernel="Zen")
        tx.workers.seen("of_old_code", "e", pid=5, queues=["cpu"])

    with database.read() as tx:
        found = tx.workers.other_kernels("Haswell", queues=["cpu"], within_seconds=60)
        long_ago = tx.workers.other_kernels("Haswell", queues=["cpu"], within_seconds=-1)

    assert found == {"other": "Zen"}
    assert long_ago == {}
