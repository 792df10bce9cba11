#!/usr/bin/env bash
# openapi-python-client 0.29.1, of an operation that takes several media types, makes code that asks
# isinstance(body, ...) which of them was given. Where one of the bodies is a choice (oneOf) with an
# array in it, the code reads isinstance(body, Point | list[...]), which Python refuses at run time
# ("TypeError: isinstance() argument 2 cannot be a parameterized generic"): the generated function
# fails at every call, whichever body it is given. The generator itself warns of nothing. With the
# array taken out of the choice the same call passes.
#
# Seen with Python 3.11 on Linux x86-64. Exits 0 while this is so, 1 where it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openapi-python-client==0.29.1
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import json
import pathlib
import subprocess
import sys

POINT = {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}}
ONE = {"$ref": "#/components/schemas/Point"}
MANY = {"type": "array", "items": ONE}
CALL = """
from {name}.api.default import store
from {name}.client import Client
from {name}.models import Point
print(store._get_kwargs(body=Point(x=1.0))["headers"]["Content-Type"])
"""


def document(name, choice):
    content = {
        "application/json": {"schema": {"oneOf": choice}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    }
    operation = {
        "operationId": "store",
        "parameters": [{"name": "name", "in": "query", "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": content},
        "responses": {"204": {"description": "stored"}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": "1"},
        "paths": {"/points": {"post": operation}},
        "components": {"schemas": {"Point": POINT, "Named": POINT}},
    }


def told(name, choice):
    path = pathlib.Path(f"{name}.json")
    path.write_text(json.dumps(document(name, choice)))
    program = pathlib.Path(sys.executable).with_name("openapi-python-client")
    command = [program, "generate", "--path", path, "--meta", "none", "--output-path", f"{name}_client"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    call = CALL.format(name=f"{name}_client")
    ran = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    return (ran.stdout or ran.stderr).strip().splitlines()[-1]


without = told("without", [ONE, {"$ref": "#/components/schemas/Named"}])
with_array = told("with_array", [ONE, MANY])
print("without an array:", without)
print("with an array:   ", with_array)
as_seen = without == "application/json" and with_array.startswith("TypeError: isinstance()")
sys.exit(not as_seen)
PYTHON
