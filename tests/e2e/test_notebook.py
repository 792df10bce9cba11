"""Cells in a real kernel: a watched run is drawn anew in one place, results are pages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

BEGUN = """
from descend import Client
client = Client({url!r})
run = client.train([[1.0], [2.0], [3.0]], [2.0, 4.0, 6.5], learning_rate=1e-7,
                   max_epochs={epochs}, tol=0, standardize=False)
"""
WATCHED = """
for event in run.watch(progress=True):
    pass
"""
SECONDS = 60


@dataclass
class Cell:
    """What a front end is told to show while a cell runs, message by message."""

    outputs: list[dict[str, Any]] = field(default_factory=list)

    def learn(self, message: dict[str, Any]) -> None:
        if message["msg_type"] not in {"status", "execute_input"}:
            self.outputs.append({"type": message["msg_type"], **message["content"]})

    def pages(self, kind: str) -> list[str]:
        return [one["data"]["text/html"] for one in self.outputs if one["type"] == kind]


class Notebook:
    """A kernel and the front end's side of it."""

    def __init__(self) -> None:
        self._manager = KernelManager()
        self._manager.start_kernel()
        self._kernel = self._manager.blocking_client()
        self._kernel.start_channels()
        self._kernel.wait_for_ready(timeout=SECONDS)

    def close(self) -> None:
        self._kernel.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def run(self, code: str) -> Cell:
        cell = Cell()
        self._kernel.execute_interactive(code, timeout=SECONDS, output_hook=cell.learn)
        errors = [one["evalue"] for one in cell.outputs if one["type"] == "error"]
        assert errors == []
        return cell


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """Its folders are its own: no profile of a developer's, nothing left in a home."""
    folder: Path = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        opened = Notebook()
        yield opened
        opened.close()


def test_a_watched_run_is_drawn_anew_in_the_place_where_it_was_drawn_first(
    notebook: Notebook, url: str
) -> None:
    notebook.run(BEGUN.format(url=url, epochs=500_000))

    cell = notebook.run(WATCHED)

    kinds = [one["type"] for one in cell.outputs]
    assert kinds == ["display_data"] + ["update_display_data"] * (len(kinds) - 1)
    assert len(kinds) > 1
    assert len({one["transient"]["display_id"] for one in cell.outputs}) == 1
    last = cell.pages("update_display_data")[-1]
    assert "succeeded (max_epochs)" in last
    assert "500,000 of 500,000" in last
    assert "<polyline" in last


def test_a_run_that_has_ended_is_drawn_as_it_ended(notebook: Notebook, url: str) -> None:
    notebook.run(BEGUN.format(url=url, epochs=50) + "run.wait()")

    cell = notebook.run(WATCHED)

    pages = cell.pages("display_data") + cell.pages("update_display_data")
    assert "succeeded (max_epochs)" in pages[-1]


@pytest.mark.parametrize("result", ["run", "run.job", "run.model", "run.summary", "run.history"])
def test_a_result_at_the_end_of_a_cell_is_a_page(result: str, notebook: Notebook, url: str) -> None:
    notebook.run(BEGUN.format(url=url, epochs=50) + "run.wait()")

    cell = notebook.run(result)

    (shown,) = cell.outputs
    assert shown["type"] == "execute_result"
    assert "<table" in shown["data"]["text/html"] or "<svg" in shown["data"]["text/html"]
