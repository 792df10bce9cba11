"""The pictures of the documentation: taken by `make pictures`; every other run throws them away."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Service
from tests.house.sources import ROOT

BATCHES = {"batch_size": 16, "learning_rate": 0.02, "validation_fraction": 0.2, "seed": 1}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    kept = os.environ.get("DESCEND_PICTURES")  # noqa: TID251  a switch of the Makefile's
    return ROOT / "docs" / "pictures" if kept else tmp_path


def take(page: Page, file: Path) -> None:
    """Photograph the whole page, with no pointer on it."""
    page.mouse.move(0, 0)
    page.screenshot(path=file, full_page=True, animations="disabled")
    assert file.stat().st_size > 10_000


def settled(page: Page) -> None:
    """Wait for all that a finished job shows."""
    page.locator(".gauge").wait_for()
    page.locator(".interval .reach").first.wait_for(state="attached")  # a line has no height
    expect(page.locator(".plots figure svg")).to_have_count(3)


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("job-done-light", {}),
        ("job-done-dark", {"dark": True}),
        ("job-done-phone", {"phone": True, "dark": True}),
    ],
)
def test_a_job_that_is_done(
    open_page: Open, service: Service, album: Path, name: str, look: dict[str, bool]
) -> None:
    job = service.job("cars, gradient descent", validation_fraction=0.2, seed=1, max_epochs=2000)

    page = open_page(f"#/jobs/{job['id']}?y=log", **look)
    settled(page)

    take(page, album / f"{name}.png")


@pytest.mark.parametrize(
    ("name", "look"), [("job-live-light", {}), ("job-live-phone", {"phone": True})]
)
def test_a_job_that_runs(
    open_page: Open, service: Service, album: Path, name: str, look: dict[str, bool]
) -> None:
    job = service.job("cars, baseline", wait=0, **BATCHES, max_epochs=4000, tol=0)

    page = open_page(f"#/jobs/{job['id']}", **look)
    page.locator(".gauge").wait_for()
    expect(page.locator(".sentence")).to_contain_text("Almost there")

    take(page, album / f"{name}.png")


@pytest.mark.parametrize(("name", "look"), [("jobs-light", {}), ("jobs-phone", {"phone": True})])
def test_the_list(
    open_page: Open, service: Service, album: Path, name: str, look: dict[str, bool]
) -> None:
    service.job("cars, exact", optimizer="exact")
    service.job("cars, lasso", l1=0.1)
    service.job("cars, rate too large", learning_rate=0.45, max_epochs=600)
    service.job("cars, Adam", optimizer="adam", learning_rate=0.05, max_epochs=800)
    service.job("cars, baseline", wait=0, **BATCHES, max_epochs=4000, tol=0)

    page = open_page("#/jobs?q=cars", **look)
    page.locator("tbody tr").nth(4).wait_for()
    page.wait_for_function("document.querySelectorAll('.spark path').length >= 4")

    take(page, album / f"{name}.png")


def test_a_divergence(open_page: Open, service: Service, album: Path) -> None:
    job = service.job(
        "cars, rate too large", learning_rate=0.33, validation_fraction=0.2, seed=1, max_epochs=600
    )

    page = open_page(f"#/jobs/{job['id']}")
    page.locator(".gauge").wait_for()

    take(page, album / "job-diverged-light.png")
