"""The document: kept as a snapshot; every body in it has an example that is true."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from starlette.testclient import TestClient

SNAPSHOT = Path(__file__).parents[2] / "docs" / "openapi.json"
Json = dict[str, Any]


@pytest.fixture
def document(client: TestClient) -> Json:
    found: Json = client.get("/openapi.json").json()
    return found


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def bodies(document: Json) -> Iterator[tuple[str, Json]]:
    for name, operation in operations(document):
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            if not is_file(content) or media_type.startswith("text/"):
                yield f"{name} {media_type}", content
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                if not is_file(content):
                    yield f"{name} {status} {media_type}", content


def is_file(content: Json) -> bool:
    return bool(content["schema"].get("format") == "binary")


def examples(content: Json) -> list[Any]:
    named = [example["value"] for example in content.get("examples", {}).values()]
    return named + ([content["example"]] if "example" in content else [])


def test_the_snapshot_is_the_document(document: Json) -> None:
    """After a wanted change: python -m tests.service.snapshot"""
    assert json.loads(SNAPSHOT.read_text("utf-8")) == document


def test_it_is_openapi_3_1(document: Json) -> None:
    assert document["openapi"].startswith("3.1")


def test_every_body_has_an_example_that_its_schema_takes(document: Json) -> None:
    for name, content in bodies(document):
        given = problem_examples(document) if "problem+json" in name else examples(content)
        assert given, f"{name} has no example"
        schema = {**content["schema"], "components": document["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema)
        for example in given:
            validator.validate(example)


def problem_examples(document: Json) -> list[Any]:
    examples: list[Any] = document["components"]["schemas"]["Problem"]["examples"]
    return examples


def test_request_examples_are_accepted(client: TestClient, document: Json) -> None:
    for path in ("/v1/datasets", "/v1/jobs"):
        for media_type, content in document["paths"][path]["post"]["requestBody"][
            "content"
        ].items():
            for example in examples(content):
                if isinstance(example, dict) and isinstance(example.get("dataset"), str):
                    continue
                body = example if isinstance(example, str) else json.dumps(example)
                response = client.post(path, content=body, headers={"content-type": media_type})
                assert response.status_code in {201, 202}, response.text


def test_every_link_leads_to_an_operation(document: Json) -> None:
    known = {operation["operationId"] for _, operation in operations(document)}

    links = [
        link
        for _, operation in operations(document)
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]

    assert len(links) >= 9
    assert {link["operationId"] for link in links} <= known


def test_every_operation_says_what_it_does_and_how_it_refuses(document: Json) -> None:
    for name, operation in operations(document):
        assert operation["description"].endswith("."), name
        if "/v1/" in name and name != "GET /v1/limits":
            assert operation["responses"]["422"]["content"].keys() == {"application/problem+json"}


def test_every_operation_has_a_name_of_its_own_and_every_body_a_schema(document: Json) -> None:
    """What generators of clients stumble over; `make client-test` runs one of them."""
    names = [operation["operationId"] for _, operation in operations(document)]
    contents = [
        (name, body.get("content", {}))
        for name, operation in operations(document)
        for status, body in [("", operation.get("requestBody")), *operation["responses"].items()]
        if body is not None and status not in {"204", "304"}
    ]

    assert len(set(names)) == len(names)
    assert [name for name, content in contents if not content] == []
    assert all(media["schema"] for _, content in contents for media in content.values())
    assert '"const": "auto"' not in json.dumps(document)


def test_the_numbers_of_the_limits_stand_in_the_schema(document: Json) -> None:
    text = json.dumps(document["components"]["schemas"]["Hyperparameters"])

    assert "10000000" in text
