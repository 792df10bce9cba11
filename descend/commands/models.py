"""Models: list, summarise, predict, download."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Annotated, Literal, get_args

import typer
from rich.text import Text

from descend.commands import model_pages
from descend.commands.predictions import Asked, predicted
from descend.commands.reading import CSV, FORMAT, opened, source_of
from descend.commands.sessions import Session, registered
from descend.commands.short_ids import job_id_of
from descend.commands.writing import written
from descend.encoding import Unseen
from descend.errors import InvalidInput, JobFailed
from descend.limits import DEFAULT_LIST
from descend.models import LinearModel
from descend.statistics import Covariance

__all__ = ["add_to"]

ModelOrJob = Annotated[
    str, typer.Argument(metavar="MODEL|JOB", help="A model's id, or that of the job it came from.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it.")
]


Format = Literal["safetensors", "onnx", "npz", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
Dtype = Literal["float64", "float32"]


def add_to(app: typer.Typer) -> None:
    registered(app)(models)
    registered(app)(summary)
    # What is text is the model's to say here.
    registered(app, more=(FORMAT, *(one for one in CSV if one.name != "text")))(predict)
    registered(app)(export)


def models(
    session: Session,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = DEFAULT_LIST,
) -> None:
    """List models, newest first."""
    listed = list(islice(session.client.models(), limit))
    if session.as_json:
        session.show_json({"object": "list", "data": listed})
    elif listed:
        session.out.print(model_pages.models_table(listed, wide=session.wide))
    else:
        session.note("There is no model yet. The first one: descend train FILE --target COLUMN")


def summary(
    session: Session,
    model: ModelOrJob,
    *,
    level: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the intervals that hold.")
    ] = 0.95,
    covariance: Annotated[
        Covariance | None,
        typer.Option(
            help="Which errors: HC0 to HC3 hold where the variance is not the same; kernel, nid,"
            " robust, iid are of quantiles; sandwich, H1 to H3 of huber.",
            show_default="those of the loss",
        ),
    ] = None,
) -> None:
    """Show coefficients with standard errors, t, p and intervals; or why there are none."""
    model_id = _model_of(session, model)
    found = session.client.summary(model_id, level=level, covariance=covariance)
    if session.as_json:
        session.show_json(found)
    else:
        session.out.print(model_pages.summary_page(found))


def predict(
    session: Session,
    model: ModelOrJob,
    table: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-",
            help="CSV, NDJSON, JSON, npy, each also with .gz; Parquet, Arrow; - is standard input.",
        ),
    ],
    *,
    output: Output = None,
    interval: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Say too within which ends so many new rows lie: 0.95."),
    ] = None,
    unseen: Annotated[
        Unseen, typer.Option(help="A level that the model does not know: refused, or the base.")
    ] = "error",
    **given: object,
) -> None:
    """Predict the targets of a table's rows, as CSV; columns the model does not use are skipped."""
    source = source_of(table, dict(given))
    found = session.client.model(_model_of(session, model))
    names = found.targets
    if interval is not None:
        names = [f"{name}{end}" for end in ("", "_low", "_high") for name in found.targets]
    asked = Asked(source.csv_options, interval, unseen)
    with opened(source) as path:
        blocks = predicted(session.client, found, path, asked)
        if session.as_json:
            _show(session, _told(found, chain.from_iterable(blocks), interval), output)
        else:
            _write(names, blocks, output)


def export(
    session: Session,
    model: ModelOrJob,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Its suffix says the format.")
    ],
    form: Annotated[
        Format | None, typer.Option("--format", help="Where the suffix does not say it.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Of the file's numbers.")] = "float64",
    unseen: Annotated[
        Unseen,
        typer.Option(help="What ONNX makes of a level that the model does not know: NaN, or base."),
    ] = "error",
) -> None:
    """Write a model to a file that other tools load: safetensors, ONNX, npz, JSON."""
    suffix = output.suffix.removeprefix(".")
    chosen = form or next((one for one in FORMATS if one == suffix), None)
    if chosen is None:
        raise InvalidInput(f"name it .{', .'.join(FORMATS)}, or give --format")
    model_id = _model_of(session, model)
    written = session.client.export(model_id, output, format=chosen, dtype=dtype, unseen=unseen)
    if session.as_json:
        told = {"object": "file", "model_id": model_id, "format": chosen, "path": str(written)}
        session.show_json(told | {"bytes": written.stat().st_size})
    else:
        session.out.print(Text(f"{written}: {written.stat().st_size} bytes of {chosen}"))


def _told(
    model: LinearModel, rows: Iterable[list[float]], level: float | None
) -> dict[str, object]:
    """As the server answers: y and, where they were asked for, the ends of the intervals."""
    kept, n = list(rows), len(model.targets)
    told: dict[str, object] = {"object": "predictions", "model_id": model.id}
    told |= {"targets": model.targets, "y": [row[:n] for row in kept]}
    if level is not None:
        ends = {"low": [row[n : 2 * n] for row in kept], "high": [row[2 * n :] for row in kept]}
        told["interval"] = {"level": level, "kind": "prediction", **ends}
    return told


def _model_of(session: Session, words: str) -> str:
    if words.startswith("mdl_"):
        return words
    if not words.startswith("job_"):
        raise InvalidInput(f"{words!r} is no id of a model (mdl_…) or a job (job_…)")
    job = session.client.job(job_id_of(words, session.client.jobs))
    if job.model_id is None:
        raise JobFailed(f"{job.id} is {job.state}: it has no model")
    return job.model_id


def _show(session: Session, told: dict[str, object], output: Path | None) -> None:
    if output is None:
        session.show_json(told)
        return
    with written(output) as file:
        json.dump(told, file, indent=2, allow_nan=False)
        file.write("\n")


def _write(targets: list[str], blocks: Iterator[list[list[float]]], output: Path | None) -> None:
    first = next(blocks, [])  # what is refused is refused before anything is written
    if output is None:
        _write_rows(sys.stdout, targets, chain([first], blocks))
        return
    with written(output) as file:
        _write_rows(file, targets, chain([first], blocks))


def _write_rows(file: IO[str], targets: list[str], blocks: Iterable[list[list[float]]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(targets)
    for block in blocks:
        writer.writerows([repr(value) for value in row] for row in block)
