"""Run every benchmark and write what was measured to benchmarks/results/.

    make bench        or one of them: python -m benchmarks.engine [--json FILE]

Each claim is a figure against a named peer, measured in turns with it in the same run; mostly a
ratio of times. A target that is missed is printed as missed; nothing is asserted, because machines
are shared and noisy.
"""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"
MEASURES = (
    "engine",
    "oracle",
    "truth",
    "compression",
    "http",
    "ingest",
    "minibatch",
    "client",
    "viewers",
    "long_history",
    "quantiles",
    "losses",
    "sharing",
)

# figure, its least value, what it says
CLAIMS = (
    ("engine", "single_job_ratio", 1.5, "time per epoch of the notebook's job, against the script"),
    (
        "engine",
        "single_job_by_backward_ratio",
        1.5,
        "the same with a backward pass in each epoch instead of replays",
    ),
    ("engine", "thousand_jobs_ratio", 1500, "1,000 such jobs in one batch, against its loop"),
    (
        "oracle",
        "ratio_loop_over_closed_form",
        500,
        "a million exact losses, against the autograd loop on R (20,000 epochs, extrapolated)",
    ),
    ("http", "ratio_script_over_ours", 1.0, "warm submit to succeeded, against its loop alone"),
    ("http", "ratio_ours_over_delay", 1.5, "submissions a second, against .delay() in the handler"),
    ("truth", "longley_ours", 13, "right digits of Longley's coefficients, the worst"),
    ("truth", "longley_over_best_peer", -0.3, "more than statsmodels or scikit-learn has, digits"),
    ("truth", "norris_ours", 13, "right digits of Norris's coefficients, the worst"),
    ("truth", "norris_over_best_peer", -0.3, "more than statsmodels or scikit-learn has, digits"),
    ("compression", "sklearn_1e7x10_ratio", 2, "1e7 x 10: 1,000 epochs, against LinearRegression"),
    (
        "compression",
        "sklearn_1e6x100_ratio",
        2,
        "1e6 x 100: 1,000 epochs, against LinearRegression",
    ),
    ("compression", "loop_1e5x1_ratio", 50, "1e5 x 1: 1,000 epochs, against an nn.Linear loop"),
    ("compression", "loop_1e5x10_ratio", 50, "1e5 x 10: 1,000 epochs, against an nn.Linear loop"),
    ("compression", "loop_1e5x100_ratio", 50, "1e5 x 100: 1,000 epochs, against an nn.Linear loop"),
    ("compression", "loop_1e7x10_ratio", 150, "1e7 x 10: 1,000 epochs, against an nn.Linear loop"),
    ("compression", "second_job_ratio", 0.77, "1,000 rows, against the second job on 1e7 x 10"),
    ("compression", "table_over_limit", 4, "size of a table, against the memory it trains in"),
    ("ingest", "csv_speed_ratio", 0.7, "CSV to a checked canonical file, against polars.read_csv"),
    ("ingest", "npy_over_json_ratio", 10, "a million rows of ten as npy, against JSON"),
    ("ingest", "arrow_over_json_ratio", 10, "a million rows of ten as Arrow, against JSON"),
    ("ingest", "rss_bound_ratio", 1, "300 MiB, against the API's growth in an upload of 2 GB"),
    (
        "minibatch",
        "http_npz_256_ratio_sgd_regressor",
        0.87,
        "rows a second at batch 256, over HTTP from an npz, against SGDRegressor",
    ),
    (
        "minibatch",
        "http_npz_4096_ratio_sgd_regressor",
        2.2,
        "the same at batch 4096, against SGDRegressor",
    ),
    (
        "viewers",
        "ratio_idle_over_watched",
        0.67,
        "a submission beside 200 idle connections, against beside 200 live viewers",
    ),
    (
        "quantiles",
        "ratio_statsmodels_0.5",
        0.25,
        "median of 1e5 x 10 with errors, uploaded and solved over HTTP, against QuantReg",
    ),
    (
        "quantiles",
        "ratio_statsmodels_0.05",
        0.25,
        "the same of the quantile 0.05",
    ),
    (
        "losses",
        "part_within_1_percent",
        1.0,
        "problems of other losses within 1 % of the minimum by default, but for rounding",
    ),
    (
        "losses",
        "gap_allowed_over_largest_converged",
        1.0,
        "1e-6, against the largest gap of what is called converged",
    ),
    (
        "losses",
        "part_exact_within_1e-9",
        1.0,
        "the same problems within 1e-9 by exact, but for the last digits of weights",
    ),
    (
        "sharing",
        "ratio_one_worker_over_two",
        1.67,
        "sixteen jobs that cannot train together, by one worker against by two",
    ),
    (
        "sharing",
        "part_succeeded",
        1.0,
        "of these jobs, each with a timeout of 20 s, the part that succeeded",
    ),
    (
        "minibatch",
        "ratio_data_loader_4096",
        20,
        "the same in process, against nn.Linear with a DataLoader",
    ),
)


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    for name in MEASURES:
        print(f"== {name}", flush=True)
        target = RESULTS / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(target)]
        subprocess.run(command, check=True)
    table = summary()
    (RESULTS / "README.md").write_text(table)
    print(table)


def summary() -> str:
    machine = (
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()},"
        f" torch {torch.__version__}"
    )
    lines = [
        "# Measured",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, by `make bench`: {machine}.",
        "",
        "| what | figure | wanted | |",
        "|---|---|---|---|",
    ]
    for name, figure, least, words in CLAIMS:
        ratio = json.loads((RESULTS / f"{name}.json").read_text())[figure]
        verdict = "reached" if ratio >= least else "missed"
        lines.append(f"| {words} | {ratio:,.2f} | at least {least:,} | {verdict} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
