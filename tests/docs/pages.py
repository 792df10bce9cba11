"""Pages of Markdown whose blocks are run as they stand, from top to bottom.

```bash    goes to one shell for the whole page: variables, files and functions last
```python  goes to one namespace for the whole page, in the same folder
```text    right below one of them says what it prints; `...` stands for anything
```        and any other language: shown, never run
"""

import contextlib
import doctest
import io
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ADDRESS = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "--- end of block ---"


@dataclass(frozen=True)
class Step:
    """A block that is run, its line in the page, and what the page says that it prints."""

    language: str
    text: str
    line: int
    printed: str | None


def steps(page: Path) -> list[Step]:
    text = page.read_text()
    blocks = list(BLOCK.finditer(text))
    found = []
    for block, after in zip(blocks, [*blocks[1:], None], strict=False):
        if block[1] not in ("bash", "python"):
            continue
        told = after is not None and after[1] == "text"
        below = told and not text[block.end() : after.start()].strip()
        line = text.count("\n", 0, block.start()) + 1
        found.append(Step(block[1], block[2], line, after[2] if below else None))
    return found


class Shell:
    """One bash for a page; a command that fails fails the page."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "-uo", "pipefail"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, text: str) -> str:
        """Run a block; return what it printed, errors included.

        Raises:
            AssertionError: when a command of it failed.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"set -e\n{text}\nset +e\necho '{END}'\n")
        process.stdin.flush()
        printed = ""
        for line in process.stdout:
            if line.rstrip("\n").endswith(END):
                return printed + line.rstrip("\n").removesuffix(END)
            printed += line
        raise AssertionError(f"the shell ended with {process.wait()} in\n{text}\n{printed}")

    def close(self) -> None:
        """End the shell; what it started in the background is the page's to stop."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()


def run_python(text: str, names: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(text, names)  # noqa: S102  our own text
    return printed.getvalue()


def is_as_told(wanted: str, got: str) -> bool:
    same = doctest.OutputChecker().check_output
    return same(wanted.strip(), got.strip(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
