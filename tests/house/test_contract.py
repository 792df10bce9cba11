"""What the contract promises in words is what the code says."""

import ast
import dataclasses
import importlib
import json
import re
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from starlette.testclient import TestClient

import descend
from descend import errors
from descend.errors import DescendError
from descend.jobs import TERMINAL, TRANSITIONS, JobState, StopReason
from descend.settings import ClientSettings
from service.app import create_app
from service.metric_names import BUILT_IN, FLEET, PROCESS
from service.settings import ServiceSettings
from storage.settings import StorageSettings
from tests.house import commands, python_api
from tests.house.sources import PACKAGES, ROOT, sources
from tests.service.conftest import LOCAL
from workers.settings import WorkerSettings
from workers.training.errors import DeviceUnavailable

REFERENCE = (ROOT / "docs" / "reference.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
METRIC = re.compile(r"^\| `(descend_\w+)` \| (\w+) \| (.+?) \| (.+) \|$", re.MULTILINE)
ARROW = re.compile(r"^\s*(\[\*\]|\w+) --> (\[\*\]|\w+)", re.MULTILINE)


KINDS = (DescendError, DeviceUnavailable)  # the second: imported so that its module is seen


def error_codes(kind: type[DescendError]) -> set[str]:
    return {kind.code}.union(*(error_codes(child) for child in kind.__subclasses__()))


def codes_of_job_errors() -> set[str]:
    """Every code that some `JobError(code=...)` in the four packages is given."""
    calls = (node for tree in sources(*PACKAGES).values() for node in ast.walk(tree))
    return {
        word.value.value
        for call in calls
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "JobError"
        for word in call.keywords
        if word.arg == "code" and isinstance(word.value, ast.Constant)
    }


def documented(word: str) -> bool:
    return f"`{word}`" in REFERENCE


@pytest.mark.parametrize("settings", [StorageSettings, ServiceSettings, WorkerSettings])
def test_every_setting_is_documented(settings: type[BaseSettings]) -> None:
    prefix = settings.model_config.get("env_prefix", "").upper()
    names = [f"{prefix}{name.upper()}" for name in settings.model_fields]

    assert [name for name in names if not documented(name)] == []


def test_every_documented_setting_exists() -> None:
    fields: set[str] = set()
    for settings in (StorageSettings, ServiceSettings, WorkerSettings):
        prefix = settings.model_config.get("env_prefix", "").upper()
        fields |= {f"{prefix}{name.upper()}" for name in settings.model_fields}
    fields |= {f"DESCEND_{field.name.upper()}" for field in dataclasses.fields(ClientSettings)}

    assert set(re.findall(r"^\| `(DESCEND_\w+)`", REFERENCE, re.MULTILINE)) == fields


def test_every_error_code_is_documented() -> None:
    codes = set().union(*map(error_codes, KINDS)) | codes_of_job_errors()

    assert [code for code in sorted(codes) if not documented(code)] == []


def test_every_state_and_stop_reason_is_documented() -> None:
    kinds: tuple[type[StrEnum], ...] = (JobState, StopReason)
    words = [word.value for kind in kinds for word in kind]

    assert [word for word in words if not documented(word)] == []


def test_every_route_is_documented(tmp_path: Path) -> None:
    schema = openapi(tmp_path)
    routes = [
        f"{method.upper()} {path}" for path, item in schema["paths"].items() for method in item
    ]

    assert [route for route in routes if not documented(route)] == []


def test_the_openapi_document_is_the_one_that_is_kept(tmp_path: Path) -> None:
    kept = json.loads((ROOT / "docs" / "openapi.json").read_text())

    assert openapi(tmp_path) == kept, "the contract has changed: if it should, make openapi"


def test_every_metric_is_documented_as_it_is() -> None:
    """That a server shows exactly these: tests/workers/test_metrics.py."""
    known = {
        (m.name, m.type, ", ".join(f"`{label}`" for label in m.labels) or "none", m.help)
        for m in [*FLEET.values(), *PROCESS.values()]
    }

    assert set(METRIC.findall(REFERENCE)) == known
    assert [name for name in BUILT_IN if not documented(name)] == []


def test_operations_say_of_every_metric_what_to_do() -> None:
    known = {*FLEET, *PROCESS}
    advised = re.findall(r"^\| `(descend_\w+)` \| .+ \| .+ \|$", OPERATIONS, re.MULTILINE)
    mentioned = set(re.findall(r"\bdescend_[a-z_]+\b", OPERATIONS))

    assert sorted(advised) == sorted(known)
    assert mentioned <= known, "alerts and text name metrics that exist"


def test_the_lines_of_log_that_are_shown_are_json() -> None:
    (block,) = re.findall(r"^```json\n(.+?)^```$", OPERATIONS, re.MULTILINE | re.DOTALL)
    shown = [json.loads(line) for line in block.splitlines()]

    fields = set(re.findall(r"`(\w+)`", OPERATIONS))
    assert {name for line in shown for name in line} <= fields | {"code", "state", "stop_reason"}


def test_the_diagram_of_states_shows_the_transitions() -> None:
    drawn = set(ARROW.findall(REFERENCE))

    arrows = {(str(a), str(b)) for a, onward in TRANSITIONS.items() for b in onward}
    starts, ends = {("[*]", "queued")}, {(str(state), "[*]") for state in TERMINAL}
    assert drawn == arrows | starts | ends


def test_every_command_and_option_is_documented_as_it_is() -> None:
    assert commands.tables() in REFERENCE, "make reference"


def test_every_public_name_of_python_is_documented_by_its_docstring() -> None:
    kept = REFERENCE.partition(python_api.BEGIN)[2].partition(python_api.END)[0]
    silent = [line for line in kept.splitlines() if line.endswith("|  |")]

    assert kept == python_api.section(), "the client has changed: make reference"
    assert silent == []


def test_public_names_exist_and_are_listed() -> None:
    named = {name: getattr(descend, name) for name in descend.__all__}

    assert all(named.values())
    assert sorted(descend.__all__) == descend.__all__
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        _ = descend.Missing


@pytest.mark.parametrize(
    "module",
    [
        "catalog",
        "charts",
        "client",
        "datasets",
        "diagnostics",
        "errors",
        "events",
        "following",
        "frames",
        "gradients",
        "history",
        "ids",
        "jobs",
        "limits",
        "models",
        "plans",
        "predictions",
        "progress",
        "regressors",
        "runs",
        "settings",
        "specs",
        "statistics",
        "stack",
        "cli",
        "processes",
        "transport",
        "views",
    ],
)
def test_a_module_of_the_contract_lists_what_it_defines(module: str) -> None:
    loaded = importlib.import_module(f"descend.{module}")

    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")

    classes = {name for name in errors.__all__ if not name.isupper() and name[0].isupper()}
    classes -= {"DescendError"}
    assert set(drawn) == classes
    assert all(getattr(errors, name).__doc__ for name in classes)


def openapi(data: Path) -> dict[str, dict[str, object]]:
    app = create_app(ServiceSettings(data=data))
    return dict(TestClient(app, base_url=LOCAL).get("/openapi.json").json())
