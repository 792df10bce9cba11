"""The list of jobs: live, found, selected, deleted."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Service, sideways, violations


def test_jobs_are_found_by_name_and_state(open_page: Open, service: Service) -> None:
    service.job("needle, found", optimizer="exact")
    service.job("needle, diverged", learning_rate=0.6)

    page = open_page()
    page.get_by_role("searchbox").fill("needle")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("radio", name="Failed").check(force=True)

    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("Diverged")
    assert "q=needle" in page.url
    assert "state=failed" in page.url
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No failed jobs with")).to_be_visible()


def test_a_new_job_is_announced_and_its_row_is_live(open_page: Open, service: Service) -> None:
    service.job("before", optimizer="exact")
    page = open_page()
    page.get_by_role("link", name="before").first.wait_for()

    job = service.job("comes later", wait=0, batch_size=8, learning_rate=0.005, max_epochs=10**6)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.get_by_role("button", name="1 new job").click()
    row = page.locator(f"tr[data-id={job['id']}]")
    expect(row).to_contain_text(re.compile("Running|Queued"))
    row.get_by_role("checkbox").check()
    page.get_by_role("group", name="Selected jobs").get_by_role("button", name="Cancel").click()

    expect(page.locator(f"tr[data-id={job['id']}]")).to_contain_text("Cancelled")


def test_rows_are_walked_selected_and_deleted_by_keyboard(
    open_page: Open, service: Service
) -> None:
    older, newer = (service.job(name, optimizer="exact") for name in ("walk 1", "walk 2"))
    page = open_page("#/jobs?q=walk")
    page.get_by_role("link", name="walk 2").focus()

    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    expect(page.get_by_text("2 jobs selected")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()

    expect(page.get_by_text("No jobs with")).to_be_visible()
    for job in (older, newer):
        assert service.http.get(f"/v1/jobs/{job['id']}").status_code == 404


def test_the_theme_is_kept_and_keys_are_told(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"

    page.locator("h1").click()
    page.keyboard.press("?")

    expect(page.get_by_role("dialog")).to_contain_text("Jobs, Data, Compare, Learn")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_serious_is_found_by_axe(open_page: Open, service: Service, *, dark: bool) -> None:
    service.job("axe list", optimizer="exact")
    page = open_page(dark=dark)
    page.locator("tbody tr").first.wait_for()

    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_the_page_never_scrolls_sideways(open_page: Open, service: Service, width: int) -> None:
    service.job("a list as wide as it may be, with a long name", optimizer="exact")
    page = open_page()
    page.set_viewport_size({"width": width, "height": 800})
    page.locator("tbody tr").first.wait_for()

    assert sideways(page) == 0
