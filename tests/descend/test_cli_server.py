"""The command line against a live server: what it prints, and with which exit code it ends."""

import csv
import gzip
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars
import pytest

from descend.client import Client
from descend.jobs import JobState
from tests.descend.conftest import PROGRAM, Command, environment
from tests.servers import until

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CARS = ("cars.csv", "--target", "mpg")
DIVERGING = (*CARS, "--learning-rate", "0.5", "--no-standardize")
ENDLESS = (*CARS, "--epochs", "1e7", "--tol", "0", "--learning-rate", "1e-9")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with Client(server) as connected:
        yield connected


def trained(descend: Command, *options: str) -> dict[str, object]:
    ended = descend("train", *CARS, "--json", *options)
    assert ended.code == 0, ended.err
    return dict(json.loads(ended.out))


def test_training_shows_progress_then_coefficients_with_their_errors(descend: Command) -> None:
    ended = descend("train", *CARS, "--optimizer", "exact")

    assert ended.code == 0, ended.err
    assert re.search(
        r"^job_[0-9a-f]{32} succeeded \(solved\) after 1 epoch$", ended.out, re.MULTILINE
    )
    assert re.search(
        r"^weight +-0\.0056\d+ +0\.0043\d+ +-1\.3\d+ +0\.23\d+ ", ended.out, re.MULTILINE
    )
    assert "95 % from" in ended.out
    assert re.search(r"job_\w+ succeeded", ended.err)
    assert "\x1b" not in ended.out + ended.err


def test_with_json_standard_output_is_the_job_and_nothing_else(descend: Command) -> None:
    ended = descend("train", *CARS, "--json")

    job = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert job["state"] == "succeeded"


def test_a_table_comes_through_standard_input(descend: Command, folder: Path) -> None:
    table = (folder / "cars.csv").read_text()

    ended = descend("train", "-", "--target", "mpg", "--optimizer", "exact", stdin=table)

    assert ended.code == 0, ended.err
    assert "origin=japan" in ended.out


@pytest.mark.parametrize("form", ["npy", "ndjson", "json", "arrow", "parquet"])
def test_other_formats_are_recognised_on_standard_input(
    descend: Command, folder: Path, form: str
) -> None:
    import polars as pl

    table = pl.read_csv(folder / "cars.csv").drop("origin")
    body = io.BytesIO()
    if form == "npy":
        np.save(body, table.to_numpy().astype(float))
    elif form == "ndjson":
        table.write_ndjson(body)
    elif form == "json":
        body.write(json.dumps({"columns": table.to_dict(as_series=False)}).encode())
    elif form == "arrow":
        table.write_ipc(body)
    else:
        table.write_parquet(body)

    ended = descend("upload", "-", "--json", stdin=body.getvalue())

    assert ended.code == 0, ended.err
    assert (json.loads(ended.out)["n_rows"], json.loads(ended.out)["n_columns"]) == (12, 3)


def test_options_of_a_csv_go_with_the_upload(descend: Command) -> None:
    table = "a;b\n1,5;?\n2,5;4,0\n"
    options = ("--delimiter", ";", "--decimal", ",", "--null-values", "?", "--name", "odd")

    ended = descend("upload", "-", "--json", *options, stdin=table)

    dataset = json.loads(ended.out)
    assert dataset["name"] == "odd"
    assert [(c["name"], c["mean"], c["missing"]) for c in dataset["columns"]] == [
        ("a", 2.0, 0),
        ("b", 4.0, 1),
    ]


RENTS = "day,rent,area\n2024-01-01,$950,33\n2024-01-02,$887,32\n2024-01-09,$1200,58\n"


def test_a_refusal_says_what_to_type_and_typed_it_is_read(descend: Command, folder: Path) -> None:
    (folder / "rents.csv").write_text(RENTS)

    refused = descend("train", "rents.csv", "--target", "rent", "--optimizer", "exact")
    found = re.search(r"To have them read, add: (.*)", refused.err)
    assert found is not None
    typed = shlex.split(found[1])
    ended = descend("train", "rents.csv", "--target", "rent", "--optimizer", "exact", *typed)

    assert refused.code == 2
    assert typed == ["--dates", "day:days", "--strip", "rent:$"]
    assert "or for 'rent': --text rent" in refused.err
    assert ended.code == 0, ended.err
    assert "day [days since 2024-01-01]" in ended.out


def test_columns_of_dates_and_signs_are_predicted_from_the_file_as_it_is(
    descend: Command, folder: Path, client: Client
) -> None:
    (folder / "rents.csv").write_text(RENTS)
    reading = {"dates": "day:days", "strip": ["rent:$"]}
    run = client.train(folder / "rents.csv", target="rent", optimizer="exact", **reading)  # type: ignore[misc]
    model_id = str(run.wait().job.model_id)
    (folder / "later.csv").write_text("day,area\n2024-01-02,32\n")

    ended = descend("predict", model_id, "later.csv")

    assert float(ended.out.split()[1]) == pytest.approx(887)


def test_a_first_row_that_looks_like_data_is_told_before_training(
    descend: Command, folder: Path
) -> None:
    rows = "".join(f"{'KLM'[i % 3]},0.{300 + i},{i * i}\n" for i in range(7, 19))
    (folder / "rows.csv").write_text(rows)

    told = descend("train", "rows.csv", "--target", "49", "--optimizer", "exact")
    read = descend("train", "rows.csv", "--target", "column_3", "--header", "absent", "--detach")

    assert "! the first row looks like data" in told.err
    assert "send --header absent" in told.err
    assert (read.code, "looks like" in read.err) == (0, False)


def coefficient(name: str, printed: str) -> float:
    found = re.search(rf"^{re.escape(name)} +(\S+)", printed, re.MULTILINE)
    assert found is not None, printed
    return float(found[1])


def test_what_r_writes_is_trained_without_its_row_names(descend: Command, folder: Path) -> None:
    rows = "".join(f'"{i}",{150 + i},{50 + 2 * i}.5\n' for i in range(1, 9))
    (folder / "r.csv").write_text(f'"height","mass"\n{rows}')

    ended = descend("train", "r.csv", "--target", "mass", "--optimizer", "exact")

    assert ended.code == 0, ended.err
    assert "! column 'unnamed_1' is left out of the features" in ended.out
    assert coefficient("height", ended.out) == pytest.approx(2)
    assert not re.search(r"^unnamed_1 ", ended.out, re.MULTILINE)


def test_a_column_whose_name_has_a_comma_is_named_in_every_option(
    descend: Command, folder: Path
) -> None:
    rows = "".join(f"{i};$1.{i:03};{i}.5;{3 * i}\n" for i in range(1, 9))
    (folder / "odd.csv").write_text(f"a, b;rent, all;c, d;y, z\n{rows}")
    reading = ("--strip", "rent, all:$", "--thousands", "rent, all:.", "--text", '"c, d"')
    columns = ("--target", '"y, z"', "--features", '"a, b"', "--weight", "rent, all")

    ended = descend("train", "odd.csv", *reading, *columns, "--optimizer", "exact")

    assert ended.code == 0, ended.err
    assert coefficient("a, b", ended.out) == pytest.approx(3)


def test_a_column_whose_name_has_a_comma_is_made_of_dates_or_excluded(
    descend: Command, folder: Path
) -> None:
    rows = "".join(f"2024-01-{i:02};{i},5;{i % 3};$?;{2 * i}\n" for i in range(1, 9))
    (folder / "odd.csv").write_text(f"day, sold;b, c;d;rent, all;y\n{rows}")
    reading = ("--dates", "day, sold:days", "--decimal", "b, c:,")
    columns = ("--target", "y", "--exclude", '"b, c","rent, all"', "--exclude", "d")

    ended = descend("train", "odd.csv", *reading, *columns, "--optimizer", "exact")

    assert ended.code == 0, ended.err
    assert "! the delimiter is ';', as its rows agree" in ended.err
    assert coefficient("day, sold [days since 2024-01-01]", ended.out) == pytest.approx(2)
    assert not re.search(r"^(b, c|d|rent, all) ", ended.out, re.MULTILINE)


def test_a_file_packed_with_zstd_is_trained_and_predicted(descend: Command, folder: Path) -> None:
    (folder / "cars.csv.zst").write_bytes(zstd.compress((folder / "cars.csv").read_bytes()))

    ended = descend("train", "cars.csv.zst", "--target", "mpg", "--optimizer", "exact", "--json")

    assert ended.code == 0, ended.err
    model = json.loads(ended.out)["model_id"]
    packed, plain = (descend("predict", model, f"cars.csv{end}").out for end in (".zst", ""))
    assert packed == plain != ""


def test_a_json_refusal_has_the_options_too(descend: Command) -> None:
    ended = descend("upload", "-", "--json", stdin=RENTS)

    error = json.loads(ended.err)["error"]
    assert [one["column"] for one in error["errors"]] == ["day", "rent"]
    assert error["errors"][1]["options"][0] == {"strip": ["rent:$"]}


def test_no_word_at_all_stands_for_a_missing_cell_where_none_is_given(descend: Command) -> None:
    ended = descend("upload", "-", "--json", "--null-values", "", stdin="code,b\nNA,1\nDE,2\n")

    column = json.loads(ended.out)["columns"][0]
    assert (column["sample"], column["missing"]) == (["NA", "DE"], 0)


def test_every_kind_of_option_reaches_the_job(descend: Command, client: Client) -> None:
    ended = descend(
        *("train", *CARS, "--features", "weight,hp", "--detach", "--json"),
        *("--max_epochs", "1e3", "--lr", "0.1", "--schedule", "cosine", "--no-fit-intercept"),
        *("--metadata", "owner=me", "--name", "7", "--seed", "3", "--validation", "0.25"),
        *("--batch-size", "4", "--no-shuffle"),
    )

    spec = client.job(json.loads(ended.out)["id"]).spec
    h = spec.hyperparameters
    assert (spec.name, spec.features, spec.metadata) == ("7", ["weight", "hp"], {"owner": "me"})
    assert (h.max_epochs, h.learning_rate, h.seed, h.validation_fraction) == (1000, 0.1, 3, 0.25)
    assert h.schedule is not None
    assert h.schedule.type == "cosine"
    assert (h.fit_intercept, h.batch_size, h.shuffle) == (False, 4, False)


def test_a_divergence_is_exit_code_1_with_bound_columns_and_commands_that_help(
    descend: Command,
) -> None:
    ended = descend("train", *DIVERGING)

    assert ended.code == 1
    assert re.search(r"bound +1\.193\de-07", ended.out)
    assert re.search(r"columns +weight$", ended.out, re.MULTILINE)
    remedies = re.findall(r"^    descend (train ds_\w+ .*)$", ended.out, re.MULTILINE)
    assert len(remedies) == 4
    assert "--standardize" in remedies[1]
    assert "--optimizer adam" in remedies[2]
    rate = re.search(r"Give --learning-rate ([\d.e-]+), or", ended.out)
    assert rate is not None
    assert f"--learning-rate {rate[1]} " in remedies[0]
    assert [descend(*one.split(), "--json").code for one in remedies] == [0, 0, 0, 0]


def test_a_divergence_shows_one_epoch_one_loss_and_no_figure_that_means_nothing(
    descend: Command,
) -> None:
    ended = descend("train", *DIVERGING)

    assert len(re.findall(r"\bepochs? \d|after \d+ epoch", ended.out + ended.err)) == 1
    assert len(re.findall(r"\bloss", ended.out + ended.err)) == 1
    assert "R²" not in ended.out


def test_a_refused_row_is_shown_from_the_file_and_never_from_standard_input(
    descend: Command, folder: Path
) -> None:
    lines = (folder / "cars.csv").read_text().splitlines()
    lines[5] = '2833,"nine\n ty",usa,22'
    (folder / "cars.csv").write_text("\n".join(lines))

    ended = descend("train", *CARS)
    piped = descend("train", "-", *CARS[1:], stdin="\n".join(lines))

    assert ended.code == piped.code == 2
    assert "is no finite number: row 5" in ended.words
    assert "--text hp" in ended.words
    assert 'row 5: 2833,"nine  ty",usa,22' in " ".join(ended.err.replace("\n", " ").split(" "))
    assert "nine" not in piped.err


def test_missing_cells_are_told_with_the_option_to_type(descend: Command, folder: Path) -> None:
    text = (folder / "cars.csv").read_text()
    (folder / "cars.csv").write_text(text.replace("2372,95", "2372,"))

    refused = descend("train", *CARS, "--missing", "error")
    planned = descend("plan", *CARS)

    assert "column 'hp' has 1 missing cell: give --missing drop" in refused.words
    assert "To go on, add: --missing drop or: --missing mean" in refused.words
    assert "1 of 12 rows has missing cells and is left out" in planned.words


def test_what_is_left_out_by_default_is_said_with_the_result(
    descend: Command, folder: Path, client: Client
) -> None:
    lines = (folder / "cars.csv").read_text().splitlines()
    names = ["model,sold", *(f"m{i},2024-0{1 + i % 9}-01" for i in range(len(lines) - 1))]
    table = [f"{a},{b}" for a, b in zip(lines, names, strict=True)]
    (folder / "cars.csv").write_text("\n".join([*table, *table[1:]]))
    ending = ("--optimizer", "exact", "--exclude", "sold")

    ended = descend("train", *CARS, *ending)
    run = client.train(folder / "cars.csv", target="mpg", optimizer="exact", exclude=["sold"])
    job = run.wait().job

    assert ended.code == 0, ended.err
    assert "sold" not in ended.out
    assert job.spec.missing == "drop"
    assert "sold" not in run.model.features


def test_text_of_too_many_levels_is_left_out_in_python_and_in_the_shell_alike(
    descend: Command, folder: Path, client: Client
) -> None:
    rows = "".join(f"n{i},{i % 7},{'' if i == 3 else i}\n" for i in range(30))
    (folder / "named.csv").write_text(f"name,a,y\n{rows}")
    said = [
        "column 'name' is left out of the features: text of too many levels",
        "1 of 30 rows has missing cells and is left out",
    ]

    ended = descend("train", "named.csv", "--target", "y", "--optimizer", "exact", "--json")
    run = client.train(folder / "named.csv", target="y", optimizer="exact").wait()
    plan = client.plan(folder / "named.csv", target="y", optimizer="exact")

    assert (
        json.loads(ended.out)["warnings"][:2] == run.job.warnings[:2] == plan.warnings[:2] == said
    )


def test_a_column_that_no_option_names_need_not_be_readable(descend: Command, folder: Path) -> None:
    (folder / "rents.csv").write_text(RENTS.replace("area", '"a, b"'))

    ended = descend("train", "rents.csv", "--target", '"a, b"', "--exclude", "rent,day", "--json")
    trained = descend(
        "train", "rents.csv", "--target", '"a, b"', "--features", "rent", "--strip", "rent:$"
    )

    assert "no column is left to be a feature" in ended.err
    assert trained.code == 0, trained.err


def test_the_columns_to_predict_are_told_with_the_likeliest(descend: Command, folder: Path) -> None:
    (folder / "sales.csv").write_text(
        "id,sales,year\n" + "".join(f"{i},{i}.5,2020\n{i},7,2021\n" for i in range(5))
    )

    ended = descend("train", "sales.csv")

    assert "name the column to predict (--target sales?): id, sales, year" in ended.words


def test_a_narrow_list_shortens_ids_that_can_be_typed_again(descend: Command, server: str) -> None:
    job_id = str(trained(descend, "--name", "a name that is far too long for a narrow table")["id"])
    env = {"DESCEND_URL": server, "COLUMNS": "80", "LANG": "C.UTF-8", "PYTHONUTF8": "1"}

    table = subprocess.run(
        [PROGRAM, "jobs"], env=environment(**env), capture_output=True, text=True, check=True
    ).stdout

    first = table.splitlines()[2]
    short = first.split()[0]
    assert short.startswith(job_id[:8])
    assert "succeeded" in first
    assert max(map(len, table.splitlines())) <= 80
    for words in (short, short.replace("…", ".."), job_id[:-3]):
        assert json.loads(descend("show", words, "--json").out)["id"] == job_id
    assert descend("summary", short, "--json").code == 0
    assert descend("show", "job_ffffffff").code == 2


def test_a_failed_job_is_json_too(descend: Command) -> None:
    ended = descend("train", *DIVERGING, "--json")

    job = json.loads(ended.out)
    assert ended.code == 1
    assert job["error"]["detail"]["columns"] == ["weight"]


def test_a_refusal_of_the_server_names_the_option_and_what_there_is(descend: Command) -> None:
    ended = descend("train", "cars.csv", "--target", "miles")

    assert (ended.code, ended.out) == (2, "")
    assert "--target: there is no column 'miles'; the dataset has weight" in ended.words


def test_without_a_target_the_columns_are_told(descend: Command) -> None:
    ended = descend("train", "cars.csv")

    assert ended.code == 2
    assert "name the column to predict (--target mpg?): weight, hp, mpg" in ended.words


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "cars.csv", "--target", "nope"),
        ("train", "cars.csv"),
        ("train", *CARS, "--validation-dataset", f"ds_{0:032}"),
        ("plan", *CARS),
        ("plan", "cars.csv", "--target", "nope"),
    ],
)
def test_what_trains_nothing_leaves_no_data_set(
    descend: Command, client: Client, arguments: tuple[str, ...]
) -> None:
    before = {dataset.id for dataset in client.datasets()}

    descend(*arguments)

    assert {dataset.id for dataset in client.datasets()} == before


def test_a_data_set_that_was_there_before_outlives_a_refusal(
    descend: Command, client: Client
) -> None:
    dataset = json.loads(descend("upload", "cars.csv", "--json").out)["id"]

    ended = [descend(verb, dataset, "--target", "nope").code for verb in ("train", "plan")]

    assert ended == [2, 2]
    assert client.dataset(dataset).n_rows == 12


def test_a_plan_tells_rate_bound_and_epochs(descend: Command) -> None:
    plain = descend("plan", *CARS, "--lr", "0.1")
    told = descend("plan", *CARS, "--lr", "0.1", "--json")

    assert plain.code == 0, plain.err
    assert re.search(r"^bound +0\.3323\d$", plain.out, re.MULTILINE)
    assert json.loads(told.out)["stability_bound"] == pytest.approx(0.33235, rel=1e-4)


def test_a_plan_is_shown_with_the_command_that_plans_again(descend: Command) -> None:
    dataset = json.loads(descend("upload", "cars.csv", "--json").out)["id"]
    descend("plan", dataset, *CARS[1:], "--lr", "0.1")
    listed = json.loads(descend("jobs", "--kind", "plan", "--limit", "1", "--json").out)

    shown = descend("show", listed["data"][0]["id"])

    again = re.search(r"^  descend (plan ds_\w+ .*)$", shown.out, re.MULTILINE)
    assert again is not None
    assert descend(*again[1].split()).code == 0


def test_a_detached_job_is_watched_shown_and_cancelled(descend: Command, client: Client) -> None:
    job_id = descend("train", *ENDLESS, "--detach").out.strip()
    until(lambda: client.job(job_id).state is JobState.RUNNING, what="it runs")

    listed = descend("jobs", "--state", "running", "--json")
    cancelled = descend("cancel", job_id)
    watched = descend("watch", job_id)

    assert job_id in [job["id"] for job in json.loads(listed.out)["data"]]
    assert cancelled.code == 0
    assert watched.code == 1
    assert f"{job_id} cancelled" in watched.out
    assert descend("show", job_id, "--json").code == 0


def test_a_job_is_run_again_as_a_new_one(descend: Command, client: Client) -> None:
    job = trained(descend, "--seed", "5")

    again = json.loads(descend("retry", str(job["id"]), "--json").out)
    detached = descend("retry", str(job["id"]), "--detach").out.strip()

    assert again["id"] != job["id"]
    assert (again["state"], again["seed"]) == ("succeeded", 5)
    assert client.job(detached).spec.targets == ["mpg"]


def test_a_diverged_job_is_run_again_with_another_rate(descend: Command) -> None:
    diverged = json.loads(descend("train", *DIVERGING, "--json").out)

    again = descend("retry", diverged["id"], "--lr", "auto", "--epochs", "7", "--json")

    spec = json.loads(again.out)["spec"]["hyperparameters"]
    assert again.code == 0, again.err
    assert (spec["learning_rate"], spec["max_epochs"], spec["standardize"]) == ("auto", 7, False)


def test_a_job_that_is_not_there_is_exit_code_2(descend: Command) -> None:
    ended = descend("show", "job_" + "0" * 32)

    assert ended.code == 2
    assert "descend jobs" in ended.err


def test_jobs_are_found_by_name_and_metadata(descend: Command) -> None:
    job_id = trained(descend, "--name", "found by name", "--metadata", "team=cli")["id"]

    by_name = descend("jobs", "--name", "found by", "--json")
    by_pair = descend("jobs", "--metadata", "team=cli", "--json")
    table = descend("jobs", "--limit", "1")

    assert [job["id"] for job in json.loads(by_name.out)["data"]] == [job_id]
    assert [job["id"] for job in json.loads(by_pair.out)["data"]] == [job_id]
    assert str(job_id) in table.out


def test_the_history_is_a_table_a_plot_csv_or_json(descend: Command) -> None:
    job_id = str(trained(descend, "--epochs", "300", "--tol", "0", "--lr", "0.1")["id"])

    rows = list(csv.DictReader(io.StringIO(descend("history", job_id, "--csv").out)))
    told = json.loads(descend("history", job_id, "--json").out)
    plot = descend("history", job_id, "--plot").out
    table = descend("history", job_id).out

    assert [int(row["epoch"]) for row in rows] == list(range(300))
    assert [float(row["train_loss"]) for row in rows] == told["train_loss"]
    assert rows[0]["eval_loss"] == ""
    assert re.search("[⠁-⣿]{5}", plot)
    assert re.search(r"epoch 0 +299$", plot, re.MULTILINE)
    assert len(table.splitlines()) == 22


def test_a_model_predicts_a_file_and_standard_input_alike(
    descend: Command, client: Client, folder: Path
) -> None:
    job = trained(descend, "--optimizer", "exact")
    table = (folder / "cars.csv").read_text()

    of_file = descend("predict", str(job["id"]), "cars.csv")
    of_stdin = descend("predict", str(job["model_id"]), "-", stdin=table)
    told = descend("predict", str(job["model_id"]), "cars.csv", "--json")
    written = descend("predict", str(job["model_id"]), "cars.csv", "-o", "mpg.csv")

    rows = [row | {"weight": float(row["weight"]), "hp": float(row["hp"])} for row in _rows(table)]
    model = client.model(str(job["model_id"]))
    X = model.encode([{k: row[k] for k in ("weight", "hp", "origin")} for row in rows])
    expected = model.predict(X).tolist()
    assert of_file.out == of_stdin.out == (folder / "mpg.csv").read_text()
    assert [[float(row["mpg"])] for row in _rows(of_file.out)] == expected
    assert json.loads(told.out)["y"] == expected
    assert (written.code, written.out) == (0, "")


@pytest.mark.parametrize("name", ["cars.csv.gz", "cars.parquet", "cars.arrow", "cars.npy.gz"])
def test_a_model_predicts_files_of_other_kinds(descend: Command, folder: Path, name: str) -> None:
    job_id = str(trained(descend, "--features", "weight,hp", "--optimizer", "exact")["id"])
    frame = polars.read_csv(folder / "cars.csv")
    path = folder / name
    numbers = io.BytesIO()
    np.save(numbers, frame.select("weight", "hp").to_numpy().astype(float))
    {
        "cars.csv.gz": lambda: path.write_bytes(gzip.compress((folder / "cars.csv").read_bytes())),
        "cars.parquet": lambda: frame.write_parquet(path),
        "cars.arrow": lambda: frame.write_ipc(path),
        "cars.npy.gz": lambda: path.write_bytes(gzip.compress(numbers.getvalue())),
    }[name]()

    plain, other = descend("predict", job_id, "cars.csv"), descend("predict", job_id, name)

    assert other.code == 0, other.err
    assert other.out == plain.out


def test_predictions_come_with_the_ends_of_their_intervals(descend: Command) -> None:
    job = trained(descend, "--optimizer", "exact")

    told = descend("predict", str(job["id"]), "cars.csv", "--interval", "0.9", "--json")
    table = descend("predict", str(job["id"]), "cars.csv", "--interval", "0.9")

    answer, rows = json.loads(told.out), _rows(table.out)
    assert list(rows[0]) == ["mpg", "mpg_low", "mpg_high"]
    assert [[float(row["mpg_low"])] for row in rows] == answer["interval"]["low"]
    assert all(float(row["mpg_low"]) < float(row["mpg"]) < float(row["mpg_high"]) for row in rows)


def test_a_model_is_written_to_a_file(descend: Command, folder: Path) -> None:
    job = trained(descend, "--optimizer", "exact")

    ended = descend("export", str(job["id"]), "-o", "mpg.npz")
    unknown = descend("export", str(job["id"]), "-o", "mpg.pickle")

    assert ended.code == 0, ended.err
    assert np.load(folder / "mpg.npz")["coef"].shape == (1, 4)
    assert unknown.code == 2
    assert ".safetensors" in unknown.err


def test_a_graph_is_written_for_unseen_levels_as_asked(
    descend: Command, client: Client, folder: Path
) -> None:
    job = trained(descend, "--optimizer", "exact")

    ended = descend("export", str(job["id"]), "-o", "mpg.onnx", "--unseen", "base")
    refused = descend("export", str(job["id"]), "-o", "mpg.npz", "--unseen", "base")

    assert ended.code == 0, ended.err
    wanted = client.export(str(job["model_id"]), folder / "wanted.onnx", unseen="base")
    assert (folder / "mpg.onnx").read_bytes() == wanted.read_bytes()
    assert refused.code == 2
    assert "--unseen: only an onnx file encodes" in refused.words


def _rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("weight,hp\n1,2\n", "there is no column 'origin'"),
        (
            "weight,hp,origin\n1,2,usa\n1,x,usa\n",
            "column 'hp' must be float64, and 1 of its cells is not: row 2",
        ),
        ("weight,hp,origin\n1,2,usa\n1,2,mars\n", "row 2: "),
    ],
)
def test_rows_that_cannot_be_predicted_are_named(descend: Command, table: str, words: str) -> None:
    job = trained(descend, "--optimizer", "exact")

    ended = descend("predict", str(job["id"]), "-", "-o", "y.csv", stdin=table)

    assert ended.code == 2
    assert words in ended.words


def test_a_level_that_is_none_is_refused_by_its_option(descend: Command) -> None:
    job_id = str(trained(descend, "--optimizer", "exact")["id"])

    summed = descend("summary", job_id, "--level", "1")
    predicted = descend("predict", job_id, "cars.csv", "--interval", "1")

    assert (summed.code, predicted.code) == (2, 2)
    assert "--level: Input should be less than 1" in summed.words
    assert "--interval: Input should be less than 1" in predicted.words


def test_a_summary_says_why_there_are_no_standard_errors(descend: Command) -> None:
    job = trained(descend, "--epochs", "3", "--tol", "0", "--lr", "0.01")

    ended = descend("summary", str(job["id"]))

    assert ended.code == 0
    assert "No standard errors: training stopped before" in ended.words


def test_everything_is_listed_and_deleted_by_its_id(descend: Command) -> None:
    job = trained(descend)
    ids = [str(job[key]) for key in ("model_id", "id", "dataset_id")]

    before = descend("models").out + descend("jobs").out + descend("datasets").out
    deleted = descend("delete", *ids)
    after = descend("models").out + descend("jobs").out + descend("datasets").out

    assert [one in before for one in ids] == [True] * 3
    assert deleted.code == 0, deleted.err
    assert [one in after for one in ids] == [False] * 3


def test_status_and_limits_are_told(descend: Command, server: str) -> None:
    told = json.loads(descend("status", "--json").out)
    assert (told["url"], told["status"]) == (server, "ready")
    assert set(told["parts"]) == {"database", "broker", "workers", "storage"}
    assert "workers ok" in descend("status").words
    assert json.loads(descend("limits", "--json").out)["columns"] == 10_000


def on_a_terminal(server: str, folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Run a command on a pseudo-terminal of 100 columns; return its exit code and all it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        more = {"DESCEND_URL": server, "COLUMNS": "100", "TERM": "xterm", "LANG": "C.UTF-8"}
        os.execve(PROGRAM, [PROGRAM, *arguments], environment(**more, **env))  # noqa: S606
    written = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        written += part
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written.decode()


def test_on_a_terminal_there_is_a_bar_with_the_losses_sparkline(server: str, folder: Path) -> None:
    options = ("--epochs", "80000", "--tol", "0", "--lr", "0.001")

    code, written = on_a_terminal(server, folder, "train", *CARS, *options)

    plain = ESCAPES.sub("", written)
    assert code == 0
    assert re.search(r"running ━+.* \d+/80000 +loss \d+\.?\d* +[▁▂▃▄▅▆▇█]+", plain)
    assert re.search(
        r"succeeded \(converged\) ━+ +80000/80000 +loss [\d.]+ +█[▁▂▃▄▅▆▇█]{23}", plain
    )
    assert "\x1b[36m" in written


def test_no_color_takes_the_colours_away(server: str, folder: Path) -> None:
    code, written = on_a_terminal(server, folder, "train", *CARS, NO_COLOR="1")

    assert code == 0
    assert re.findall(r"\x1b\[(?:[0-9;]*;)?3\dm", written) == []


def test_an_interrupted_training_goes_on_and_says_how_to_watch_it(
    server: str, folder: Path, client: Client
) -> None:
    process = subprocess.Popen(
        [PROGRAM, "train", *ENDLESS],
        cwd=folder,
        env=environment(DESCEND_URL=server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    job_id = first.split()[0]

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert f"descend watch {job_id}" in err
    assert f"descend cancel {job_id}" in err
    assert not client.job(job_id).state.is_terminal
    client.cancel(job_id)


def test_a_reader_that_goes_away_ends_the_command_quietly(descend: Command, server: str) -> None:
    job_id = trained(descend, "--epochs", "20000", "--tol", "0", "--lr", "0.001")["id"]

    answer = subprocess.run(
        ["bash", "-c", f"{PROGRAM} history {job_id} --csv | head -1"],
        env=environment(DESCEND_URL=server),
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.startswith("epoch,train_loss")
    assert answer.stderr == ""
