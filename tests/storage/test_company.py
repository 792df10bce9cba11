"""Writes in one transaction: shared by those who wait, and nobody pays for another's failure."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from descend.errors import Unavailable
from storage.company import Company

N_THREADS = 8


class Ledger:
    """Transactions over a list: what a block has added is kept at its end, or nothing is."""

    def __init__(self) -> None:
        self.kept: list[list[str]] = []
        self.refused_step = ""

    @contextmanager
    def begin(self) -> Iterator[list[str]]:
        refused = self.refused_step
        if refused == "begin":
            raise OSError("no begin")
        tx: list[str] = []
        yield tx
        if refused == "commit":
            raise OSError("no commit")
        self.kept.append(tx)


def in_company(
    company: Company[list[str]],
    acts: list[Callable[[list[str]], str]],
    *,
    then: Callable[[], None] = lambda: None,
) -> list[str | BaseException]:
    """Have the acts wait while one more is run, so that they are served at once, in order."""
    outcomes: list[str | BaseException] = [""] * len(acts)

    def run(place: int) -> None:
        try:
            outcomes[place] = company.together(acts[place])
        except (OSError, ValueError, Unavailable, KeyboardInterrupt) as error:
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]

    def while_they_come(tx: list[str]) -> None:
        for n_waiting, thread in enumerate(threads, 1):
            thread.start()
            while len(company._waiting) < n_waiting:
                pass
        then()

    company.together(while_they_come)
    for thread in threads:
        thread.join()
    return outcomes


def writes(text: str) -> Callable[[list[str]], str]:
    def act(tx: list[str]) -> str:
        tx.append(text)
        return f"{text} written"

    return act


def fails(tx: list[str]) -> str:
    tx.append("half")
    raise ValueError("refused")


def test_who_waits_shares_one_transaction_and_each_gets_its_own_answer() -> None:
    ledger = Ledger()
    names = [str(number) for number in range(N_THREADS)]

    outcomes = in_company(Company(ledger.begin), [writes(name) for name in names])

    assert ledger.kept == [[], names]
    assert outcomes == [f"{name} written" for name in names]


def test_a_failure_is_its_own_threads_alone_and_the_others_are_kept_once() -> None:
    ledger = Ledger()

    outcomes = in_company(Company(ledger.begin), [writes("a"), fails, writes("b")])

    assert ledger.kept == [[], ["a"], ["b"]]
    assert [outcomes[0], str(outcomes[1]), outcomes[2]] == ["a written", "refused", "b written"]


@pytest.mark.parametrize("step", ["begin", "commit"])
def test_where_a_transaction_fails_everybody_in_it_is_told_once(step: str) -> None:
    ledger = Ledger()
    runs: list[str] = []

    def noted(tx: list[str]) -> str:
        runs.append("run")
        return writes("a")(tx)

    outcomes = in_company(
        Company(ledger.begin), [noted, noted], then=lambda: setattr(ledger, "refused_step", step)
    )

    assert ledger.kept == [[]]
    assert [str(outcome) for outcome in outcomes] == [f"no {step}", f"no {step}"]
    assert len(runs) == (0 if step == "begin" else 2)


def test_a_thread_alone_is_served_at_once_and_so_is_the_next() -> None:
    ledger = Ledger()
    company = Company(ledger.begin)

    company.together(writes("a"))
    with pytest.raises(ValueError, match="refused"):
        company.together(fails)
    company.together(writes("b"))

    assert ledger.kept == [["a"], ["b"]]


def test_more_than_a_transaction_holds_are_served_in_several() -> None:
    ledger = Ledger()
    names = [str(number) for number in range(40)]

    in_company(Company(ledger.begin), [writes(name) for name in names])

    assert [len(tx) for tx in ledger.kept] == [0, 32, 8]
    assert [name for tx in ledger.kept for name in tx] == names


def test_where_the_leader_is_interrupted_nobody_is_told_that_it_was_kept() -> None:
    ledger = Ledger()

    def interrupted(tx: list[str]) -> str:
        raise KeyboardInterrupt

    outcomes = in_company(Company(ledger.begin), [interrupted, writes("a"), writes("b")])

    assert ledger.kept == [[]]
    assert [type(outcome) for outcome in outcomes] == [KeyboardInterrupt, Unavailable, Unavailable]
