"""A new job: a file dropped anywhere, its profile, the plan, the start."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cars import cars
from tests.browser.conftest import Open, Service, sideways, violations

DROP = """([text, name]) => {
  const dataTransfer = new DataTransfer()
  dataTransfer.items.add(new File([text], name))
  const target = document.querySelector('h1')
  for (const kind of ['dragenter', 'dragover', 'drop'])
    target.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }))
}"""
REFUSED = "status of 422"  # Chromium writes every refusal into its console


def drop(page: Page, name: str, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_be_visible()  # the page has come
    page.evaluate(DROP, [text, name])


@contextmanager
def slow_uploads(page: Page, bytes_per_second: int) -> Iterator[None]:
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1}
    session.send(
        "Network.emulateNetworkConditions", limits | {"uploadThroughput": bytes_per_second}
    )
    yield
    session.send("Network.emulateNetworkConditions", limits | {"uploadThroughput": -1})


def plan(page: Page) -> None:
    expect(page.locator(".planned")).to_be_visible()
    expect(page.locator(".busy")).to_have_count(0)


def test_a_file_dropped_anywhere_is_profiled_planned_and_trained_in_two_clicks(
    open_page: Open, service: Service
) -> None:
    page = open_page("#/learn")
    expect(page.get_by_role("heading", level=1)).to_be_visible()

    drop(page, "dropped.csv", cars())

    expect(page.get_by_role("row", name="origin category 0 3")).to_contain_text("one-hot: 2")
    expect(page.get_by_role("row", name="acceleration")).to_contain_text("target, guessed")
    page.get_by_role("row", name="mpg number").get_by_role("radio").check()
    plan(page)
    expect(page.locator(".planned")).to_contain_text("Stable below rate")
    expect(page.get_by_text("condition number")).to_contain_text("rank 7 of 7")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**#/jobs/job_*")
    job = service.read("/v1/jobs/" + page.url.split("/")[-1] + "?wait=20")
    assert (job["state"], job["spec"]["target"]) == ("succeeded", "mpg")
    assert "model_year" in job["spec"]["features"]


def test_the_target_is_a_guess_that_can_be_changed(open_page: Open) -> None:
    page = open_page("#/new")
    drop(page, "three.csv", "a,b,target\n1,2,3\n2,5,4\n3,1,9\n4,4,4\n")
    row = page.get_by_role("row", name="target number").or_(
        page.get_by_role("row", name="target whole number")
    )
    expect(row).to_contain_text("target, guessed")

    page.get_by_label("Predict").select_option("b")

    expect(page.get_by_role("row", name="b whole number").get_by_role("radio")).to_be_checked()
    plan(page)


def test_an_upload_is_cancelled(open_page: Open, service: Service) -> None:
    page = open_page("#/new")
    expect(page.get_by_text("Drop a file here")).to_be_visible()
    with slow_uploads(page, 100_000):
        drop(page, "large.csv", "a,b\n" + "1.25,2.5\n" * 400_000)
        expect(page.get_by_role("progressbar")).to_be_visible()

        page.get_by_role("button", name="Cancel").click()

        expect(page.get_by_text("Cancelled; nothing was stored.")).to_be_visible()
    listed = service.read("/v1/datasets?q=large.csv")
    assert listed["data"] == []


def test_a_file_that_cannot_be_read_is_explained_and_read_again(open_page: Open) -> None:
    page = open_page("#/new", forgiven=REFUSED)
    rows = "".join(f"{i},{i * 2}\n" for i in range(20))
    drop(page, "holes.csv", f"a,b\n{rows}7,unknown\n")
    expect(page.get_by_text("column 'b' holds numbers")).to_be_visible()

    page.get_by_label("null_values").fill("unknown")
    page.get_by_role("button", name="Read it again").click()

    expect(page.get_by_role("row", name="b whole number 1 20")).to_be_visible()
    expect(page.get_by_label("Rows with a missing cell")).to_have_value("drop")
    drop(page, "book.xlsx", "")
    expect(page.get_by_text("looks like a spreadsheet")).to_be_visible()


def test_columns_in_other_forms_are_read_by_one_click_and_nothing_becomes_text_unasked(
    open_page: Open, service: Service
) -> None:
    page = open_page("#/new", forgiven=REFUSED)
    rows = "".join(f'"$1,{i}50",{i} %,2024-01-{i + 10},{i}\n' for i in range(1, 9))
    drop(page, "rents.csv", f"rent,share,day,rooms\n{rows}")

    rent = page.get_by_role("group", name="Column 'rent'")
    expect(rent.get_by_label("with “,” between thousands, without “$”")).to_be_checked()
    expect(page.get_by_role("group", name="Column 'share'").get_by_label("“%”")).to_be_checked()
    day = page.get_by_role("group", name="Column 'day'")
    expect(day.get_by_label("Keep it as text")).not_to_be_checked()
    day.get_by_label("months").check()
    page.get_by_role("button", name="Read it so").click()

    expect(page.get_by_role("row", name="rent whole number")).to_be_visible()
    expect(page.get_by_role("row", name="share whole number")).to_be_visible()
    expect(page.get_by_role("row", name="day [month]")).to_be_visible()
    listed = service.read("/v1/datasets?q=rents.csv")["data"]
    assert [one["dtype"] for one in listed[0]["columns"]] == ["int64"] * 4


def test_a_bad_cell_is_no_text_until_somebody_says_so(open_page: Open) -> None:
    page = open_page("#/new", forgiven=REFUSED)
    rows = "".join(f"{'true' if i % 2 else 'false'},{i}\n" for i in range(12))
    drop(page, "flags.csv", f"smoker,dose\n{rows}unknown,7\n")
    again = page.get_by_role("button", name="Read it so")

    expect(again).to_be_disabled()
    page.get_by_label("Keep it as text").check()
    again.click()

    expect(page.get_by_role("row", name="smoker category")).to_be_visible()


def test_a_first_row_of_data_is_made_one_by_a_click(open_page: Open) -> None:
    page = open_page("#/new")
    drop(page, "headless.csv", "S,0.5,7\n" + "".join(f"M,0.{i},{i}\n" for i in range(1, 9)))

    page.get_by_role("button", name="The first row is data").click()

    expect(page.get_by_role("row", name="column_3 whole number 0 8")).to_be_visible()


def test_what_r_writes_trains_without_its_row_names(open_page: Open, service: Service) -> None:
    page = open_page("#/new")
    rows = "".join(f'"car {i}",{20 + i % 7},{i % 3 + 4},{2.5 + i / 9}\n' for i in range(12))
    drop(page, "mtcars.csv", f'"","mpg","cyl","wt"\n{rows}')

    expect(page.get_by_role("row", name="unnamed_1")).to_contain_text("does not name it")
    plan(page)
    page.get_by_label("Predict").select_option("mpg")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**#/jobs/job_*")
    job = service.read("/v1/jobs/" + page.url.split("/")[-1] + "?wait=20")
    assert (job["state"], job["spec"]["features"]) == ("succeeded", ["cyl", "wt"])


def test_a_wrong_field_is_told_under_it_and_takes_the_focus(
    open_page: Open, service: Service
) -> None:
    page = open_page(f"#/new?data={service.dataset}", forgiven=REFUSED)
    plan(page)
    page.get_by_text("All settings").click()
    rate = page.get_by_label("learning_rate")

    rate.fill("-3")

    expect(rate.locator("..").locator(".wrong")).to_contain_text("a number above 0")
    page.get_by_label("Name", exact=True).focus()
    page.get_by_role("button", name="Start training").click()
    expect(rate).to_be_focused()
    rate.fill("0.1")
    expect(page.locator(".wrong")).to_have_count(0)
    plan(page)


def test_the_notebook_is_the_contracts_preset_and_a_rate_too_large_has_a_remedy(
    open_page: Open, service: Service
) -> None:
    page = open_page(f"#/new?data={service.dataset}")
    plan(page)

    page.get_by_label("the notebook").check()

    expect(page.locator(".planned")).to_contain_text("Diverges")
    page.get_by_role("button", name="Use “auto”").click()
    expect(page.locator(".planned")).not_to_contain_text("Diverges")
    expect(page.get_by_label("own settings")).to_be_checked()


def test_a_job_is_run_again_with_changes(open_page: Open, service: Service) -> None:
    job = service.job("before", l2=0.5, max_epochs=77, seed=4)

    page = open_page(f"#/new?from={job['id']}&learning_rate=0.05")

    plan(page)
    expect(page.get_by_label("max_epochs")).to_have_value("77")
    expect(page.get_by_label("learning_rate")).to_have_value("0.05")
    expect(page.get_by_label("Name", exact=True)).to_have_value("before")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**#/jobs/job_*")
    again = service.read("/v1/jobs/" + page.url.split("/")[-1])["spec"]["hyperparameters"]
    assert (again["l2"], again["max_epochs"], again["learning_rate"]) == (0.5, 77, 0.05)


def test_the_job_is_copied_as_curl_python_and_shell(open_page: Open, service: Service) -> None:
    page = open_page(f"#/new?data={service.dataset}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    plan(page)
    copied = {}

    for language in ("curl", "Python", "Shell"):
        page.get_by_role("button", name=language, exact=True).click()
        expect(page.get_by_text(f"{language} copied.")).to_be_visible()
        copied[language] = page.evaluate("navigator.clipboard.readText()")

    assert "/v1/jobs" in copied["curl"]
    assert service.dataset in copied["Python"]
    assert copied["Shell"].startswith(f"descend train {service.dataset}")


def test_the_whole_path_goes_by_keyboard(open_page: Open, service: Service) -> None:
    page = open_page("#/data")
    expect(page.get_by_role("link", name="cars.csv").first).to_be_visible()

    page.get_by_role("link", name="cars.csv").first.press("Enter")
    page.get_by_role("link", name="Train on this").press("Enter")
    plan(page)
    page.get_by_role("button", name="Start training").press("Enter")

    page.wait_for_url("**#/jobs/job_*")


@pytest.mark.parametrize("dark", [False, True])
def test_a_new_job_is_accessible(open_page: Open, service: Service, *, dark: bool) -> None:
    page = open_page(f"#/new?data={service.dataset}", dark=dark)
    plan(page)
    page.get_by_text("All settings").click()

    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_a_new_job_does_not_scroll_sideways(open_page: Open, service: Service, width: int) -> None:
    page = open_page(f"#/new?data={service.dataset}")
    plan(page)

    page.set_viewport_size({"width": width, "height": 900})

    assert sideways(page) <= 0
