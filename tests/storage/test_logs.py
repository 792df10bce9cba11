"""The log: JSON that machines read, and nothing of anybody's data in it."""

import json
import subprocess
import sys
from pathlib import Path

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


ON_A_FULL_DISK = """
import logging, resource, threading
import structlog
from storage import logs

def limit(n_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))

logs.configure("worker", form=logs.LogFormat.JSON, level=logs.LogLevel.INFO)
log = structlog.get_logger()
log.info("before")
limit(200)  # in the middle of a line
for _ in range(3):
    log.info("x" * 100)
try:
    raise OSError(28, "No space left on device")
except OSError:
    log.exception("failed")
logging.getLogger("celery").error("from elsewhere")
limit(resource.RLIM_INFINITY)
log.info("room_again")
log.info("after")
print("alive")
"""


def test_to_log_on_a_full_disk_costs_lines_and_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    with path.open("ab") as file:
        command = [sys.executable, "-c", ON_A_FULL_DISK]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=file, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "alive\n")
    before, torn, again, after = path.read_text().splitlines()
    assert json.loads(before)["event"] == "before"
    assert torn.startswith("{")
    assert not torn.endswith("}")
    assert json.loads(again)["lines_lost"] == 5
    assert json.loads(after)["event"] == "after"
    assert "lines_lost" not in json.loads(after)


def test_a_thread_that_dies_is_told_as_any_exception_is() -> None:
    program = PROGRAM.partition("log.debug")[0].format(form="json") + (
        "import threading\n"
        "def fail(): float('s3cret')\n"
        "thread = threading.Thread(target=fail, name='lonely')\n"
        "thread.start(); thread.join()\n"
    )
    command = [sys.executable, "-c", program]

    (line,) = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split(
        "\n"
    )[:-1]

    told = json.loads(line)
    assert (told["event"], told["thread"]) == ("thread_died", "lonely")
    assert told["exception"][0]["type"] == "ValueError"
    assert "s3cret" not in line
