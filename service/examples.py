"""An example for every body, in requests and answers; tests validate each against its model."""

from typing import Any

from descend.limits import Limits
from service.example_answers import DIAGNOSTICS, EVENTS, GRADIENTS, PLAN, SUMMARY

__all__ = ["REQUESTS", "RESPONSES"]

NIL = "0193b3a49c7d7c3e8a5b1d2e3f405162"
DATASET = f"ds_{NIL}"
JOB = f"job_{NIL}"
MODEL = f"mdl_{NIL}"
SHA256 = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
CREATED = "2026-11-23T14:00:00.000000Z"
FINISHED = "2026-11-23T14:00:00.080000Z"

_XY = {"X": [[1.0], [2.0], [3.0]], "y": [2.0, 4.0, 6.0]}
_COLUMNS = {"columns": {"hours": [1, 2, 3], "price": [2.0, 4.0, 6.0]}}
_HYPERPARAMETERS = {
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "max_epochs": 1000,
    "standardize": False,
    "tol": 0,
}
_SPEC_HERE = {"dataset": _XY, "hyperparameters": _HYPERPARAMETERS}
_SPEC_STORED = {"dataset": DATASET, "target": "price", "features": ["hours"], "name": "prices"}

REQUESTS: dict[str, dict[str, Any]] = {
    "create_job application/json": {
        "data in the request": _SPEC_HERE,
        "an uploaded dataset": _SPEC_STORED,
    },
    "retry_job application/json": {
        "at another rate": {"hyperparameters": {"learning_rate": 0.354}},
        "under another name": {"name": "prices, again"},
    },
    "create_plan application/json": {"the lesson": _SPEC_HERE, "a dataset": _SPEC_STORED},
    "create_gradients application/json": {
        "at zero weights": _SPEC_HERE,
        "at given weights": {
            "dataset": _XY,
            "hyperparameters": {
                "standardize": False,
                "init": {"coef": [[1.5]], "intercept": [0.5]},
            },
        },
    },
    "create_dataset application/json": {
        "X and y": _XY,
        "columns": _COLUMNS,
    },
    "create_dataset text/csv": {"with a header": "hours,price\n1,2.0\n2,4.0\n3,6.0\n"},
    "create_dataset application/x-ndjson": {
        "a row a line": '{"hours": 1, "price": 2.0}\n{"hours": 2, "price": 4.0}\n'
    },
    "append_rows application/json": {"columns": _COLUMNS},
    "append_rows application/x-ndjson": {"a row a line": '{"hours": 4, "price": 8.0}\n'},
    "append_rows text/csv": {"with a header": "hours,price\n4,8.0\n"},
    "infer application/json": {
        "two rows": {
            "id": "1",
            "inputs": [{"name": "X", "shape": [2, 1], "datatype": "FP64", "data": [4.0, 5.0]}],
        },
        "a tensor a column": {
            "inputs": [
                {"name": "hours", "shape": [1, 1], "datatype": "FP32", "data": [4.0]},
                {"name": "town", "shape": [1, 1], "datatype": "BYTES", "data": ["Oslo"]},
            ],
            "parameters": {"unseen": "base"},
        },
    },
    "predict text/csv": {"with a header": "x0\n4\n5\n"},
    "predict application/x-ndjson": {"a row a line": '{"x0": 4.0}\n{"x0": 5.0}\n'},
    "predict application/json": {
        "rows by name": {"rows": [{"x0": 4.0}]},
        "rows as numbers": {"X": [[4.0]]},
        "with an interval": {"X": [[4.0]], "interval": {"level": 0.95, "kind": "prediction"}},
    },
}

_PROFILE = {"dtype": "float64", "missing": 0, "distinct": 3, "sample": [1.0, 2.0, 3.0]}
_DATASET = {
    "id": DATASET,
    "object": "dataset",
    "name": "prices",
    "format": "csv",
    "n_rows": 3,
    "n_columns": 2,
    "size_bytes": 1234,
    "sha256": SHA256,
    "columns": [
        {"name": "hours", "min": 1.0, "max": 3.0, "mean": 2.0, "std": 0.816, **_PROFILE},
        {"name": "price", "min": 2.0, "max": 6.0, "mean": 4.0, "std": 1.633, **_PROFILE},
    ],
    "default_target": None,
    "suggested_target": "price",
    "default_weight": None,
    "warnings": [],
    "parent_id": None,
    "parent_rows": None,
    "created_at": CREATED,
    "urls": {
        "self": f"/v1/datasets/{DATASET}",
        "preview": f"/v1/datasets/{DATASET}/preview",
        "rows": f"/v1/datasets/{DATASET}/rows",
    },
}
_JOB = {
    "id": JOB,
    "object": "job",
    "kind": "train",
    "name": None,
    "state": "succeeded",
    "intent": None,
    "stop_reason": "max_epochs",
    "created_at": CREATED,
    "started_at": CREATED,
    "work_started_at": CREATED,
    "finished_at": FINISHED,
    "progress": {"epoch": 1000, "max_epochs": 1000, "fraction": 1.0, "phase": None},
    "queue_position": None,
    "spec": {**_SPEC_HERE, "dataset": DATASET},
    "resolved_hyperparameters": {**_HYPERPARAMETERS, "momentum": 0.0, "nesterov": False, "seed": 7},
    "engine": "eager",
    "device": "cpu",
    "attempt": 1,
    "seed": 7,
    "warnings": [],
    "error": None,
    "transitions": [
        {"state": "queued", "at": CREATED, "reason": "submitted"},
        {"state": "running", "at": CREATED, "reason": "claimed"},
        {"state": "succeeded", "at": FINISHED, "reason": "max_epochs"},
    ],
    "metrics": {
        "n_samples": 3,
        "epochs": 1000,
        "initial_loss": 18.666666666666668,
        "train_loss": 0.0004,
        "objective": 0.0004,
        "best_loss": 0.0004,
        "best_epoch": 999,
        "r2": 0.99985,
        "converged": False,
    },
    "model_id": MODEL,
    "parent_id": None,
    "dataset_id": DATASET,
    "dataset_sha256": SHA256,
    "metadata": {},
    "urls": {"self": f"/v1/jobs/{JOB}"},
}
_MODEL = {
    "id": MODEL,
    "object": "model",
    "features": ["x0"],
    "targets": ["y"],
    "coef": [[1.97]],
    "intercept": [0.066],
    "metrics": {"train_loss": 0.0004, "r2": 0.99985},
    "provenance": {
        "job_id": JOB,
        "dataset_id": DATASET,
        "dataset_sha256": SHA256,
        "code_version": "0.1.0",
        "torch_version": "2.13.0",
        "device": "cpu",
        "dtype": "float64",
        "seed": 7,
        "engine": "eager",
        "weight": None,
        "missing": "error",
        "validation_fraction": 0.0,
    },
    "created_at": FINISHED,
    "urls": {"self": f"/v1/models/{MODEL}"},
}

RESPONSES: dict[str, Any] = {
    "About": {"name": "descend", "version": "0.1.0", "openapi": "/openapi.json"},
    "Dataset": _DATASET,
    "EventPage": EVENTS,
    "HistoryJSON": {
        "object": "history",
        "total": 1000,
        "epoch": [0, 1],
        "train_loss": [18.666666666666668, 15.5],
        "eval_loss": [None, None],
        "learning_rate": [0.01, 0.01],
        "grad_norm": [20.4, 18.6],
        "gap": [18.66, 16.5],
    },
    "InferResponse": {
        "model_name": MODEL,
        "model_version": "1",
        "id": "1",
        "outputs": [{"name": "y", "datatype": "FP64", "shape": [2, 1], "data": [7.946, 9.916]}],
    },
    "Job": _JOB,
    "Limits": Limits().model_dump(),
    "LinearModel": _MODEL,
    "Liveness": {"status": "ok"},
    "ModelMetadata": {
        "name": MODEL,
        "versions": ["1"],
        "platform": "descend",
        "inputs": [{"name": "X", "datatype": "FP64", "shape": [-1, 1]}],
        "outputs": [{"name": "y", "datatype": "FP64", "shape": [-1, 1]}],
    },
    "ModelReady": {"name": MODEL, "ready": True},
    "Page_Dataset_": {"object": "list", "data": [_DATASET], "has_more": False, "last_id": DATASET},
    "JobPage": {
        "object": "list",
        "data": [{**_JOB, "sparkline": [18.67, 2.1, 0.3, 0.02, 0.0004]}],
        "has_more": False,
        "last_id": JOB,
        "counts": {
            "queued": 0,
            "running": 0,
            "succeeded": 1,
            "failed": 0,
            "cancelled": 0,
            "expired": 0,
            "quarantined": 0,
        },
    },
    "Page_LinearModel_": {
        "object": "list",
        "data": [_MODEL],
        "has_more": False,
        "last_id": MODEL,
    },
    "Preview": {
        "object": "preview",
        "columns": ["hours", "price"],
        "rows": [[1.0, 2.0], [2.0, None]],
    },
    "Predictions": {
        "object": "predictions",
        "model_id": MODEL,
        "targets": ["y"],
        "y": [[7.946]],
        "interval": {"level": 0.95, "kind": "prediction", "low": [[7.1]], "high": [[8.8]]},
    },
    "Diagnostics": DIAGNOSTICS,
    "Gradients": GRADIENTS,
    "Plan": PLAN,
    "Summary": SUMMARY,
    "PlainError": {"error": "tensor 'X' has shape [2, 3]; this model needs [n_rows, 1]"},
    "Readiness": {
        "status": "ready",
        "parts": {"database": "ok", "broker": "ok", "workers": "ok", "storage": "ok"},
    },
    "text/event-stream": 'event: state\ndata: {"id": "1-0-0", "type": "state", ...}\nid: 1-0-0\n\n',
    "ServerLive": {"live": True},
    "ServerMetadata": {
        "name": "descend",
        "version": "0.1.0",
        "extensions": ["binary_tensor_data"],
    },
    "ServerReady": {"ready": True},
    "text/csv": "epoch,train_loss,eval_loss,learning_rate,grad_norm,gap\n0,18.7,,0.01,20.4,18.6\n",
}
