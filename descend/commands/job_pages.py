"""Jobs on a terminal: the list, one job, its figures, and a failure explained."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from descend.charts import number
from descend.commands.options import command_line
from descend.commands.refusals import in_options
from descend.commands.short_ids import shortened
from descend.commands.tables import FAILED, ago, known, pairs, table_of, warnings_of
from descend.jobs import Job, JobKind, JobSpec, JobState, Metrics, StopReason

__all__ = ["failure", "job_page", "jobs_table", "outcome", "state_text"]

# The names of a list's columns; some only where there is room for them.
HEADS = ("job", "state", "name", "target", "epochs", "loss", "R²", "data", "when")
ONLY_WIDE = ("epochs", "data")
WIDE = 150
_GAP, _LEAST_NAME = 3, 4
# Rounding is all that is left of a loss that is this part of the target's variance.
_ROUNDING = 1e-14
STYLES = {
    JobState.QUEUED: "dim",
    JobState.RUNNING: "cyan",
    JobState.SUCCEEDED: "green",
    JobState.CANCELLED: "yellow",
}
# What `exact`, which takes no steps, refuses.
_OF_STEPS = (
    "learning_rate",
    "momentum",
    "nesterov",
    "schedule",
    "max_epochs",
    "tol",
    "patience",
    "target_gap",
    "init",
    "dtype",
)


def state_text(job: Job) -> Text:
    words = f"{job.state} ({job.stop_reason})" if job.stop_reason else str(job.state)
    return Text(words, style=STYLES.get(job.state, FAILED))


def jobs_table(jobs: Sequence[Job], *, width: int, unicode: bool) -> Table:
    """List jobs; where there is little room ids, names and targets are shortened, states never."""
    wide = width >= WIDE
    short = shortened([job.id for job in jobs], unicode=unicode)
    rows = [_row(job, job.id if wide else short[job.id], wide=wide) for job in jobs]
    heads = [name for name in HEADS if wide or name not in ONLY_WIDE]
    widest = [max(len(head), *(row[j].cell_len for row in rows)) for j, head in enumerate(heads)]
    room = width - _GAP * (len(heads) - 1) - sum(widest[:2]) - sum(widest[4:])
    each = max(_room_for(room, widest[2], widest[3]), _LEAST_NAME)
    table = table_of(*heads, right=("epochs", "loss", "R²"))
    for row in rows:
        for text in row[2:4]:
            text.truncate(each, overflow="ellipsis" if unicode else "crop")
        table.add_row(*row)
    return table


def _room_for(room: int, *widest: int) -> int:
    """Find the width to which the longer of two columns is cut so that both fit."""
    small = min(widest)
    return max(widest) if sum(widest) <= room else max(room // 2, room - small)


def _row(job: Job, job_id: str, *, wide: bool) -> list[Text]:
    reached = job.metrics or Metrics(n_samples=0, epochs=job.progress.epoch)
    diverged = _diverged(job)
    epochs = f"{job.progress.epoch}/{job.progress.max_epochs}"
    return [
        Text(job_id, style="bold"),
        Text(job.state, style=STYLES.get(job.state, FAILED)),
        Text(job.name or ""),
        Text(", ".join(job.spec.targets or [])),
        *([Text(epochs)] if wide else []),
        Text(number(None if diverged else reached.train_loss)),
        Text(number(None if diverged else reached.r2)),
        *([Text(job.dataset_id)] if wide else []),
        Text(ago(job.created_at)),
    ]


def job_page(job: Job) -> Group:
    """All that is worth knowing of one job."""
    return Group(
        pairs(
            [
                ("job", Text(job.id, style="bold")),
                ("state", state_text(job)),
                ("wish", job.intent),
                ("name", job.name),
                ("data", job.dataset_id),
                ("target", ", ".join(job.spec.targets or [])),
                ("epochs", _epochs(job)),
                ("queue", f"number {job.queue_position} in line" if job.queue_position else None),
                ("created", f"{job.created_at:%Y-%m-%d %H:%M:%S} UTC"),
                ("took", _took(job)),
                ("engine", job.engine and f"{job.engine} on {job.device}"),
                ("model", job.model_id),
            ]
        ),
        *_resolved(job),
        *outcome(job),
        *_again(job),
    )


def _epochs(job: Job) -> str | None:
    return None if _diverged(job) else f"{job.progress.epoch} of {job.progress.max_epochs}"


def outcome(job: Job) -> list[RenderableType]:
    """What came of a job that has ended: figures, warnings, and the failure explained."""
    told: list[RenderableType] = []
    if job.metrics is not None and not _diverged(job):
        told.append(_figures(job.metrics))
    told += warnings_of(job.warnings)
    if job.error is not None:
        told += failure(job)
    return told


def _diverged(job: Job) -> bool:
    """Whether its figures say nothing: the failure tells the epoch and the loss that matter."""
    return job.stop_reason is StopReason.DIVERGED


def failure(job: Job) -> list[RenderableType]:
    """Why it failed: message, bound and columns, and remedies, each with the command to type."""
    error = job.error
    if error is None:
        return []
    facts = {name: error.detail.get(name) for name in ("learning_rate", "bound", "best_rate")}
    told_facts = [
        (name.replace("_", " "), number(value))
        for name, value in facts.items()
        if isinstance(value, float)
    ]
    columns = error.detail.get("columns")
    if isinstance(columns, list):
        told_facts.append(("columns", ", ".join(str(one) for one in columns)))
    told: list[RenderableType] = [Text(f"\n{error.code}: {in_options(error.message)}", style="red")]
    if told_facts:
        told += [Text("\n").append_text(pairs(told_facts, indent=2))]
    if remedies := list(_remedies(job)):
        told += [Text("\nWhat helps:"), *remedies]
    return told


def _remedies(job: Job) -> Iterator[Text]:
    """What the service advises and what to type for it; the minimum itself, where that helps."""
    asked, detail = job.spec.hyperparameters, job.error.detail if job.error else {}
    remedies, changes = detail.get("remedies"), detail.get("changes")
    if not isinstance(remedies, list):
        return
    changes = changes if isinstance(changes, list) else []
    for remedy, change in zip_longest(remedies, changes[: len(remedies)]):
        yield Text(f"  • {in_options(str(remedy))}")
        if isinstance(change, dict) and change:
            yield _to_type(job, change)
    if asked.chosen == "sgd" and asked.loss == "squared" and asked.batch_size is None:
        yield Text("  • Solve for the minimum itself, without steps.")
        yield _to_type(job, {"optimizer": "exact", **dict.fromkeys(_OF_STEPS)})


def _to_type(job: Job, change: Mapping[str, object]) -> Text:
    return Text(f"    {command_line(_named(job), changes=change)}", style="bold")


def _again(job: Job) -> list[Text]:
    """The command that asks for the same; for some kinds of jobs there is none."""
    if job.kind not in {JobKind.TRAIN, JobKind.PLAN}:
        return []
    command = command_line(_named(job), verb=job.kind, changes={})
    return [Text("\nThe same again:", style="dim"), Text(f"  {command}")]


def _named(job: Job) -> JobSpec:
    """The spec by its data set's id, even where its data came with it."""
    return job.spec.model_copy(update={"dataset": job.dataset_id})


def _resolved(job: Job) -> list[RenderableType]:
    if not job.state.is_terminal:
        return []
    resolved = job.resolved_hyperparameters.model_dump(mode="json", exclude_defaults=True)
    chosen = {"optimizer": job.resolved_hyperparameters.optimizer, **resolved}
    return [
        Text(),
        pairs((name, str(value)) for name, value in chosen.items() if value is not None),
    ]


def _figures(metrics: Metrics) -> Text:
    return pairs(
        [
            ("train loss", number(metrics.train_loss)),
            ("eval loss", known(metrics.eval_loss)),
            ("objective", _height(metrics)),
            ("R²", known(metrics.r2)),
            ("rows", f"{metrics.n_samples}"),
        ]
    )


def _height(metrics: Metrics) -> str | None:
    """How far it is above the lowest possible, which may be zero: then no part of that is told."""
    if metrics.gap is None:
        return None
    if metrics.r2 is not None and 1 - metrics.r2 <= _ROUNDING:
        return "fits to rounding"
    return f"{number(metrics.gap)} above the lowest possible"


def _took(job: Job) -> str | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return f"{(job.finished_at - job.started_at).total_seconds():.2f} s"
