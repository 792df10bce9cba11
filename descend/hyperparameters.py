"""How to train: what a JobSpec's `hyperparameters` may hold, and what null stands for."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, model_validator

from descend.datasets import WHOLE, ColumnName, Matrix, Number, Vector, wrong_field
from descend.ids import ID_PATTERNS
from descend.limits import MAX_EPOCHS, MAX_LEARNING_RATE, MAX_TIMEOUT_SECONDS

__all__ = [
    "DatasetId",
    "Hyperparameters",
    "InitialWeights",
    "JobId",
    "Loss",
    "Optimizer",
    "Priority",
    "Schedule",
    "TimeoutSeconds",
    "refuse_not_built",
]

DatasetId = Annotated[str, StringConstraints(strict=True, pattern=ID_PATTERNS["ds"])]
JobId = Annotated[str, StringConstraints(strict=True, pattern=ID_PATTERNS["job"])]
Optimizer = Literal["auto", "sgd", "adam", "adamw", "lbfgs", "exact"]
Loss = Literal["squared", "huber", "absolute", "quantile"]
Betas = Annotated[list[Annotated[Number, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
Priority = Annotated[int, Field(strict=True, ge=0, le=9), WHOLE]
TimeoutSeconds = Annotated[int, Field(strict=True, ge=1, le=MAX_TIMEOUT_SECONDS), WHOLE]
Count = Annotated[int, Field(strict=True, ge=1, le=MAX_EPOCHS), WHOLE]
_FORBID = ConfigDict(frozen=True, extra="forbid")


class InitialWeights(BaseModel):
    """Weights to start from, in original units."""

    model_config = _FORBID

    coef: Matrix = Field(min_length=1, description="n_targets rows of n_features")
    intercept: Vector | None = Field(None, description="n_targets numbers; null for zeros")
    features: list[ColumnName] | None = Field(
        None, description="names of the columns of coef; null: in the job's own order"
    )


class Constant(BaseModel):
    """The same rate in every epoch."""

    model_config = _FORBID

    type: Literal["constant"] = "constant"


class Step(BaseModel):
    """rate * factor^(epoch // every)."""

    model_config = _FORBID

    type: Literal["step"]
    every: Count = Field(description="epochs between two steps")
    factor: Annotated[Number, Field(gt=0, le=1)] = 0.1


class Cosine(BaseModel):
    """rate * (floor + (1 - floor) (1 + cos(pi epoch / max_epochs)) / 2)."""

    model_config = _FORBID

    type: Literal["cosine"]
    floor: Annotated[Number, Field(ge=0, le=1)] = Field(0.0, description="part kept at the end")


class Inverse(BaseModel):
    """rate / (1 + decay * epoch)."""

    model_config = _FORBID

    type: Literal["inverse"]
    decay: Annotated[Number, Field(gt=0, le=1e6)] = 0.01


Schedule = Annotated[Constant | Step | Cosine | Inverse, Discriminator("type")]

# What only some optimizers read, with the value that null stands for.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "nesterov": False},
    "adam": {"betas": [0.9, 0.999], "eps": 1e-8},
    "adamw": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    "lbfgs": {"history_size": 10},
    "exact": {},
}
# What only some losses read.
_OF_LOSS: dict[str, dict[str, Any]] = {
    "squared": {},
    "huber": {"huber_delta": 1.0},
    "absolute": {},
    "quantile": {"quantile": 0.5},
}
# Losses whose gradient is as large near the minimum as far from it.
_KINKED = frozenset({"absolute", "quantile"})
# What an optimizer that takes no rate, or no steps, does not read: anything but these is refused.
_RATELESS: dict[str, tuple[Any, ...]] = {
    "learning_rate": ("auto", None),
    "schedule": (None,),
    "batch_size": (None,),
}
_STEPLESS: dict[str, tuple[Any, ...]] = {
    **_RATELESS,
    "max_epochs": (1000, 1),
    "tol": (1e-9, 0.0),
    "patience": (10,),
    "target_gap": (None,),
    "init": ("zeros",),
    "dtype": ("float64",),
}
_UNUSED = {"lbfgs": _RATELESS | {"l1": (0.0,)}, "exact": _STEPLESS}


def refuse_not_built(body: Any, names: frozenset[str]) -> Any:
    """Refuse by name what the contract has and this version has not; null is as good as absent."""
    if isinstance(body, dict):
        for name in sorted(names & body.keys()):
            if body[name] is not None:
                raise wrong_field(name, f"{name} is not available yet: leave it out")
    return {k: v for k, v in body.items() if k not in names} if isinstance(body, dict) else body


class Hyperparameters(BaseModel):
    """How to train. The defaults give a first job that converges."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"optimizer": "sgd", "learning_rate": 0.01, "max_epochs": 1000}]
        },
    )

    optimizer: Optimizer = Field(
        "auto",
        description="auto: sgd; under huber, absolute and quantile loss lbfgs, unless what only sgd"
        " reads is given (a rate, a schedule, a momentum, batch_size, l1). exact solves for the"
        " optimum instead of training",
    )
    learning_rate: Literal["auto"] | Annotated[Number, Field(gt=0, le=MAX_LEARNING_RATE)] | None = (
        Field(
            "auto",
            description="step size; auto takes it from the spectrum of the Hessian; lbfgs and exact"
            " have none",
        )
    )
    momentum: Annotated[Number, Field(ge=0, lt=1)] | None = Field(None, description="sgd: 0")
    nesterov: Annotated[bool, Field(strict=True)] | None = Field(None, description="sgd: false")
    betas: Betas | None = Field(
        None, description="adam, adamw: decay of the moments, 0.9 and 0.999"
    )
    eps: Annotated[Number, Field(gt=0, le=1)] | None = Field(None, description="adam, adamw: 1e-8")
    weight_decay: Annotated[Number, Field(ge=0, le=1e6)] | None = Field(
        None,
        description="adamw: 0.01; decoupled decay of the coefficients, no part of the objective",
    )
    history_size: Annotated[int, Field(strict=True, ge=1, le=100), WHOLE] | None = Field(
        None, description="lbfgs: 10 earlier steps make up its picture of the curvature"
    )
    schedule: Schedule | None = Field(
        None,
        description="how the rate falls; null: constant; with learning_rate auto under absolute and"
        " quantile loss, whose gradient does not fade: cosine",
    )
    max_epochs: Count = 1000
    batch_size: Annotated[int, Field(strict=True, ge=1, le=2**31), WHOLE] | None = Field(
        None, description="rows of one step; null: every epoch is one step on all rows"
    )
    shuffle: Annotated[bool, Field(strict=True)] | None = Field(
        None,
        description="with batch_size: true; rows in an order drawn by the seed, epoch by epoch",
    )
    loss: Loss = "squared"
    huber_delta: Annotated[Number, Field(gt=0, le=1e100)] | None = Field(
        None, description="huber: 1; residuals beyond it count linearly"
    )
    quantile: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None, description="quantile: 0.5, the median"
    )
    l1: Annotated[Number, Field(ge=0, le=1e100)] = Field(0.0, description="weight of sum |W|")
    l2: Annotated[Number, Field(ge=0, le=1e100)] = Field(0.0, description="weight of sum W^2")
    fit_intercept: Annotated[bool, Field(strict=True)] = True
    standardize: Annotated[bool, Field(strict=True)] = Field(
        True, description="train on columns of mean 0 and standard deviation 1"
    )
    init: Literal["zeros", "torch"] | JobId | InitialWeights = Field(
        "zeros",
        description="torch draws as nn.Linear does after torch.manual_seed(seed); a job's id"
        " starts from the weights it trained",
    )
    validation_fraction: Annotated[Number, Field(ge=0, le=0.9)] = Field(
        0.0, description="part of the rows held out, drawn by the seed, for eval_loss"
    )
    validation_dataset: DatasetId | None = Field(
        None, description="a dataset of the same columns, for eval_loss"
    )
    tol: Annotated[Number, Field(ge=0, lt=1)] = Field(
        1e-9,
        description="stop when the objective's relative change stays within tol for `patience`"
        " epochs; 0 never stops early",
    )
    patience: Count = 10
    target_gap: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None,
        description="stop when the objective is this near to its minimum, as a part of the first"
        " epoch's distance",
    )
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**53), WHOLE] | None = Field(
        None, description="null: one is drawn and returned"
    )
    dtype: Literal["float64", "float32"] = "float64"
    deterministic: Literal[True] = True

    @model_validator(mode="after")
    def _used(self) -> Self:
        optimizer = self.chosen
        _refuse_unused(self, _DEFAULTS, optimizer)
        _refuse_unused(self, _OF_LOSS, self.loss)
        for name, unset in _UNUSED.get(optimizer, {}).items():
            if getattr(self, name) not in unset:
                raise wrong_field(name, f"{name} is not used by {optimizer}: leave it out")
        if optimizer not in _UNUSED and self.learning_rate is None:
            raise wrong_field("learning_rate", 'give a number or "auto"')
        if optimizer == "exact":
            _refuse_unsolved(self)
        if self.nesterov and not self.momentum:
            raise wrong_field("nesterov", "nesterov needs a momentum above 0")
        return self

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.shuffle is not None and self.batch_size is None:
            raise wrong_field("shuffle", "without batch_size every epoch sees all rows at once")
        if self.validation_dataset is not None and self.validation_fraction > 0:
            raise wrong_field(
                "validation_dataset", "give validation_fraction or a dataset, not both"
            )
        if self.target_gap is not None and not self.has_certificate:
            raise wrong_field("target_gap", "the minimum is known for squared loss only: use tol")
        return self

    @property
    def has_certificate(self) -> bool:
        """Whether the objective's minimum can be computed, so that the gap to it is known."""
        return self.loss == "squared"

    @property
    def chosen(self) -> Optimizer:
        """What trains: the optimizer asked for, or what "auto" stands for.

        Under a loss whose slope is bounded a first-order step is too long near the minimum or too
        short far from it; L-BFGS on the loss made smooth (see workers.training.lbfgs) arrives
        whatever the units. What only sgd reads asks for sgd.
        """
        if self.optimizer != "auto":
            return self.optimizer
        of_sgd = (self.schedule, self.momentum, self.nesterov, self.batch_size)
        steps = self.learning_rate != "auto" or self.l1 > 0 or any(v is not None for v in of_sgd)
        return "sgd" if self.loss == "squared" or steps else "lbfgs"

    def resolved(self, seed: int) -> "Hyperparameters":
        """Fill in what null stood for; a rate of "auto" is resolved when the data is seen."""
        optimizer = self.chosen
        defaults = _DEFAULTS[optimizer] | _OF_LOSS[self.loss]
        if self.batch_size is not None:
            defaults = defaults | {"shuffle": True}
        if optimizer not in _UNUSED and self.learning_rate == "auto" and self.loss in _KINKED:
            defaults = defaults | {"schedule": Cosine(type="cosine")}
        filled = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        filled["optimizer"] = optimizer
        if optimizer in _UNUSED:
            filled["learning_rate"] = None
        if optimizer == "exact":
            filled["max_epochs"] = 1
        return self.model_copy(update={**filled, "seed": seed if self.seed is None else self.seed})


def _refuse_unsolved(h: Hyperparameters) -> None:
    """Refuse penalties under which no minimum can be proved."""
    if h.loss == "huber" and h.l1 > 0:
        raise wrong_field(
            "l1", "exact solves huber loss with l2, not with l1: use l2, or optimizer adam"
        )
    if h.loss in {"absolute", "quantile"} and h.l2 > 0:
        raise wrong_field(
            "l2",
            f"exact solves {h.loss} loss with l1, as a linear program, not with l2: use l1, or"
            " optimizer adam",
        )


def _refuse_unused(h: Hyperparameters, defaults: dict[str, dict[str, Any]], chosen: str) -> None:
    """Refuse what belongs to another optimizer or loss than the chosen one."""
    used = defaults[chosen]
    for name in sorted({name for names in defaults.values() for name in names} - used.keys()):
        if getattr(h, name) is not None:
            raise wrong_field(name, f"{name} is not used by {chosen}: leave it out")
