"""What a user of a generated client does; run by its own Python, with the server's address."""

import io
import sys
import time

from descend_client import Client
from descend_client.api.datasets import create_dataset
from descend_client.api.inference import get_server_ready, infer_model
from descend_client.api.jobs import create_job, get_history, get_job
from descend_client.api.models import export_model, get_model, get_summary, list_models, predict
from descend_client.api.plans import create_plan
from descend_client.models import (
    ExportFormat,
    Hyperparameters,
    HyperparametersOptimizer,
    InferRequest,
    InlineXY,
    InputTensor,
    JobSpec,
    JobState,
    PredictRows,
    PredictRowsRowsItem,
    PredictX,
    Problem,
)
from descend_client.types import File

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)
CSV = b"town,size,price\nOslo,1,5\nOslo,2,7\nBonn,1,3\nBonn,3,7\nOslo,4,11\n"


def wait(job_id):
    deadline = time.monotonic() + 60
    job = get_job.sync(job_id, client=client, wait=30.0)
    while job.state in {JobState.QUEUED, JobState.RUNNING} and time.monotonic() < deadline:
        job = get_job.sync(job_id, client=client, wait=30.0)
    assert job.state == JobState.SUCCEEDED, job
    return job


dataset = create_dataset.sync(client=client, body=File(payload=io.BytesIO(CSV)), name="flats")
exact = Hyperparameters(optimizer=HyperparametersOptimizer.EXACT)
spec = JobSpec(dataset=dataset.id, target="price", hyperparameters=exact)
job = wait(create_job.sync(client=client, body=spec).id)
model = get_model.sync(job.model_id, client=client)
assert model.features == ["town=Oslo", "size"], model
assert [round(weight, 9) for weight in model.coef[0]] == [2.0, 2.0], model.coef

row = PredictRowsRowsItem.from_dict({"town": "Oslo", "size": 10})
by_name = predict.sync(model.id, client=client, body=PredictRows(rows=[row]))
by_place = predict.sync(model.id, client=client, body=PredictX(x=[[1.0, 10.0]]))
assert abs(by_name.y[0][0] - 23.0) < 1e-9, by_name
assert by_name.y == by_place.y

inputs = [
    InputTensor(name="town", shape=[1, 1], datatype="BYTES", data=["Oslo"]),
    InputTensor(name="size", shape=[1, 1], datatype="FP64", data=[10.0]),
]
inferred = infer_model.sync(model.id, client=client, body=InferRequest(inputs=inputs))
assert inferred.outputs[0].data == by_name.y[0], inferred
assert get_server_ready.sync(client=client).ready

lesson = InlineXY(x=[[1.0], [2.0], [3.0]], y=[2.0, 4.0, 6.0])
steps = Hyperparameters(learning_rate=0.01, max_epochs=50, standardize=False, tol=0.0)
plan = create_plan.sync(client=client, body=JobSpec(dataset=lesson, hyperparameters=steps))
assert abs(plan.stability_bound - 0.18029) < 1e-4, plan
descent = wait(create_job.sync(client=client, body=JobSpec(lesson, hyperparameters=steps)).id)
history = get_history.sync(descent.id, client=client)
assert history.total == 50
assert history.train_loss[0] > history.train_loss[-1]
assert get_summary.sync(model.id, client=client).n_samples == 5
assert {one.id for one in list_models.sync(client=client).data} == {model.id, descent.model_id}

file = export_model.sync(model.id, client=client, format_=ExportFormat.ONNX)
assert len(file.payload.read()) > 100
refused = predict.sync(model.id, client=client, body=PredictX(x=[[1.0]]))
assert isinstance(refused, Problem)
assert refused.param == "X"
sys.stdout.write("a generated client trained and predicted\n")
