"""What `make demo` shows: start everything, train on three data sets, show what came out, stop.

(a) the lesson: y = 2x through a thousand epochs of plain gradient descent, inline X and y;
(b) Longley's 16 years of US employment, the classic stress test of regression software,
    uploaded as a CSV file and compared with the certified coefficients;
(c) 442 diabetes patients (Efron, Hastie, Johnstone and Tibshirani: Least Angle Regression, 2004),
    sent as named JSON columns.
"""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from descend import Client, Hyperparameters, JobSpec
from descend.client import Run
from descend.counts import counted
from descend.datasets import InlineColumns
from descend.history import History

HERE = Path(__file__).parent
COLOURS = ("#2563eb", "#c2410c", "#0f766e")
# NIST StRD, Longley: certified values, columns in the order of the file.
CERTIFIED = (
    15.0618722713733,
    -0.0358191792925910,
    -2.02022980381683,
    -1.03322686717359,
    -0.0511041056535807,
    1829.15146461355,
)
console = Console(highlight=False)


@contextmanager
def embedded_stack(data: Path) -> Iterator[str]:
    """Run `descend up` on a free port for the length of a block."""
    command = [sys.executable, "-m", "descend.cli", "up", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        ready = re.search(r"http://\S+", process.stdout.readline())
        if ready is None:
            raise SystemExit(f"the stack did not start; its logs are in {data / 'logs'}")
        yield ready.group()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


def submit_all(client: Client) -> list[Run]:
    lesson = client.train(
        [[1.0], [2.0], [3.0]],
        [[2.0], [4.0], [6.0]],
        name="The lesson: y = 2x",
        optimizer="sgd",
        learning_rate=0.01,
        max_epochs=1000,
        standardize=False,
        init="torch",
        dtype="float32",
        seed=0,
        tol=0,
    )
    longley = client.train(
        dataset=client.upload(HERE / "data" / "longley.csv"),
        target="employed",
        name="Longley: US employment 1947-62",
        optimizer="sgd",
        momentum=0.985,
        nesterov=True,
        max_epochs=8000,
        tol=0,
        patience=50,
    )
    patients = np.genfromtxt(HERE / "data" / "diabetes.csv", delimiter=",", names=True)
    diabetes = client.submit(
        JobSpec(
            dataset=InlineColumns(
                columns={name: patients[name].tolist() for name in patients.dtype.names}
            ),
            target="progression",
            name="Diabetes: progression after a year",
            hyperparameters=Hyperparameters(max_epochs=20000, momentum=0.9),
        )
    )
    return [lesson, longley, diabetes]


def watch(runs: list[Run]) -> None:
    """Draw a bar per job until all have ended."""
    bars = Progress(
        # Together they fit into 80 characters: nothing is cut off.
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=6, complete_style="blue", finished_style="blue"),
        MofNCompleteColumn(),
        TextColumn("[dim]{task.fields[state]:<10}"),
        TimeElapsedColumn(),
        console=console,
    )
    with bars:
        names = [run.job.name or run.id for run in runs]
        tasks = [bars.add_task(name, total=None, state="queued") for name in names]
        while not all(run.state.is_terminal for run in runs):
            for run, task in zip(runs, tasks, strict=True):
                show(bars, task, run.refresh(wait_seconds=0.05) and run)
        for run, task in zip(runs, tasks, strict=True):
            show(bars, task, run)


def show(bars: Progress, task: int, run: Run) -> None:
    job = run.job
    total = job.progress.epoch if job.state.is_terminal else job.progress.max_epochs
    reason = job.stop_reason or job.state
    bars.update(task, completed=job.progress.epoch, total=max(total, 1), state=str(reason))


def chart(history: History, colour: str, *, width: int = 62, height: int = 6) -> Text:
    """Draw the loss with block characters, eight levels to a line; both scales logarithmic."""
    places = np.geomspace(1, len(history), width).round().astype(int) - 1
    losses = np.log10(np.maximum(history.train_loss[places], 1e-300))
    low, high = losses.min(), losses.max()
    levels = (losses - low) / max(high - low, 1e-12) * (8 * height - 1) + 1
    text = Text()
    for line in reversed(range(height)):
        mark = {height - 1: plain(10**high), 0: plain(10**low)}.get(line, "")
        cells = "".join(" ▁▂▃▄▅▆▇█"[int(np.clip(level - 8 * line, 0, 8))] for level in levels)
        text.append(f"{mark:>12} │", style="dim").append(cells + "\n", style=colour)
    last = f"epoch {len(history):,}"
    text.append(f"{'':>12} └{'─' * width}\n{'':>14}1{last:>{width - 1}}", style="dim")
    return text


def weights(run: Run) -> Table:
    model = run.model
    certified = CERTIFIED if "Longley" in (run.job.name or "") else ()
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("weight of")
    table.add_column("trained", justify="right")
    if certified:
        table.add_column("certified", justify="right", style="dim")
    for place, (name, value) in enumerate(zip(model.features, model.coef[0], strict=True)):
        table.add_row(name, f"{value:.8g}", *[f"{value:.8g}" for value in certified[place:][:1]])
    table.add_row("(intercept)", f"{model.intercept[0]:.8g}")
    return table


def report(run: Run, colour: str) -> None:
    """Print what came of a job."""
    job = run.job
    if job.error is not None:
        raise SystemExit(f"{job.name}: {job.error.message}")
    history, metrics = run.history, job.metrics
    after = counted(metrics.epochs, "epoch")
    facts = f"loss {metrics.train_loss:.6g} after {after} ({job.stop_reason})"
    if metrics.r2 is not None:
        facts += f", R² {metrics.r2:.4f}"
    parts: list[Text | Table] = [chart(history, colour), Text(), weights(run), Text(facts)]
    if len(run.model.features) == 1:
        predicted = run.model.predict([[4.0]])[0, 0]
        parts.append(Text(f"prediction at x = 4: {predicted:.4f}", style="bold"))
    title = f"[bold]{job.name}[/]"
    if job.spec.hyperparameters.init == "torch":  # README's begins at zeros, in float64
        title += "[dim], from nn.Linear's first weights, in float32[/]"
    console.print(Panel(Group(*parts), title=title, title_align="left", border_style="dim"))


def plain(value: float) -> str:
    """Write a loss for people: 0.00165, 52,277, 42 million."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:,.3g} {word}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    began = time.monotonic()
    console.print("Starting Descend: a database, a broker, the API and a worker", style="dim")
    data = Path(tempfile.mkdtemp(prefix="descend-demo-"))
    with embedded_stack(data) as url:
        ready = time.monotonic()
        console.print(f"Descend is ready at {url} [dim]({ready - began:.1f} s)[/]\n")
        with Client(url) as client:
            runs = submit_all(client)
            watch(runs)
            trained = time.monotonic()
            console.print()
            for run, colour in zip(runs, COLOURS, strict=True):
                report(run, colour)
    shutil.rmtree(data)
    stopped = time.monotonic()
    console.print(
        f"\nEverything is stopped. [dim]Start {ready - began:.1f} s, training"
        f" {trained - ready:.1f} s, reading back and stopping {stopped - trained:.1f} s.[/]"
        "\n`make up` serves the same until Ctrl-C, with curves in the browser."
    )


if __name__ == "__main__":
    main()
