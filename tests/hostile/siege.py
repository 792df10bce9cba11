"""`python -m tests.hostile.siege [files]`: broken files, sent to a real service over HTTP.

No answer is a 5xx, none takes long, none shows a cell it should not; afterwards no temporary file
is left, no child hangs, and a good file is read as before.
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from service.settings import ServiceSettings
from storage.migrate import migrate
from tests.hostile.broken import Hostile, by_hand, mutated
from tests.servers import process_tree, until
from tests.service.conftest import process_serving

LONGEST_SECONDS = 20.0
SETTINGS = {
    "DESCEND_LIMITS": '{"upload_bytes": 67108864}',
    "DESCEND_INGEST_SECONDS": "10",
    "DESCEND_INGEST_MEMORY_BYTES": str(2**30),
}
AT_ONCE = 4


@dataclass
class Siege:
    """What came of it: how often each status was answered, and every answer that should not be."""

    statuses: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def besiege(folder: Path, *, files: int) -> Siege:
    """Send the files made by hand and then mutated ones, `files` in all."""
    settings = ServiceSettings(data=folder)
    migrate(settings.url)
    siege = Siege()
    with process_serving(settings, **SETTINGS) as (client, process):
        by_design = by_hand()
        made = (mutated(seed) for seed in range(max(0, files - len(by_design))))
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for status, wrong in threads.map(lambda one: send(client, one), [*by_design, *made]):
                siege.statuses[status] = siege.statuses.get(status, 0) + 1
                siege.wrong += [wrong] if wrong else []
        good = client.post(
            "/v1/datasets", content=b"a,b\n1,2\n", headers={"content-type": "text/csv"}
        )
        if good.status_code != 201 or client.get("/healthz").status_code != 200:
            siege.wrong.append("the service no longer reads a good file")
        left = list((folder / "uploads").iterdir())
        siege.wrong += [f"{path.name} was left" for path in left]
        if len(children := process_tree(process.pid)) > 2:
            siege.wrong.append(f"{len(children)} children live")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), what="children end")
    return siege


def send(client: httpx2.Client, one: Hostile) -> tuple[int, str]:
    """Send one; say what is wrong with the answer, if anything."""
    headers = {"content-type": one.kind} | ({"content-encoding": "gzip"} if one.packed else {})
    begun = time.monotonic()
    try:
        answer = client.post(f"/v1/datasets?{one.query}", content=one.content, headers=headers)
    except httpx2.HTTPError as error:
        return 0, f"{one.what}, {one.kind}: {type(error).__name__}"
    took = time.monotonic() - begun
    status = answer.status_code
    if status >= 500 or (status != 201 and "code" not in answer.json()):
        return status, f"{one.what}, {one.kind}: {status} {answer.text[:300]}"
    if took > LONGEST_SECONDS:
        return status, f"{one.what}, {one.kind}: {took:.1f} s"
    if status == 201:
        preview = client.get(answer.json()["urls"]["preview"])
        client.delete(answer.headers["location"])
        if preview.status_code != 200:
            return status, f"{one.what}, {one.kind}: its preview is {preview.status_code}"
    return status, ""


def main() -> int:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        siege = besiege(Path(folder), files=files)
    sys.stdout.write(f"{siege.statuses}\n" + "".join(f"{wrong}\n" for wrong in siege.wrong))
    return 1 if siege.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
