"""Data: list, profile, first rows, deletion. Models: weights, a row to try, files to take away."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Service, sideways, violations

CAR = {"weight": 2800.0, "horsepower": 95.0, "acceleration": 15.1, "model_year": 78.0}


@pytest.fixture(scope="module")
def model(service: Service) -> str:
    return str(service.job("solved", optimizer="exact")["model_id"])


def test_data_has_a_profile_first_rows_and_its_jobs(
    open_page: Open, service: Service, model: str
) -> None:
    page = open_page(f"#/data/{service.dataset}")

    expect(page.get_by_role("heading", name="cars.csv")).to_be_visible()
    expect(page.get_by_role("row", name="origin category 0 3")).to_be_visible()
    expect(page.get_by_role("group", name="First rows").get_by_role("row")).to_have_count(51)
    expect(page.get_by_role("link", name="solved").first).to_be_visible()


def test_data_is_deleted_after_a_question(open_page: Open, service: Service) -> None:
    content = "a,y\n1,2\n2,3\n"
    made = service.http.post(
        "/v1/datasets?name=passing.csv", content=content, headers={"content-type": "text/csv"}
    ).json()
    page = open_page(f"#/data/{made['id']}")

    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete passing.csv").click()

    page.wait_for_url("**#/data")
    expect(page.get_by_text("passing.csv was deleted.")).to_be_visible()
    assert service.http.get(f"/v1/datasets/{made['id']}").status_code == 404


def test_data_is_found_by_its_name(open_page: Open, service: Service) -> None:
    page = open_page("#/data")
    expect(page.get_by_role("link", name="cars.csv").first).to_be_visible()

    page.get_by_label("Search by name").fill("no such name")

    expect(page.get_by_text("No data with “no such name” in its name.")).to_be_visible()


def test_a_model_answers_while_one_types(open_page: Open, service: Service, model: str) -> None:
    page = open_page(f"#/models/{model}")
    answer = page.locator(".answer")
    expect(answer).to_contain_text("95 % of such rows between")

    for name, value in CAR.items():
        page.get_by_label(name, exact=True).fill(str(value))
    page.get_by_label("origin").select_option("japan")

    asked = {"rows": [{**CAR, "origin": "japan"}]}
    told = service.http.post(f"/v1/models/{model}/predict", json=asked).json()["y"][0][0]
    expect(answer).to_contain_text(f"{told:#.4g} mpg")
    page.get_by_label("weight", exact=True).fill("9000")
    expect(page.get_by_text("9000 is above the largest weight")).to_be_visible()


def test_weights_and_residuals_of_a_model_are_shown(open_page: Open, model: str) -> None:
    page = open_page(f"#/models/{model}")

    expect(page.get_by_role("columnheader", name="std. error")).to_be_visible()
    expect(page.locator("svg.interval")).to_have_count(6)
    expect(page.get_by_role("img", name="Residuals against predicted values")).to_be_visible()
    expect(page.get_by_text("This one bends")).to_be_visible()


def test_the_onnx_file_that_the_page_offers_predicts_what_the_model_does(
    open_page: Open, service: Service, model: str, tmp_path: Path
) -> None:
    page = open_page(f"#/models/{model}")

    with page.expect_download() as found:
        page.get_by_role("link", name="ONNX").click()
    found.value.save_as(tmp_path / "model.onnx")

    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    feed: dict[str, Any] = {name: np.array([[value]]) for name, value in CAR.items()}
    feed["origin"] = np.array([["japan"]], dtype=object)
    (predicted,) = session.run(None, feed)
    asked = {"rows": [{**CAR, "origin": "japan"}]}
    told = service.http.post(f"/v1/models/{model}/predict", json=asked).json()["y"]
    np.testing.assert_allclose(predicted, told, rtol=1e-12)


@pytest.mark.parametrize("dark", [False, True])
def test_models_and_data_are_accessible(
    open_page: Open, service: Service, model: str, *, dark: bool
) -> None:
    page = open_page(f"#/models/{model}", dark=dark)
    expect(page.get_by_role("img", name="Residuals against predicted values")).to_be_visible()
    expect(page.locator(".answer b")).to_be_visible()
    assert violations(page) == []

    page = open_page(f"#/data/{service.dataset}", dark=dark)
    expect(page.get_by_role("group", name="First rows")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_models_and_data_do_not_scroll_sideways(
    open_page: Open, service: Service, model: str, width: int
) -> None:
    for address in (f"#/models/{model}", f"#/data/{service.dataset}", "#/data"):
        page = open_page(address)
        expect(page.locator("table").first).to_be_visible()

        page.set_viewport_size({"width": width, "height": 900})

        assert sideways(page) <= 0, address
