"""A stand-in for curl on machines without it: the options that the pages use."""

import argparse
import sys
import urllib.error
import urllib.request
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("-s", action="store_true")
parser.add_argument("-N", action="store_true")
parser.add_argument("-X", dest="method")
parser.add_argument("-H", dest="headers", action="append", default=[])
parser.add_argument("-d", "--data-binary", dest="body")
options = parser.parse_args()

body = options.body
if body is not None and body.startswith("@"):
    content = Path(body[1:]).read_bytes()
else:
    content = None if body is None else body.encode()
request = urllib.request.Request(options.url, content, method=options.method)  # noqa: S310
for header in options.headers:
    name, _, value = header.partition(":")
    request.add_header(name, value.strip())
try:
    answer = urllib.request.urlopen(request)  # noqa: S310
except urllib.error.HTTPError as refusal:
    answer = refusal
sys.stdout.buffer.write(answer.read())
