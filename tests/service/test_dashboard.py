"""The page at `/`: who gets it, what it may load, how large it is."""

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.pages import WEB
from service.settings import ServiceSettings

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MOST_SCRIPT_BYTES = 60_000
PAGES = {"jobs", "job", "new", "data", "compare", "model", "learn"}
KEY = "dsc_1_" + "s" * 32
INDEX = (WEB / "index.html").read_text()
ASSETS = sorted(path.name for path in (WEB / "assets").iterdir())


def test_a_browser_gets_the_page_and_a_program_the_facts(client: TestClient) -> None:
    page = client.get("/", headers=BROWSER)
    facts = client.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == INDEX
    assert facts.json()["name"] == "descend"


def test_the_page_may_run_and_load_its_own_files_only(client: TestClient) -> None:
    headers = client.get("/", headers=BROWSER).headers

    policy = dict(one.split(" ", 1) for one in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert {policy.pop(name) for name in ("base-uri", "form-action", "frame-ancestors")} == {
        "'none'"
    }
    assert set(policy.values()) == {"'self'"}
    assert headers["x-content-type-options"] == "nosniff"


def test_the_page_is_asked_for_anew_and_its_files_are_kept(client: TestClient) -> None:
    page = client.get("/", headers=BROWSER).headers
    asset = client.get(f"/assets/{ASSETS[0]}").headers

    assert page["cache-control"] == "no-cache"
    assert "immutable" in asset["cache-control"]
    again = client.get("/", headers={**BROWSER, "if-none-match": page["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "script-src 'self'" in again.headers["content-security-policy"]


@pytest.mark.parametrize("name", ASSETS)
def test_every_file_is_sent_as_it_was_built(client: TestClient, name: str) -> None:
    plain = client.get(f"/assets/{name}", headers={"accept-encoding": "identity"})
    packed = client.get(f"/assets/{name}", headers={"accept-encoding": "gzip"})

    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    assert plain.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content == (WEB / "assets" / name).read_bytes()


def test_only_built_files_are_sent(client: TestClient) -> None:
    assert client.get("/assets/..%2Findex.html").status_code == 404
    assert client.get("/assets/none.js").json()["code"] == "not_found"


def test_with_a_key_the_page_is_still_there_to_ask_for_it(
    settings: ServiceSettings, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    keyed = TestClient(create_app(settings.model_copy(update={"api_key_file": file})))

    assert keyed.get("/", headers=BROWSER).text == INDEX
    assert keyed.get(f"/assets/{ASSETS[0]}").status_code == 200


def test_the_page_has_no_inline_script_or_style_and_names_its_own_files_only() -> None:
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(INDEX)

    assert not [tag for tag, attrs in found if tag == "style" or "style" in attrs]
    assert all(attrs.get("src") for tag, attrs in found if tag == "script")
    assert not [name for _, attrs in found for name in attrs if name.startswith("on")]
    loaded = re.findall(r'(?:src|href)="([^"]*)"', INDEX)
    assert {one.removeprefix("./assets/") for one in loaded} <= set(ASSETS)


def scripts_of(name: str) -> set[str]:
    """The script and all that it imports before it runs."""
    found, new = set(), {name}
    while new:
        found |= new
        texts = [(WEB / "assets" / one).read_text() for one in new]
        new = {
            one for text in texts for one in re.findall(r'(?:from|import)"\./([\w-]+\.js)"', text)
        }
        new -= found
    return found


def test_no_page_loads_60_kilobytes_of_script_before_it_is_shown() -> None:
    (entry,) = re.findall(r'src="\./assets/([\w-]+\.js)"', INDEX)
    text = (WEB / "assets" / entry).read_text()
    pages = set(re.findall(r'import\("\./([\w-]+\.js)"\)', text))

    sizes = {
        page: sum(
            len(gzip.compress((WEB / "assets" / name).read_bytes(), 9))
            for name in scripts_of(entry) | scripts_of(page)
        )
        for page in pages
    }

    assert {page.partition("-")[0] for page in pages} == PAGES
    assert max(sizes.values()) < MOST_SCRIPT_BYTES, sizes


def test_no_built_file_names_another_place() -> None:
    allowed = {"http://www.w3.org"}  # the names of SVG and MathML
    texts = {name: (WEB / "assets" / name).read_text() for name in ASSETS}

    named = {url for text in texts.values() for url in re.findall(r"https?://[\w.-]*\w", text)}
    assert named <= allowed
