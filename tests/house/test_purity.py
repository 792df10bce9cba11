"""What a process really loads: static linting does not see what a package's __init__ executes."""

import subprocess
import sys

import pytest

LOADED = """
import importlib, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
print("\\n".join(sys.modules))
"""


def loaded_by(modules: str) -> set[str]:
    answer = subprocess.run(
        [sys.executable, "-c", LOADED, modules], check=True, capture_output=True, text=True
    )
    return set(answer.stdout.split())


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (
            "descend",
            {
                *("sqlalchemy", "httpx2", "sklearn", "torch", "fastapi", "celery", "typer"),
                *("rich", "pandas", "polars", "scipy", "redis", "IPython"),
            },
        ),
        (
            "descend.client",
            {
                *("sqlalchemy", "sklearn", "torch", "fastapi", "celery"),
                *("rich", "typer", "pandas", "polars", "scipy"),
            },
        ),
        ("descend.cli", {"sqlalchemy", "sklearn", "torch", "fastapi", "celery", "httpx2"}),
        ("storage,storage.database", {"fastapi", "celery", "torch", "workers", "service"}),
        ("service.app", {"torch", "scipy", "sklearn", "workers", "polars", "onnx"}),
        (
            "workers.training",
            {"celery", "sqlalchemy", "fastapi", "storage", "polars", "httpx2", "service"},
        ),
        ("workers.app,workers.supervisor,workers.process", {"torch", "scipy", "fastapi"}),
    ],
)
def test_a_process_loads_nothing_that_belongs_to_another_room(
    modules: str, absent: set[str]
) -> None:
    names = loaded_by(modules)

    assert not names & absent
