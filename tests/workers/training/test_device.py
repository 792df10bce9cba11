"""Where problems train."""

import pytest
import torch

from tests.problems import notebook, random_problem
from tests.workers.training.trained import problem_of, same_bits, train
from workers import training

HAS_CUDA = torch.cuda.is_available()


def test_what_is_asked_for_is_chosen_and_said() -> None:
    assert training.choose_device(problem_of(notebook()), "cpu") == ("cpu", "cpu was asked for")


def test_a_small_problem_goes_to_the_cpu_and_it_is_said_why() -> None:
    device, reason = training.choose_device(problem_of(notebook()), "auto")

    assert device == "cpu"
    assert "too few" in reason if HAS_CUDA else "no CUDA device" in reason


@pytest.mark.skipif(HAS_CUDA, reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(training.DeviceUnavailable) as refused:
        training.choose_device(problem_of(notebook()), "cuda")

    assert refused.value.code == "device_unavailable"
    assert refused.value.param == "device"


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA, reason="no CUDA device")
class TestOnCuda:
    @pytest.mark.parametrize(
        "asked",
        [
            {},
            {"momentum": 0.9, "l1": 0.1},
            {"optimizer": "adam", "l2": 0.1},
            {"validation_fraction": 0.2},
            {"dtype": "float32"},
        ],
        ids=str,
    )
    def test_histories_are_the_cpus(self, asked: dict[str, object]) -> None:
        rows = random_problem("any", n_samples=5000, n_features=20)

        on_cpu = train(rows, **asked, max_epochs=200, tol=0).history
        on_cuda = train(rows, **asked, max_epochs=200, tol=0, device="cuda").history

        tolerance = 1e-4 if asked.get("dtype") == "float32" else 1e-11
        difference = abs(on_cpu.train_loss - on_cuda.train_loss).max()
        assert difference <= tolerance * on_cpu.train_loss[0]

    def test_a_run_is_the_same_every_time(self) -> None:
        rows = random_problem("any", n_samples=5000, n_features=20)

        runs = [train(rows, optimizer="adam", max_epochs=100, device="cuda") for _ in range(2)]

        assert same_bits(*runs)

    def test_a_run_in_two_halves_is_the_run_in_one(self) -> None:
        problem = problem_of(random_problem("any", n_samples=5000), momentum=0.9, tol=0)
        state, _ = training.advance(training.start([problem], "cuda", [None]), 50)

        second = training.start([problem], "cuda", [training.save(state, 0)])
        second, _ = training.advance(second, 50)
        whole, _ = training.advance(training.start([problem], "cuda", [None]), 100)

        assert training.save(second, 0) == training.save(whole, 0)

    def test_single_precision_is_not_rounded_to_tf32(self) -> None:
        assert not torch.backends.cuda.matmul.allow_tf32

    def test_a_large_problem_goes_to_cuda(self) -> None:
        rows = random_problem("any", n_samples=200_000, n_features=20)

        assert training.choose_device(problem_of(rows), "auto")[0] == "cuda"
