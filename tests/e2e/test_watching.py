"""A run watched, and what it looks like: on a terminal, in a notebook, with hostile names."""

import io
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from descend.client import Client
from descend.errors import Unreachable
from descend.events import HistoryEvent, JobEvent, StateEvent
from descend.jobs import JobState
from descend.progress import Watched, shown
from tests.wire import wire

X, Y = [[1.0], [2.0], [3.0]], [2.0, 4.0, 6.5]
SLOW = {"learning_rate": 1e-4, "max_epochs": 3_000, "tol": 0, "standardize": False}
HOSTILE = '<script>alert("x")</script>'


def epochs_of(events: list[JobEvent]) -> list[int]:
    return [e for event in events if isinstance(event, HistoryEvent) for e in event.data.epoch]


def test_a_watched_run_tells_every_state_and_stretch_once(client: Client) -> None:
    run = client.train(X, Y, **SLOW)

    events = list(run.watch())

    states = [event.data.state for event in events if isinstance(event, StateEvent)]
    parts = [event.data for event in events if isinstance(event, HistoryEvent)]
    assert states == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert (parts[0].start, parts[-1].stop) == (0, 3_000)
    assert run.state is JobState.SUCCEEDED


def test_a_stream_that_breaks_is_taken_up_where_it_broke(url: str, client: Client) -> None:
    run = client.train(X, Y, **SLOW).wait()

    with wire(url) as line, Client(line.url) as far:
        whole = list(client.events(run.id))
        stream = far.events(run.id)
        told = [next(stream), next(stream)]
        assert line.cut() > 0
        told += list(stream)

    assert [event.id for event in told] == [event.id for event in whole]


def test_a_log_that_was_told_to_its_end_is_over(client: Client) -> None:
    run = client.train(X, Y, optimizer="exact").wait()
    last = list(client.events(run.id))[-1]

    assert list(client.events(run.id, last_event_id=last.id)) == []


def test_watching_gives_up_where_no_server_answers() -> None:
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(Unreachable):
        next(nobody.events("job_1"))


def test_a_terminal_shows_state_epochs_loss_and_curve(client: Client) -> None:
    run = client.train(X, Y, **SLOW)
    watched, screen = Watched(run.job), io.StringIO()

    with shown(Console(file=screen, force_terminal=True, width=120)) as display:
        for event in run.watch():
            watched.learn(event)
            display.show(watched)

    last = screen.getvalue()
    assert "max_epochs" in last
    assert "3000/3000" in last
    assert f"loss {run.history.train_loss[-1]:.5g}" in last
    assert "█" in last


def test_watch_with_progress_tells_the_same(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    run = client.train(X, Y, **SLOW)

    events = list(run.watch(progress=True))

    assert events
    assert "succeeded (max_epochs): epoch 3000 of 3000, loss " in capsys.readouterr().out


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def everything(client: Client) -> Iterator[object]:
    columns = {HOSTILE: [1.0, 2.0, 3.0, 5.0, 8.0], "y": [2.0, 4.0, 6.5, 9.0, 17.0]}
    run = client.train(columns, target="y", name=HOSTILE, max_epochs=500, tol=0).wait()
    yield from (run, run.job, run.model, run.summary, run.history)


def test_results_are_pages_without_a_script_whatever_columns_are_called(client: Client) -> None:
    for value in everything(client):
        page = Page(value._repr_html_())  # type: ignore[attr-defined]

        assert "script" not in page.tags
        assert {"svg", "table"} & set(page.tags)
        if "table" in page.tags and "ds_" not in page.words:
            assert HOSTILE in page.words


def test_a_run_shows_its_curve(client: Client) -> None:
    run = client.train(X, Y, **SLOW).wait()

    page = run._repr_html_()

    assert page.count("<polyline") == 1
    assert f"{run.history.train_loss[0]:.4g}" in page


def test_results_print_on_a_terminal(client: Client) -> None:
    screen = Console(file=io.StringIO(), width=120, record=True)
    for value in everything(client):
        screen.print(value)

    text = screen.export_text()
    assert HOSTILE in text
    assert "(intercept)" in text
    assert "std error" in text


def test_a_repr_does_not_fail_where_the_server_is_gone(url: str) -> None:
    with wire(url) as line, Client(line.url, retries=0) as client:
        run = client.train(X, Y, optimizer="exact").wait()
        line.close()

        assert run.id in run._repr_html_()
        assert run.id in repr(run)


def test_a_history_is_an_array_and_a_frame_of_either_kind(client: Client) -> None:
    history = client.train(X, Y, **SLOW).wait().history

    assert history.to_numpy().shape == (3_000, 6)
    assert np.array_equal(history.to_numpy()[:, 1], history.train_loss)
    assert history.to_pandas()["train_loss"].tolist() == history.train_loss.tolist()
    assert history.to_polars()["epoch"].to_list() == history.epoch.tolist()


def test_a_history_of_more_than_one_answer_comes_whole(client: Client) -> None:
    run = client.train(X, Y, **{**SLOW, "max_epochs": 100_501, "learning_rate": 1e-7}).wait()

    history = run.history

    assert history.epoch.tolist() == list(range(100_501))
    assert len(client.history(run.id, start=200, stop=100_400)) == 100_200
    assert len(client.history(run.id, max_points=50)) == 50
