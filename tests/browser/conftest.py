"""A real stack and a real Chromium; after every test the page must have been silent."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as NotSeen

from tests.browser.cars import cars
from tests.e2e.conftest import start_stack, stop_stack
from tests.house.sources import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
AXE = ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = {"serious", "critical"}
WAIT_MILLISECONDS = 20_000
expect.set_options(timeout=WAIT_MILLISECONDS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two workers: a plan is answered while a job runs."""
    process, address = start_stack(tmp_path_factory.mktemp("stack"), "--workers", "2")
    yield address
    stop_stack(process)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(f"no browser: install Chromium, so that one of {', '.join(NAMES)} is found")
    with sync_playwright() as playwright:
        # No sandbox: in a container the browser is root, and it opens this project's page alone.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Silence:
    """What a page should not have done."""

    origin: str
    forgiven: str = "(?!)"
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self._requested(request.url))

    def _console(self, message: Any) -> None:
        if message.type not in {"error", "warning"}:  # a breach of the policy is an error here
            return
        if not re.search(self.forgiven, message.text):
            self.complaints.append(f"console: {message.text}")

    def _requested(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme in {"http", "https"} and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.complaints.append(f"foreign request: {address}")


Open = Callable[..., Page]


@pytest.fixture
def open_page(chromium: Browser, url: str) -> Iterator[Open]:
    """Open an address of the dashboard, in a window of its own; at the end it must be silent."""
    contexts: list[BrowserContext] = []
    silences: list[Silence] = []

    def open_page(
        address: str = "",
        *,
        dark: bool = False,
        phone: bool = False,
        scale: int = 1,
        at: str = url,
        forgiven: str = "(?!)",
    ) -> Page:
        silence = Silence(at, forgiven)
        silences.append(silence)
        context = chromium.new_context(
            viewport=PHONE if phone else DESKTOP,
            color_scheme="dark" if dark else "light",
            device_scale_factor=scale,
            has_touch=phone,
            is_mobile=phone,
            locale="en-GB",
            timezone_id="UTC",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        silence.watch(page)
        page.goto(f"{at}/{address}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for silence in silences for text in silence.complaints] == []


@dataclass
class Service:
    """The HTTP interface, for what a test needs before the page is opened."""

    http: httpx2.Client
    dataset: str

    def job(self, name: str, *, wait: float = 20, **hyperparameters: object) -> dict[str, Any]:
        spec = {
            "dataset": self.dataset,
            "target": "mpg",
            "name": name,
            "hyperparameters": hyperparameters,
        }
        answer = self.http.post(f"/v1/jobs?wait={wait}", json=spec)
        assert answer.status_code in {200, 202}, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def read(self, path: str) -> dict[str, Any]:
        answer = self.http.get(path)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="session")
def service(url: str) -> Iterator[Service]:
    with httpx2.Client(base_url=url, timeout=60) as http:
        answer = http.post(
            "/v1/datasets?name=cars.csv", content=cars(), headers={"content-type": "text/csv"}
        )
        assert answer.status_code == 201, answer.text
        yield Service(http, answer.json()["id"])


@pytest.fixture(autouse=True)
def free_workers(service: Service) -> Iterator[None]:
    """End what a test has left running: its successor would wait for a worker."""
    yield
    for state in ("running", "queued"):
        for job in service.read(f"/v1/jobs?state={state}&limit=100")["data"]:
            service.http.post(f"/v1/jobs/{job['id']}/cancel")
            service.read(f"/v1/jobs/{job['id']}?wait=20")


def violations(page: Page) -> list[str]:
    """Ask axe-core, injected past the policy as a debugger does it, what is serious."""
    if not AXE.exists():
        pytest.fail("axe-core is not there: run `make dashboard` first")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {json.dumps([node['target'] for node in one['nodes']][:5])}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]


def sideways(page: Page) -> int:
    """How far the page itself can be scrolled sideways, once its charts have their new widths."""
    beyond = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    with suppress(NotSeen):
        page.wait_for_function(f"{beyond} <= 0", timeout=5_000)  # a function: the page may not eval
    distance: int = page.evaluate(beyond)
    return distance
