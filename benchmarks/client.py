"""The client alone: seconds to install it into an empty environment, and to import it.

    python -m benchmarks.client [--json FILE]

Import time is that of `python -c "import descend"` less that of an empty program; the peer is the
import of pydantic and numpy, which it stands on, in turns with it. Whoever measures the install
measures the package index, too; pip's cache is as it is.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
TURNS = 9
PROGRAMS = {
    "empty": "pass",
    "descend": "import descend",
    "client": "import descend.client",
    "peer": "import numpy, pydantic",
    "estimator": "import descend.estimator",
    "sklearn": "import sklearn.linear_model",
}


def empty_environment(folder: Path) -> Path:
    """Make a virtual environment and return its Python."""
    venv.EnvBuilder(with_pip=True).create(folder)
    return folder / "bin" / "python"


def install(python: Path) -> float:
    """Install the checkout as a user would, and return the seconds."""
    begun = time.perf_counter()
    quiet = ["--quiet", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", *quiet, ROOT], check=True)
    return time.perf_counter() - begun


def seconds(program: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    return time.perf_counter() - begun


def imports() -> dict[str, float]:
    for program in PROGRAMS.values():
        seconds(program)
    turns = [{name: seconds(text) for name, text in PROGRAMS.items()} for _ in range(TURNS)]
    median = {name: statistics.median(turn[name] for turn in turns) for name in PROGRAMS}
    return {name: took - median["empty"] for name, took in median.items() if name != "empty"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        took = install(empty_environment(Path(folder) / "venv"))
    own = imports()
    result = {
        "install_seconds": took,
        **{f"import_{name}_seconds": value for name, value in own.items()},
        "ratio_peer_over_ours": own["peer"] / own["descend"],
        "ratio_sklearn_over_estimator": own["sklearn"] / own["estimator"],
    }
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
