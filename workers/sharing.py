"""Jobs that wait behind others of their claim while somebody is idle: they go back."""

from collections.abc import Iterable

from workers import frames
from workers.crew import Crew
from workers.ledger import Ledger
from workers.payments import Held
from workers.process import Runner

__all__ = ["ask_back", "chosen"]

WORTH_SHARING = 5 * 10**8  # multiplications at most, about half a second: less is soon done here


def ask_back(crew: Crew, ledger: Ledger) -> None:
    """Ask runners for jobs that have not begun, as many as the idle would take on at once."""
    behind = {
        held.claim.job_id: (held, runner) for runner in crew for held in _behind(runner, ledger)
    }
    if sum(held.claim.work for held, _ in behind.values()) < WORTH_SHARING:
        return
    for queue in {held.claim.queue for held, _ in behind.values()}:
        waiting = [held for held, _ in behind.values() if held.claim.queue == queue]
        n_idle = ledger.idle_elsewhere(queue) + len(crew.idle)
        for held in chosen(waiting, n_idle):
            runner = behind[held.claim.job_id][1]
            runner.asked_back.add(held.claim.job_id)
            runner.send(frames.Return(job_id=held.claim.job_id, fence=held.fence))


def chosen(waiting: Iterable[Held], n_idle: int) -> list[Held]:
    """Choose the longest jobs, to n_idle of n_idle + 1 parts of the work: they would wait longest
    here. One at least, for each that is idle.
    """
    longest = sorted(waiting, key=lambda held: held.claim.work, reverse=True)
    left = sum(held.claim.work for held in longest) * n_idle // (n_idle + 1)
    found: list[Held] = []
    for held in longest:
        if len(found) >= n_idle and held.claim.work > left:
            continue
        if not n_idle:
            break
        found.append(held)
        left -= held.claim.work
    return found


def _behind(runner: Runner, ledger: Ledger) -> Iterable[Held]:
    """Find the jobs that wait for those which the runner is on."""
    for job_id, fence in runner.jobs.items() if runner.on else ():
        held = ledger.held_under(job_id, fence)
        asked = job_id in runner.asked_back or job_id in runner.drops
        if held is not None and held.began is None and not asked and job_id not in runner.on:
            yield held
