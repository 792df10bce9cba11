"""What schemathesis loads so that it can send NDJSON: lines of JSON, whatever it made up."""

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(_: schemathesis.SerializationContext, value: Any) -> bytes:
    if isinstance(value, bytes | str):
        return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return "".join(json.dumps(one) + "\n" for one in _rows(value)).encode()


def _rows(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
