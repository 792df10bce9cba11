"""The page of a job: live, explained, acted upon."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Service, sideways, violations
from tests.wire import wire

SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
SLOW = {"batch_size": 8, "learning_rate": 0.005, "validation_fraction": 0.2, "seed": 1, "tol": 0}
ENDLESS = {**SLOW, "max_epochs": 1_000_000}
# Some 40 epochs a second: of more than 200 between two reports the page is told 200.
UNHURRIED = {
    "dataset": {"X": [[k % 17, k % 5] for k in range(2_500)], "y": [k % 3 for k in range(2_500)]},
    "hyperparameters": {"batch_size": 1, "learning_rate": 1e-4, "max_epochs": 10_000, "tol": 0},
}


def epoch(page: Page) -> int:
    """The epoch that the tile shows."""
    text = page.locator(".tiles > div:last-child .value").inner_text()
    return int(re.sub(r"\D", "", text))


def await_epoch(page: Page, before: int) -> None:
    """Wait until the tile shows a later one."""
    page.wait_for_function(
        "before => Number(document.querySelector('.tiles > div:last-child .value')"
        ".textContent.replace(/\\D/g, '')) > before",
        arg=before,
    )


def test_a_running_job_is_seen_growing_without_a_reload(open_page: Open, service: Service) -> None:
    job = service.job("grows", wait=0, **ENDLESS)

    page = open_page(f"#/jobs/{job['id']}")
    page.get_by_text("Running", exact=True).wait_for()
    page.evaluate("window.here = true")
    expect(page.locator("table.legend tbody tr")).to_have_count(2)
    before = epoch(page)
    await_epoch(page, before + 20)

    assert page.evaluate("window.here"), "the page was loaded anew"
    assert page.title().startswith("▶")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".badge")).to_have_text("Cancelled")
    expect(page.locator(".sentence")).to_contain_text("Cancelled at epoch")
    assert service.read(f"/v1/jobs/{job['id']}")["state"] == "cancelled"


def test_points_come_once_though_the_wire_is_cut(
    open_page: Open, service: Service, url: str
) -> None:
    job = service.http.post("/v1/jobs", json=UNHURRIED).json()
    with wire(url) as laid:
        page = open_page(f"#/jobs/{job['id']}", at=laid.url, forgiven="net::ERR")
        page.get_by_text("Running", exact=True).wait_for()
        for _ in range(3):
            before = epoch(page)
            with page.expect_request(lambda request: "last-event-id" in request.headers):
                assert laid.cut() > 0
            await_epoch(page, before)
        await_epoch(page, 100)
        page.get_by_role("button", name="Show as table").click()

        epochs = page.locator(".values tbody th").all_inner_texts()
        assert epochs == [str(k) for k in range(len(epochs))]
        assert len(epochs) == 100
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".badge")).to_have_text("Cancelled")


def test_a_divergence_is_explained_and_its_retry_works(open_page: Open, service: Service) -> None:
    job = service.job("too fast", learning_rate=0.6, validation_fraction=0.2, seed=1)
    bound = job["error"]["detail"]["bound"]

    page = open_page(f"#/jobs/{job['id']}")
    note = page.locator(".note.bad")
    expect(note).to_contain_text(f"larger than {bound:.4g}, the largest stable rate")
    for column in job["error"]["detail"]["columns"][:3]:
        expect(note.locator("b", has_text=column)).to_be_visible()
    note.get_by_role("button", name="Retry with rate").click()

    expect(page.locator(".badge")).to_have_text("Succeeded")
    expect(page.locator(".sentence")).to_contain_text("Converged after")
    again = service.read("/v1/jobs?limit=1")["data"][0]
    assert page.url.endswith(again["id"])
    assert again["parent_id"] == job["id"]
    rate = again["resolved_hyperparameters"]["learning_rate"]
    assert rate < bound
    assert f"learning_rate to {rate}," in job["error"]["detail"]["remedies"][0]


def test_unscaled_columns_are_blamed_by_name(open_page: Open, service: Service) -> None:
    job = service.job("unscaled", learning_rate=0.01, standardize=False)

    page = open_page(f"#/jobs/{job['id']}")
    note = page.locator(".note.bad")
    expect(note).to_contain_text("The limit is this small because column weight is")
    note.get_by_role("button", name="Retry with standardize").click()

    expect(page.locator(".badge")).to_have_text("Succeeded")


def test_what_stopped_short_is_solved_exactly(open_page: Open, service: Service) -> None:
    job = service.job("short", learning_rate=0.001, max_epochs=100, tol=0)

    page = open_page(f"#/jobs/{job['id']}")
    expect(page.locator(".note.warn")).to_contain_text("Stopped at the limit of 100 epochs")
    page.get_by_role("button", name="Solve exactly").click()

    expect(page.locator(".sentence")).to_contain_text("Solved exactly.")
    assert service.read("/v1/jobs?limit=1")["data"][0]["parent_id"] == job["id"]


def test_the_address_is_the_view(open_page: Open, service: Service, url: str) -> None:
    job = service.job("view", validation_fraction=0.2, seed=1)
    page = open_page(f"#/jobs/{job['id']}")
    page.get_by_role("radio", name="Linear").check(force=True)
    chart = page.get_by_role("group", name="Loss of view")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 100, steps=5)
    page.mouse.up()
    expect(page.locator(".chip").first).to_contain_text("Epochs")

    chip = page.locator(".chip").first.inner_text().splitlines()[0]
    other = open_page(page.url.removeprefix(f"{url}/"))

    expect(other.locator(".chip").first).to_contain_text(chip[:-2])
    expect(other.get_by_role("radio", name="Linear")).to_be_checked()
    chart.dblclick()
    expect(page.locator(".chip", has_text="Epochs")).to_have_count(0)


def test_a_chart_is_read_by_keyboard(open_page: Open, service: Service) -> None:
    job = service.job("keys", learning_rate=0.1, max_epochs=50, tol=0)
    history = service.read(f"/v1/jobs/{job['id']}/history")
    page = open_page(f"#/jobs/{job['id']}?y=log")
    chart = page.get_by_role("group", name="Loss of keys")
    expect(page.locator("table.legend tbody tr")).to_have_count(1)
    chart.focus()

    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")

    status = page.locator(".chart [role=status]")
    expect(status).to_have_text(f"epoch 1: Train {history['train_loss'][1]:.4g}")
    expect(page.locator("table.legend thead")).to_contain_text("epoch 1")
    page.keyboard.press("Escape")
    expect(page.locator("table.legend thead")).to_contain_text("latest")


def test_weights_stand_with_their_intervals_or_the_reason(
    open_page: Open, service: Service
) -> None:
    exact = service.job("solved", optimizer="exact")
    batches = service.job("batches", **SLOW, max_epochs=20)

    page = open_page(f"#/jobs/{exact['id']}")
    rows = page.locator("table.weights tbody tr")
    expect(rows).to_have_count(7)
    expect(page.locator("table.weights thead")).to_contain_text("95 % interval")
    expect(page.locator(".plots figure")).to_have_count(3)
    expect(page.get_by_text("Standard errors: classical, errors of one variance")).to_be_visible()
    refused = open_page(f"#/jobs/{batches['id']}")

    expect(refused.get_by_text("No standard errors")).to_be_visible()
    expect(refused.locator("table.weights thead")).not_to_contain_text("interval")


def test_a_million_epochs_are_drawn_without_a_stall(open_page: Open, service: Service) -> None:
    rate = {"learning_rate": 1e-9, "standardize": False, "tol": 0}
    job = service.job("million", wait=60, **rate, max_epochs=1_000_000)
    while job["state"] not in {"succeeded", "failed"}:
        job = service.read(f"/v1/jobs/{job['id']}?wait=60")
    page = open_page("#/data")
    page.evaluate(
        "window.tasks = []; new PerformanceObserver(list =>"
        " tasks.push(...list.getEntries().map(entry => entry.duration)))"
        ".observe({type: 'longtask'})"
    )

    page.evaluate("id => location.hash = `#/jobs/${id}`", job["id"])
    expect(page.get_by_text("of 1 000 000 points, shape kept")).to_be_visible()
    expect(page.locator("table.legend tbody tr")).to_have_count(1)

    assert page.evaluate("window.tasks") == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_serious_is_found_by_axe(open_page: Open, service: Service, *, dark: bool) -> None:
    done = service.job("axe", validation_fraction=0.2, seed=1)
    diverged = service.job("axe, diverged", learning_rate=0.6)

    for job in (done, diverged):
        page = open_page(f"#/jobs/{job['id']}", dark=dark)
        page.locator("table.legend tbody tr").first.wait_for()
        if job is done:
            page.locator(".plots figure").first.wait_for()

        assert violations(page) == []


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_the_page_never_scrolls_sideways(open_page: Open, service: Service, width: int) -> None:
    job = service.job("width", validation_fraction=0.2, seed=1)
    page = open_page(f"#/jobs/{job['id']}")
    page.set_viewport_size({"width": width, "height": 800})
    page.locator(".plots figure").first.wait_for()

    assert sideways(page) == 0


def test_no_such_job_is_said(open_page: Open) -> None:
    page = open_page("#/jobs/job_" + "0" * 32, forgiven="404")

    expect(page.get_by_role("heading", name="No such job")).to_be_visible()
    page.evaluate("location.hash = '#/nowhere'")
    expect(page.get_by_role("heading", name="No such page")).to_be_visible()


def test_a_legend_tells_what_its_chart_draws(open_page: Open, service: Service) -> None:
    """Below 1e-14 of its first value a curve is drawn at that edge: the legend says no less."""
    job = service.job("to rounding", tol=0, max_epochs=400)
    history = service.read(f"/v1/jobs/{job['id']}/history")
    edge = history["gap"][0] * 1e-14
    assert min(history["gap"]) < edge

    page = open_page(f"#/jobs/{job['id']}?y=above")

    best = page.locator("table.legend tbody td").nth(1)
    expect(best).to_contain_text("< ")
    mantissa, power = re.split(r"\D10", best.inner_text().removeprefix("< "))
    shown = float(mantissa) * 10.0 ** int(power.translate(SUPERSCRIPTS))
    assert shown == pytest.approx(edge, rel=0.5)
