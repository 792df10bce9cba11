"""The lesson: exact at every rate, and the server's numbers beside the page's."""

import json
import re
import statistics

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Service, sideways, violations

EXACT = {"learning_rate": 0.3, "max_epochs": 200, "tol": 0, "seed": 3}
SLIDER = "Learning rate"
# Moves the slider through its whole way; of each move the milliseconds until the curve is redrawn.
MOVES = """async () => {
  const slider = document.querySelector('input.slider')
  const curve = () => document.querySelector('.curve.s1').getAttribute('d')
  const took = []
  for (let i = 1; i <= 40; i++) {
    const before = curve(), start = performance.now()
    slider.value = String(0.05 + i * 0.028)
    slider.dispatchEvent(new Event('input', { bubbles: true }))
    while (curve() === before) await new Promise((next) => setTimeout(next))
    took.push(performance.now() - start)
  }
  return took
}"""
# Where the curve begins and ends, in pixels from above: less is a larger loss.
ENDS = """() => {
  const points = document.querySelector('.curve.s1').getAttribute('d').slice(1).split('L')
  return [points[0], points[points.length - 1]].map((one) => Number(one.split(' ')[1]))
}"""


def lesson(open_page: Open, query: str = "", **how: bool) -> Page:
    page = open_page(f"#/learn{query}", **how)
    expect(page.get_by_text("by autograd")).to_be_visible()
    return page


def test_the_curve_turns_where_the_slider_passes_the_bound(open_page: Open) -> None:
    page = lesson(open_page)
    first, last = page.evaluate(ENDS)
    assert last > first

    page.get_by_role("slider", name=SLIDER).press("End")

    expect(page.get_by_text("Diverges.")).to_be_visible()
    expect(page.get_by_text("limit 0.180")).to_be_visible()
    first, last = page.evaluate(ENDS)
    assert last < first
    page.get_by_role("slider", name=SLIDER).press("PageDown")
    page.get_by_label("Exact learning rate").fill("0.01")
    page.get_by_label("Exact learning rate").press("Enter")
    expect(page.get_by_text("Converges.")).to_be_visible()
    page.wait_for_url("**rate=0.01*")


def test_the_curve_is_redrawn_within_30_milliseconds(open_page: Open) -> None:
    page = lesson(open_page)

    took = page.evaluate(MOVES)

    assert statistics.median(took) < 30, took


@pytest.mark.parametrize(
    "settings", [{}, {"momentum": 0.9}, {"l2": 0.2}, {"standardize": False, "learning_rate": 1e-8}]
)
def test_at_the_jobs_own_rate_the_curve_is_its_recorded_history(
    open_page: Open, service: Service, settings: dict[str, float]
) -> None:
    job = service.job("taught", **EXACT | settings)

    page = lesson(open_page, f"?job={job['id']}")

    agreement = page.locator("[data-disagreement]")
    expect(agreement).to_contain_text("over 200 epochs")
    assert float(agreement.get_attribute("data-disagreement") or "inf") <= 1e-9
    page.get_by_role("slider", name=SLIDER).press("PageDown")
    expect(agreement).to_contain_text("own rate, ")


def test_autograds_row_is_what_the_server_answers(open_page: Open) -> None:
    page = lesson(open_page)

    with page.expect_response(lambda answer: answer.url.endswith("/v1/gradients")) as found:
        page.get_by_role("button", name="One step on").click()

    told = found.value.json()
    assert json.loads(found.value.request.post_data or "")["hyperparameters"]["init"]["coef"]
    cells = page.locator(".gradient td[data-label^=autograd] span")
    expect(cells.first).to_have_attribute("title", re.compile(r"\d"))
    shown = [float(one.get_attribute("title") or "nan") for one in cells.all()]
    assert shown == told["autograd"][0]
    closed = page.locator(".gradient td[data-label^='closed form'] span")
    near = [float(one.get_attribute("title") or "nan") for one in closed.all()]
    assert near == pytest.approx(shown, rel=1e-9)


def test_the_loop_in_pytorch_holds_the_values_of_the_step(open_page: Open) -> None:
    page = lesson(open_page, "?rate=0.01")

    code = page.locator("pre")

    expect(code).to_contain_text("torch.optim.SGD(model.parameters(), lr=0.01)")
    expect(code).to_contain_text("weight.grad = [-18.6667], bias.grad = -8.0")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adam", "learning_rate": 0.1}, "This job used Adam."),
        ({"batch_size": 32, "learning_rate": 0.02}, "This job used mini-batches of 32 rows"),
        ({"loss": "huber"}, "This job used huber loss"),
    ],
)
def test_what_has_no_exact_curve_is_told_in_words(
    open_page: Open, service: Service, settings: dict[str, object], words: str
) -> None:
    job = service.job("other", max_epochs=50, **settings)

    page = open_page(f"#/learn?job={job['id']}")

    expect(page.get_by_text("The exact curve exists for squared loss")).to_contain_text(words)


def test_the_lesson_is_trained_for_real(open_page: Open, service: Service) -> None:
    page = lesson(open_page, f"?data={service.dataset}&target=mpg&x=weight&rate=0.3")

    page.get_by_role("button", name="Train this for real").click()

    page.wait_for_url("**#/jobs/job_*")
    job = service.read("/v1/jobs/" + page.url.split("/")[-1])
    assert job["spec"]["hyperparameters"]["learning_rate"] == 0.3
    assert job["spec"]["features"] == ["weight"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_the_lesson_is_accessible(
    open_page: Open, service: Service, *, dark: bool, phone: bool
) -> None:
    page = lesson(open_page, f"?data={service.dataset}&target=mpg", dark=dark, phone=phone)
    page.get_by_role("slider", name=SLIDER).press("End")
    expect(page.get_by_text("Diverges.")).to_be_visible()

    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_the_lesson_does_not_scroll_sideways(open_page: Open, service: Service, width: int) -> None:
    names = "&".join(f"x={name}" for name in ("weight", "horsepower", "model_year", "origin"))
    page = lesson(open_page, f"?data={service.dataset}&target=mpg&{names}")

    page.set_viewport_size({"width": width, "height": 900})

    expect(page.get_by_text("Each direction by itself")).to_be_visible()
    page.wait_for_function("() => document.querySelectorAll('svg').length > 4")
    assert sideways(page) <= 0
