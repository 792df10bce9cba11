"""Several jobs side by side."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Service, sideways, violations

SAME = {"validation_fraction": 0.2, "seed": 1, "max_epochs": 60}


@pytest.fixture(scope="module")
def jobs(service: Service) -> list[str]:
    slow = service.job("slow", learning_rate=0.05, **SAME)
    fast = service.job("fast", learning_rate=0.3, **SAME)
    adam = service.job("adam", optimizer="adam", learning_rate=0.1, **SAME)
    return [slow["id"], fast["id"], adam["id"]]


def address(jobs: list[str], more: str = "") -> str:
    return "#/compare?" + "&".join(f"job={one}" for one in jobs) + more


def test_two_jobs_are_drawn_over_each_other_and_what_differs_is_one_table(
    open_page: Open, jobs: list[str]
) -> None:
    page = open_page(address(jobs[:2]))

    expect(page.get_by_role("heading", name="Compare 2 jobs")).to_be_visible()
    expect(page.locator("path.overlay")).to_have_count(2)
    expect(page.locator("path.floor")).to_have_count(1)
    settings = page.locator("table.compare tbody tr:not(.group ~ tr):not(.group)")
    assert settings.locator("th").all_inner_texts() == ["learning_rate"]
    expect(page.get_by_role("row", name="training loss")).to_contain_text("best")
    expect(page.get_by_role("row", name="weight: weight")).to_be_visible()


def test_pointing_at_a_column_lifts_its_line(open_page: Open, jobs: list[str]) -> None:
    page = open_page(address(jobs))
    expect(page.locator("path.overlay")).to_have_count(3)

    page.get_by_role("link", name="fast").hover()

    expect(page.locator("path.overlay.strong")).to_have_count(1)
    expect(page.locator("path.overlay.slot2.strong")).to_have_count(1)
    expect(page.locator("path.overlay.weak")).to_have_count(2)
    page.mouse.move(0, 0)
    page.get_by_role("link", name="slow").focus()
    expect(page.locator("path.overlay.slot1.strong")).to_have_count(1)


def test_the_address_is_the_state_of_the_view(open_page: Open, jobs: list[str]) -> None:
    page = open_page(address(jobs[:2]))
    page.locator("label", has_text="Above minimum").click()
    page.locator("label", has_text="Last half").click()
    page.wait_for_url("**y=above*part=0.5*")

    again = open_page(page.url.split("/", 3)[3])

    expect(again.get_by_label("Above minimum")).to_be_checked()
    expect(again.get_by_label("Last half")).to_be_checked()
    expect(again.locator("path.floor")).to_have_count(0)


def test_a_job_is_added_and_taken_away(open_page: Open, jobs: list[str]) -> None:
    page = open_page(address(jobs[:2]))

    page.get_by_label("Add a job").select_option(jobs[2])
    expect(page.locator("path.overlay")).to_have_count(3)
    expect(page.get_by_role("row", name="optimizer")).to_contain_text("adam")

    page.get_by_role("button", name="Remove slow").click()
    expect(page.locator("path.overlay")).to_have_count(2)
    assert jobs[0] not in page.url


def test_values_are_read_by_keyboard(open_page: Open, jobs: list[str]) -> None:
    page = open_page(address(jobs[:2]))
    expect(page.locator("path.overlay")).to_have_count(2)

    page.get_by_role("group", name="Loss of 2 jobs").press("ArrowRight")

    expect(page.locator(".readout")).to_contain_text("slow")


@pytest.mark.parametrize("dark", [False, True])
def test_the_comparison_is_accessible(open_page: Open, jobs: list[str], *, dark: bool) -> None:
    page = open_page(address(jobs), dark=dark)
    expect(page.locator("path.overlay")).to_have_count(3)

    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_the_comparison_does_not_scroll_sideways(
    open_page: Open, jobs: list[str], width: int
) -> None:
    page = open_page(address(jobs))
    expect(page.locator("path.overlay")).to_have_count(3)

    page.set_viewport_size({"width": width, "height": 900})

    assert sideways(page) <= 0
