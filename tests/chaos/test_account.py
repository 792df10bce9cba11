"""The storm's account: which crashes were accidents, and which a worker's own."""

import os
import random
import signal

from descend.jobs import JobState
from tests.chaos.stage import Lesson, Stage
from tests.chaos.storm import Storm
from tests.servers import until


def test_a_crash_that_the_storm_caused_is_told_from_one_that_it_did_not(stage: Stage) -> None:
    worker = stage.hire()
    storm = Storm(stage, random.Random(1), None)  # noqa: S311
    struck = stage.submit(Lesson.lasting(seconds=1.5))
    stage.await_progress(struck)
    storm.kill_a_runner()
    stage.await_end(struck)

    unlucky = stage.submit(Lesson.lasting(seconds=1.5))
    stage.await_progress(unlucky)
    os.kill(worker.runners()[-1], signal.SIGKILL)
    until(lambda: stage.crashes(unlucky) == 1, what="the crash is counted")
    stage.await_end(unlucky)

    assert stage.job(struck).state is JobState.SUCCEEDED
    assert (stage.crashes(struck), storm.crashes_of_its_own(struck)) == (1, 0)
    assert (stage.crashes(unlucky), storm.crashes_of_its_own(unlucky)) == (1, 1)
