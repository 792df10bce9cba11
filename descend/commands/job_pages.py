"""Jobs on a terminal: the list, one job, its figures, and a failure explained."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from descend.charts import number
from descend.commands.options import command_line
from descend.commands.tables import FAILED, ago, known, pairs, table_of, warnings_of
from descend.jobs import Job, JobSpec, JobState, Metrics

__all__ = ["failure", "job_page", "jobs_table", "outcome", "state_text"]

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


def jobs_table(jobs: Iterable[Job], *, wide: bool) -> Table:
    more = ("R²", "data", "when") if wide else ()
    right = ("epochs", "loss", "R²")
    table = table_of("job", "state", "epochs", "loss", "name", *more, right=right, whole=("job",))
    for job in jobs:
        reached = job.metrics or Metrics(n_samples=0, epochs=job.progress.epoch)
        cells = (number(reached.r2), job.dataset_id, ago(job.created_at))
        table.add_row(
            Text(job.id, style="bold"),
            Text(job.state, style=STYLES.get(job.state, FAILED)),
            f"{job.progress.epoch}/{job.progress.max_epochs}",
            number(reached.train_loss),
            Text(job.name or ""),
            *(cells if wide else ()),
        )
    return table


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
                ("epochs", f"{job.progress.epoch} of {job.progress.max_epochs}"),
                ("queue", f"number {job.queue_position} in line" if job.queue_position else None),
                ("created", f"{job.created_at:%Y-%m-%d %H:%M:%S} UTC"),
                ("took", _took(job)),
                ("engine", job.engine and f"{job.engine} on {job.device}"),
                ("model", job.model_id),
            ]
        ),
        *_resolved(job),
        *outcome(job),
        Text("\nThe same again:", style="dim"),
        Text(f"  {command_line(_named(job), changes={})}"),
    )


def outcome(job: Job) -> list[RenderableType]:
    """What came of a job that has ended: figures, warnings, and the failure explained."""
    told: list[RenderableType] = []
    if job.metrics is not None:
        told.append(_figures(job.metrics))
    told += warnings_of(job.warnings)
    if job.error is not None:
        told += failure(job)
    return told


def failure(job: Job) -> list[RenderableType]:
    """Why it failed: message, bound and columns, remedies, and these as commands to type."""
    error = job.error
    if error is None:
        return []
    facts = {name: error.detail.get(name) for name in ("learning_rate", "bound", "best_rate")}
    rates = [(name, number(value)) for name, value in facts.items() if isinstance(value, float)]
    columns, remedies = error.detail.get("columns"), error.detail.get("remedies")
    if isinstance(columns, list):
        rates.append(("columns", ", ".join(str(one) for one in columns)))
    told: list[RenderableType] = [Text(f"\n{error.code}: {error.message}", style="red")]
    if rates:
        told += [Text("\n").append_text(pairs(rates, indent=2))]
    if isinstance(remedies, list) and remedies:
        told += [Text("\nWhat helps:"), *(Text(f"  • {remedy}") for remedy in remedies)]
    if commands := _remedies(job):
        told += [Text("\nTo type:"), *(Text(f"  {line}", style="bold") for line in commands)]
    return told


def _remedies(job: Job) -> list[str]:
    """Commands that train the same without what made it diverge."""
    error, asked = job.error, job.spec.hyperparameters
    if error is None or error.code != "diverged" or asked.optimizer == "lbfgs":
        return []
    changes: list[dict[str, object]] = [{"learning_rate": "auto"}]
    if not asked.standardize:
        changes.append({"standardize": True, "learning_rate": "auto"})
    if asked.optimizer == "sgd" and asked.loss == "squared" and asked.batch_size is None:
        changes.append({"optimizer": "exact", **dict.fromkeys(_OF_STEPS)})
    return [command_line(_named(job), changes=change) for change in changes]


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
    gap = None if metrics.gap is None else f"{number(metrics.gap)} above the lowest possible"
    return pairs(
        [
            ("train loss", number(metrics.train_loss)),
            ("eval loss", known(metrics.eval_loss)),
            ("objective", gap),
            ("R²", known(metrics.r2)),
            ("rows", f"{metrics.n_samples}"),
        ]
    )


def _took(job: Job) -> str | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return f"{(job.finished_at - job.started_at).total_seconds():.2f} s"
