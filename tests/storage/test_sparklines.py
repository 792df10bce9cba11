from dataclasses import replace

import numpy as np
import pytest

from storage import history
from storage.database import Database
from tests.storage.acts import a_history, claimed, report


@pytest.mark.parametrize("total", [0, 1, 31, 4096, 4097, 40_000])
def test_losses_of_short_histories_are_all_and_of_long_ones_a_few(
    database: Database, total: int
) -> None:
    held = claimed(database)
    for end in sorted({total // 3, total} - {0}):  # in chunks of several sizes
        start = 0 if end < total else total // 3
        report(database, held, end, history=a_history(end - start, total=end))

    with database.read() as tx:
        losses = tx.sparklines.losses([held.job_id, "job_" + "0" * 32], points=32)

    whole = a_history(total).train_loss
    expected = whole if total <= 4096 else whole[np.linspace(0, total - 1, 32).astype(int)]
    assert list(losses) == [held.job_id]
    assert np.array_equal(losses[held.job_id], expected)


def test_the_place_of_a_loss_is_found_in_every_form_of_chunk() -> None:
    plain = a_history(50)
    for part in (plain, plain.take(np.arange(0, 50, 2)), plain.take(np.zeros(50, np.intp))):
        ((_, chunk),) = history.chunks(replace(part, total=len(part)))
        for row in range(len(part)):
            place = history.loss_place(chunk[: history.HEAD_BYTES], row)
            assert np.frombuffer(chunk, "<f8", 1, place)[0] == part.train_loss[row]
