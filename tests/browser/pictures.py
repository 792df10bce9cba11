"""The pictures in docs/pictures: `python -m tests.browser.pictures` takes them of a real stack.

Light, dark and phone: what the browser tests open, as a person sees it.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.cars import cars
from tests.browser.conftest import DESKTOP, NAMES, PHONE, Service
from tests.browser.test_new_job import drop
from tests.e2e.conftest import start_stack, stop_stack
from tests.house.sources import ROOT

PICTURES = ROOT / "docs" / "pictures"
EVAL = {"validation_fraction": 0.2, "seed": 1}
LIVE = {**EVAL, "batch_size": 16, "learning_rate": 0.02, "max_epochs": 1_000_000, "tol": 0}
Ready = Callable[[Page], object]


def main() -> None:
    """Start a stack, train what is shown, take every picture."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        process, url = start_stack(Path(folder), "--workers", "2")
        try:
            with httpx2.Client(base_url=url, timeout=60) as http, sync_playwright() as playwright:
                executable = next(filter(None, map(shutil.which, NAMES)), None)
                browser = playwright.chromium.launch(
                    executable_path=executable, args=["--no-sandbox"]
                )
                take_all(browser, url, with_cars(http))
                browser.close()
        finally:
            stop_stack(process)


def with_cars(http: httpx2.Client) -> Service:
    made = http.post(
        "/v1/datasets?name=cars.csv", content=cars(), headers={"content-type": "text/csv"}
    )
    return Service(http, made.json()["id"])


def take_all(browser: Browser, url: str, service: Service) -> None:
    def take(name: str, address: str, ready: Ready, **how: bool) -> None:
        with_picture(browser, f"{url}/{address}", name, ready, **how)

    jobs = trained(service)
    done, diverged = jobs["cars, baseline"], jobs["cars, rate 0.5"]
    lesson = f"#/learn?data={service.dataset}&target=mpg&x=weight&x=horsepower"
    compared = "&".join(f"job={one['id']}" for one in list(jobs.values())[:3])
    take("new", "#/new", uploaded)
    take("new-phone", "#/new", uploaded, phone=True)
    take("lesson", f"{lesson}&rate=0.5&step=1", taught)
    take("lesson-beyond-dark", f"{lesson}&rate=0.56&step=2", taught, dark=True)
    take("lesson-phone", f"{lesson}&rate=0.5&step=1", taught, phone=True)
    take("lesson-of-a-job", f"#/learn?job={jobs['cars, full batch']['id']}", taught)
    take("compare", f"#/compare?{compared}&y=above", shown("path.overlay"))
    take("compare-dark", f"#/compare?{compared}", shown("path.overlay"), dark=True)
    take("data", f"#/data/{service.dataset}", shown(".preview"))
    take("model", f"#/models/{jobs['cars, solved']['model_id']}", shown("svg.interval"))
    take(
        "model-dark", f"#/models/{jobs['cars, solved']['model_id']}", shown(".answer b"), dark=True
    )
    take("jobs", "#/", shown("tbody tr"))
    take("jobs-dark", "#/", shown("tbody tr"), dark=True)
    take("jobs-phone", "#/", shown("tbody tr"), phone=True)
    take("job", f"#/jobs/{jobs['cars, solved slowly']['id']}", shown("svg.interval"))
    take("job-dark", f"#/jobs/{done['id']}", shown(".sentence"), dark=True)
    take("job-phone", f"#/jobs/{done['id']}", shown(".sentence"), phone=True)
    take("job-diverged", f"#/jobs/{diverged['id']}", shown(".gauge"))
    running = service.job("cars, live", wait=0, **LIVE)
    take("job-live", f"#/jobs/{running['id']}", nearly)
    take("job-live-phone", f"#/jobs/{running['id']}", nearly, phone=True)


def trained(service: Service) -> dict[str, dict[str, Any]]:
    asked: dict[str, dict[str, Any]] = {
        "cars, baseline": {**EVAL, "batch_size": 32, "learning_rate": 0.02, "max_epochs": 200},
        "cars, full batch": {**EVAL, "learning_rate": 0.1},
        "cars, adam": {**EVAL, "optimizer": "adam", "learning_rate": 0.1, "max_epochs": 400},
        "cars, rate 0.5": {**EVAL, "learning_rate": 0.5},
        "cars, solved": {"optimizer": "exact"},
        "cars, solved slowly": {"learning_rate": 0.3, "max_epochs": 2000},
    }
    return {name: service.job(name, **settings) for name, settings in asked.items()}


def with_picture(
    browser: Browser,
    address: str,
    name: str,
    ready: Ready,
    *,
    dark: bool = False,
    phone: bool = False,
) -> None:
    context = browser.new_context(
        viewport=PHONE if phone else DESKTOP,
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        timezone_id="UTC",
        is_mobile=phone,
        has_touch=phone,
    )
    page = context.new_page()
    page.goto(address)
    ready(page)
    if page.locator(".badge.running").count() == 0:  # a stream is never idle
        page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")
    context.close()


def shown(selector: str) -> Ready:
    return lambda page: page.locator(selector).first.wait_for()


def nearly(page: Page) -> None:
    page.locator(".gauge").wait_for()
    expect(page.locator(".sentence")).to_contain_text("Almost there")


def taught(page: Page) -> None:
    page.get_by_text("by autograd").wait_for()
    expect(page.locator(".gradient")).not_to_contain_text("…")


def uploaded(page: Page) -> None:
    page.get_by_role("heading", level=1).wait_for()
    drop(page, "cars.csv", cars())
    page.get_by_label("Predict").select_option("mpg")
    page.locator(".planned", has_text="Stable below rate").wait_for()
    expect(page.locator(".busy")).to_have_count(0)


if __name__ == "__main__":
    main()
