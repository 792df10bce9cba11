"""`python -m tests.service.snapshot`: write docs/openapi.json again, after a wanted change."""

import json
import tempfile
from pathlib import Path

from starlette.testclient import TestClient

from service.app import create_app
from service.settings import ServiceSettings
from tests.service.conftest import LOCAL
from tests.service.test_openapi import SNAPSHOT


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(ServiceSettings(data=Path(folder)))
        document = TestClient(app, base_url=LOCAL).get("/openapi.json").json()
    SNAPSHOT.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
