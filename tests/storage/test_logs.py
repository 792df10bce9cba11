"""The log: JSON that machines read, and nothing of anybody's data in it."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sqlite3, warnings
import structlog
from pydantic import BaseModel
from sqlalchemy import create_engine, text
from storage import logs

logs.configure("api", form=logs.LogFormat("{form}"), level=logs.LogLevel.INFO)
log = structlog.get_logger("x").bind(job_id="job_1")
log.debug("too_quiet")
log.info("an_event", status=200)
logging.getLogger("uvicorn.error").warning("from %s", "elsewhere")
warnings.warn("take 'care'", UserWarning)

class Row(BaseModel):
    price: int

def fail(cell):
    secret = cell
    try:
        float(cell)
    except ValueError as error:
        Row.model_validate({{"price": cell}})

for cell in ("s3cret", "1234.5678"):
    try:
        fail(cell + "x")
    except Exception:
        log.exception("failed")
try:
    query = text("SELECT :cell FROM nowhere")
    create_engine("sqlite://").connect().execute(query, {{"cell": "s3cret"}})
except Exception:
    log.exception("failed")
"""


@pytest.mark.parametrize("form", ["auto", "json", "console"])
def test_exceptions_are_told_without_the_data_that_raised_them(form: str) -> None:
    output = written(form)

    assert "s3cret" not in output
    assert "1234.5678" not in output  # its parts occur in timestamps
    assert "ValidationError" in output
    assert "OperationalError" in output
    assert "too_quiet" not in output


def test_every_line_is_json_with_its_ids_where_there_is_no_terminal() -> None:
    lines = [json.loads(line) for line in written("auto").splitlines()]

    event, foreign, warned, *failed = lines
    assert event["event"] == "an_event"
    assert event["job_id"] == "job_1"
    assert event["status"] == 200
    assert foreign["event"] == "from elsewhere"
    assert warned["message"] == "take …"
    assert {line["process"] for line in lines} == {"api"}
    assert {line["level"] for line in lines} == {"info", "warning", "error"}
    for line in failed:
        outermost = line["exception"][0]
        assert outermost["frames"]
        assert not any(frame.startswith("/") for frame in outermost["frames"])
    assert failed[0]["exception"][0]["type"] == "ValidationError"


def written(form: str) -> str:
    command = [sys.executable, "-c", PROGRAM.format(form=form)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr
