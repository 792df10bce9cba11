"""What a job's spec names by id: a dataset to validate on, a job to start from."""

from descend.datasets import Dataset
from descend.errors import InvalidInput, JobNotFound
from descend.hyperparameters import InitialWeights
from descend.jobs import JobSpec
from service.admission import Admission, admit_validation
from storage.database import Transaction

__all__ = ["initial_weights", "validation_dataset"]


def validation_dataset(
    spec: JobSpec, dataset: Dataset, columns: Admission, tx: Transaction
) -> Dataset | None:
    """Find the dataset to validate on, and check that it has the job's columns.

    Raises:
        DatasetNotFound: when there is none with its id.
        InvalidInput: names the column that does not fit.
    """
    named = spec.hyperparameters.validation_dataset
    if named is None:
        return None
    validation = tx.datasets.get(named)
    admit_validation(spec, validation, dataset=dataset, columns=columns)
    return validation


def initial_weights(spec: JobSpec, columns: Admission, tx: Transaction) -> InitialWeights | None:
    """Read the weights of the job to start from; they are matched by the names of the features.

    Raises:
        InvalidInput: when there is no such job, it has no model, or it has other targets.
    """
    init = spec.hyperparameters.init
    if not isinstance(init, str) or not init.startswith("job_"):
        return None
    param = "hyperparameters.init"
    try:
        job = tx.jobs.get(init)
    except JobNotFound as error:
        raise InvalidInput(f"there is no job {init}", param=param) from error
    if job.model_id is None:
        raise InvalidInput(f"job {init} is {job.state}: it has no weights", param=param)
    model = tx.models.get(job.model_id)
    if list(columns.targets) != model.targets:
        raise InvalidInput(f"job {init} was trained on other targets", param=param)
    intercept = model.intercept if spec.hyperparameters.fit_intercept else None
    return InitialWeights(coef=model.coef, intercept=intercept, features=model.features)
