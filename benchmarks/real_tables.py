"""Real tables through the whole stack, held to statsmodels on the same design.

    python -m benchmarks.real_tables FOLDER

Each CSV of the folder that is known here (by its header) takes one upload and one job request:
text one-hot, rows with missing cells left out, optimizer exact. Printed is the largest relative
difference of a coefficient from statsmodels' on a design built with pandas; 1e-9 is the target.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm

from benchmarks.http import process
from descend.client import Client, Run
from descend.jobs import JobSpec

TARGET = 1e-9


@dataclass(frozen=True)
class Question:
    """What to ask of a table."""

    target: str
    features: tuple[str, ...]


QUESTIONS = (
    Question(
        "median_house_value",
        (
            *("longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms"),
            *("population", "households", "median_income", "ocean_proximity"),
        ),
    ),
    Question(
        "quality",
        (
            *("fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides"),
            *("free sulfur dioxide", "total sulfur dioxide", "density", "pH", "sulphates"),
            "alcohol",
        ),
    ),
    Question(
        "mpg",
        (
            *("cylinders", "displacement", "horsepower", "weight", "acceleration"),
            *("model_year", "origin"),
        ),
    ),
    Question(
        "arr_delay",
        ("dep_delay", "carrier", "origin", "air_time", "distance", "hour", "month"),
    ),
)


@contextmanager
def stack() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as data:
        command = (sys.executable, "-m", "descend.cli", "up", "--port", "0", "--data", data)
        with process(*command) as child:
            assert child.stdout is not None
            yield next(line.split()[-1] for line in child.stdout if "ready at" in line)


def delimiter_of(path: Path) -> str:
    with path.open() as file:
        return ";" if ";" in file.readline() else ","


def ask(client: Client, path: Path, question: Question) -> tuple[Run, float]:
    """Upload and train; the run and the seconds that both took."""
    begun = time.perf_counter()
    dataset = client.upload(path, delimiter=delimiter_of(path))
    spec = {
        "dataset": dataset.id,
        "target": question.target,
        "features": list(question.features),
        "missing": "drop",
        "categorical": "one_hot",
        "hyperparameters": {"optimizer": "exact"},
    }
    run = client.submit(JobSpec.model_validate(spec)).wait(timeout_seconds=300)
    return run, time.perf_counter() - begun


def by_statsmodels(frame: pd.DataFrame, question: Question) -> dict[str, float]:
    whole = frame.dropna(subset=[*question.features, question.target])
    design: dict[str, np.ndarray] = {}
    for name in question.features:
        if pd.api.types.is_numeric_dtype(whole[name]):
            design[name] = whole[name].to_numpy(float)
            continue
        for level in sorted(whole[name].unique())[1:]:
            design[f"{name}={level}"] = (whole[name] == level).to_numpy(float)
    design["(intercept)"] = np.ones(len(whole))
    y, X = whole[question.target].to_numpy(float), np.column_stack(list(design.values()))
    return dict(zip(design, sm.OLS(y, X).fit().params, strict=True))


def difference(run: Run, expected: dict[str, float]) -> tuple[str, float]:
    """The coefficient that is farthest from its peer, and how far, relatively."""
    model = run.model
    names, values = [*model.features, "(intercept)"], [*model.coef[0], *model.intercept]
    assert names == list(expected), (names, list(expected))
    apart = {n: abs(v - expected[n]) / abs(expected[n]) for n, v in zip(names, values, strict=True)}
    worst = max(apart, key=lambda name: apart[name])
    return worst, apart[worst]


def main(folder: Path) -> None:
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise SystemExit(f"there is no CSV file in {folder}")
    with stack() as url, Client(url, timeout_seconds=300) as client:
        for path in paths:
            frame = pd.read_csv(path, sep=delimiter_of(path))
            question = next((one for one in QUESTIONS if one.target in frame), None)
            if question is None:
                print(f"{path.name}: no question is known for these columns")
                continue
            run, seconds = ask(client, path, question)
            worst, apart = difference(run, by_statsmodels(frame, question))
            n, condition = run.job.metrics.n_samples, run.job.metrics.condition_number
            print(
                f"{path.name:40} {n:7,} rows {len(run.model.features):3} features"
                f"  condition {condition:8.3g}  {seconds:5.2f} s"
                f"  largest difference {apart:.1e} ({worst})"
                f"  {'reached' if apart <= TARGET else 'missed'}"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
