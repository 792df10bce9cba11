"""What stood in the way of a newcomer: each is tried as a person meets it."""

import json
import math
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Open, Service
from tests.browser.test_new_job import plan

ENDLESS = {"batch_size": 8, "learning_rate": 0.005, "max_epochs": 1_000_000, "tol": 0}
LINE = {"X": [[1], [2], [3]], "y": [2, 4, 6]}


def lined(service: Service, name: str | None, **hyperparameters: object) -> dict[str, Any]:
    spec = {"dataset": LINE, "name": name, "hyperparameters": hyperparameters}
    answer = service.http.post("/v1/jobs?wait=20", json=spec)
    answer.raise_for_status()
    job: dict[str, Any] = answer.json()
    return job


def inside(page: Page, selector: str) -> bool:
    """Whether an element lies in the window as a whole."""
    inside: bool = page.locator(selector).first.evaluate(
        "one => { const { left, right, top, bottom } = one.getBoundingClientRect();"
        " return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight }"
    )
    return inside


def test_a_minimum_of_nothing_is_nowhere_a_base_of_percentages(
    open_page: Open, service: Service
) -> None:
    short = lined(service, "nothing, short", max_epochs=20, tol=0, learning_rate=0.01)
    solved = lined(service, "nothing, solved", optimizer="exact")

    page = open_page(f"#/jobs/{short['id']}")
    expect(page.locator(".note.warn")).to_contain_text(re.compile("of the first gap is left"))
    listed = open_page("#/jobs?q=nothing")
    expect(listed.locator(f"tr[data-id={short['id']}] .c-above")).to_contain_text("left")
    expect(listed.locator(f"tr[data-id={solved['id']}] .c-above")).to_have_text("to rounding")
    compared = open_page(f"#/compare?job={short['id']}&job={solved['id']}")
    row = compared.get_by_role("row", name="above minimum")
    expect(row).to_contain_text("to rounding")
    expect(compared.get_by_role("columnheader", name="nothing, solved")).to_be_visible()
    for shown in (page, listed, compared):
        text = shown.locator("main").inner_text()
        assert not re.search(r"10[⁰-⁹]+\s%|e\+\d+ %|above the lowest", text)


def test_a_model_is_reached_from_its_job(open_page: Open, service: Service) -> None:
    job = service.job("to its model", optimizer="exact")
    page = open_page(f"#/jobs/{job['id']}")

    page.get_by_role("link", name="Try the model").click()

    expect(page.get_by_role("heading", name="Try it")).to_be_visible()


def test_columns_that_repeat_each_other_are_told_and_solved(
    open_page: Open, service: Service
) -> None:
    rows = [[float(i % 7), i % 7 + 1e-5 * (i % 5)] for i in range(60)]
    y = [2 * a + (i * 7 % 11) / 10 for i, (a, _) in enumerate(rows)]
    spec = {"dataset": {"X": rows, "y": y}, "hyperparameters": {"max_epochs": 60, "tol": 0}}
    job = service.http.post("/v1/jobs?wait=20", json=spec).json()
    assert job["metrics"]["condition_number"] > 1000

    page = open_page(f"#/jobs/{job['id']}")
    note = page.locator(".note.warn")
    expect(note).to_contain_text("but the columns nearly repeat each other")
    note.get_by_role("button", name="Solve exactly").click()

    expect(page.locator(".sentence")).to_contain_text("Solved exactly.")


def test_a_plan_that_stops_too_early_says_so_and_mends_it(
    open_page: Open, service: Service
) -> None:
    job = service.job("too early", max_epochs=10)
    page = open_page(f"#/new?from={job['id']}")
    plan(page)
    expect(page.locator(".planned")).to_contain_text("Stops before the minimum is near")

    page.get_by_role("button", name="Set max_epochs to").click()

    expect(page.locator(".planned")).to_contain_text("Converges")
    assert int(page.get_by_label("max_epochs").input_value()) > 10


def test_a_plan_that_waits_for_a_worker_says_so(open_page: Open, service: Service) -> None:
    page = open_page()
    held: list[Route] = []

    def queued_once(route: Route) -> None:
        held.append(route)
        if len(held) == 1:
            route.fulfill(status=202, body=json.dumps({"state": "queued"}))

    page.route("**/v1/plans*", queued_once)
    page.evaluate("id => location.hash = `#/new?data=${id}`", service.dataset)

    expect(page.get_by_text("The worker is busy; the plan comes when it is free.")).to_be_visible()
    held[-1].continue_()
    plan(page)
    assert len(held) == 2


def test_a_limit_that_the_plan_told_is_known_to_the_job_that_it_started(
    open_page: Open, service: Service
) -> None:
    page = open_page(f"#/new?data={service.dataset}")
    plan(page)
    held: list[Route] = []
    page.route("**/v1/plans*", lambda route: held.append(route))  # noqa: PLW0108

    page.get_by_role("button", name="Start training").click()

    expect(page.locator(".gauge")).to_be_visible()
    expect(page.locator(".badge")).to_have_text("Succeeded")
    assert held, "the job's page asked for no plan"


def test_equal_files_are_offered_once(open_page: Open, service: Service) -> None:
    for _ in range(2):
        service.http.post(
            "/v1/datasets?name=twice.csv",
            content="a,b\n1,2\n3,5\n",
            headers={"content-type": "text/csv"},
        ).raise_for_status()

    page = open_page("#/new")

    expect(page.get_by_role("listitem").filter(has_text="twice.csv")).to_have_count(1)
    expect(page.get_by_role("listitem").filter(has_text="twice.csv")).to_contain_text(
        "2 rows, 2 columns, just now"
    )


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_what_is_done_with_selected_jobs_stays_in_sight(
    open_page: Open, service: Service, *, phone: bool
) -> None:
    for number in range(30):
        service.job(f"in sight {number}", optimizer="exact")
    page = open_page("#/jobs?q=in sight", phone=phone)

    page.get_by_role("checkbox").first.check()
    page.get_by_role("checkbox").nth(1).check()

    expect(page.get_by_text("2 jobs selected")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollHeight > innerHeight + 200")
    assert inside(page, ".chosen button")


def test_on_a_phone_columns_are_chosen_and_jobs_have_names(
    open_page: Open, service: Service
) -> None:
    job = lined(service, None, max_epochs=30, tol=0, learning_rate=0.01)
    page = open_page(f"#/new?data={service.dataset}", phone=True)
    page.locator(".profile input[type=checkbox]").first.wait_for()

    overflow = page.locator(".profile").evaluate("one => one.scrollWidth - one.clientWidth")

    assert overflow <= 0
    listed = open_page("#/", phone=True)
    row = listed.locator(f"tr[data-id={job['id']}]")
    expect(row.get_by_role("link")).to_have_accessible_name("y · inline")
    above, when = (row.locator(part).bounding_box() for part in (".c-above", ".c-when"))
    assert above is not None
    assert when is not None
    assert above["x"] + above["width"] <= when["x"]


def test_with_a_running_job_the_list_fits_its_box(open_page: Open, service: Service) -> None:
    service.job("a name that is as long as names of jobs often are", wait=0, **ENDLESS)
    page = open_page()
    page.locator("i.done").first.wait_for()

    overflow = page.locator(".jobs-box").evaluate("one => one.scrollWidth - one.clientWidth")

    assert overflow <= 0


def test_first_rows_are_counted_from_one_and_their_number_is_true(
    open_page: Open, service: Service
) -> None:
    page = open_page(f"#/data/{service.dataset}")

    expect(page.locator(".preview tbody th").first).to_have_text("1")
    expect(page.get_by_text("50 of 392 rows")).to_be_visible()
    assert page.locator(".preview tbody tr").count() == 50
    heads = page.locator(".preview thead th.number").all_inner_texts()
    assert heads == ["mpg", "weight", "horsepower", "acceleration", "model_year"]


def test_the_button_of_a_divergence_takes_the_rate_of_the_servers_words(
    open_page: Open, service: Service
) -> None:
    job = service.job("same rate", learning_rate=0.6)
    told = re.search(r"Set learning_rate to ([\d.]+\d)", job["error"]["detail"]["remedies"][0])
    assert told is not None

    page = open_page(f"#/jobs/{job['id']}")

    expect(
        page.get_by_role("button", name=f"Retry with rate {told[1]}", exact=True)
    ).to_be_visible()
    expect(page.get_by_text("Train loss after the last step")).to_be_visible()
    expect(page.locator(".tiles")).not_to_contain_text("per s")


def test_an_exact_solution_shows_facts_in_place_of_a_curve(
    open_page: Open, service: Service
) -> None:
    job = service.job("no curve", optimizer="exact")

    page = open_page(f"#/jobs/{job['id']}")

    expect(page.get_by_role("heading", name="Solution")).to_be_visible()
    expect(page.locator(".chart")).to_have_count(0)


def test_the_lessons_code_runs_and_holds_what_it_says(open_page: Open) -> None:
    page = open_page("#/learn?rate=0.05&step=1")
    code = page.locator("pre", has_text="import torch")
    expect(code).to_contain_text("X = torch.tensor([[1.0], [2.0], [3.0]]")
    text = code.inner_text()
    names: dict[str, Any] = {}

    exec(text, names)  # noqa: S102 - it is this page's own

    said = re.search(r"mse_loss\(model\(X\), y\)\s+# ([\d.e-]+)", text)
    assert said is not None
    assert math.isclose(names["loss"].item(), float(said[1]), rel_tol=1e-4)
    after = re.search(r"optimizer\.step\(\)\s+# weight = \[([\d.e-]+)", text)
    assert after is not None
    assert math.isclose(names["model"].weight.item(), float(after[1]), rel_tol=1e-4)


def test_compared_jobs_without_a_named_target_predict_y(open_page: Open, service: Service) -> None:
    jobs = [lined(service, name, max_epochs=30) for name in ("first y", "second y")]
    page = open_page("#/compare?" + "&".join(f"job={one['id']}" for one in jobs))

    page.get_by_role("button", name="Show all").click()

    expect(page.get_by_role("row", name="target y y", exact=True)).to_be_visible()
