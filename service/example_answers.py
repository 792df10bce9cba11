"""Examples of what jobs that are no trainings answer: of the lesson's three rows, y = 2 x."""

from typing import Any

__all__ = ["DIAGNOSTICS", "EVENTS", "GRADIENTS", "PLAN", "SUMMARY"]

_MODES = [
    {"eigenvalue": 11.0929, "excess": 18.5714, "vector": [0.9153, 0.4027]},
    {"eigenvalue": 0.2404, "excess": 0.0953, "vector": [-0.4027, 0.9153]},
]

PLAN: dict[str, Any] = {
    "object": "plan",
    "engine": "compressed",
    "device": "cpu",
    "n_samples": 3,
    "n_eval_samples": 0,
    "n_columns": 2,
    "rank": 2,
    "condition_number": 5.2,
    "hessian_condition": 46.1,
    "modes": _MODES,
    "unreachable": 0.0,
    "initial_loss": 18.6667,
    "initial_objective": 18.6667,
    "min_objective": 0.0,
    "min_loss": 0.0,
    "minimum_refused": None,
    "learning_rate": 0.01,
    "stability_bound": 0.18029,
    "best_rate": 0.17647,
    "diverges": False,
    "epochs_to_gap": [{"gap": 0.1, "epochs": 10}, {"gap": 0.01, "epochs": 23}],
    "epochs_refused": None,
    "guilty_columns": ["x0"],
    "direction": {"x0": 0.9153, "(intercept)": 0.4027},
    "memory_bytes": 48200,
    "seconds": 0.04,
    "warnings": [],
}
GRADIENTS: dict[str, Any] = {
    "object": "gradients",
    "coordinates": "original",
    "parameters": ["x0", "(intercept)"],
    "targets": ["y"],
    "center": [0.0],
    "scale": [1.0],
    "n_samples": 3,
    "samples": [
        {"x": [1.0], "actual": [2.0], "predicted": [0.0]},
        {"x": [2.0], "actual": [4.0], "predicted": [0.0]},
        {"x": [3.0], "actual": [6.0], "predicted": [0.0]},
    ],
    "dtype": "float64",
    "weights": [[0.0, 0.0]],
    "loss": 18.6667,
    "objective": 18.6667,
    "autograd": [[-18.6667, -8.0]],
    "by_hand": [[-18.6667, -8.0]],
    "finite_differences": [[-18.6667, -8.0]],
    "by_hand_difference": {"absolute": 0.0, "relative": 0.0},
    "finite_differences_difference": {"absolute": 3.6e-15, "relative": 1.9e-16},
    "jacobian": [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]],
    "eigenvalues": [11.0929, 0.2404],
    "minimum": {"loss": 0.0, "objective": 0.0, "coef": [[2.0]], "intercept": [0.0]},
    "modes": _MODES,
    "unreachable": 0.0,
    "refused": None,
}


def _test(name: str, null: str, distribution: str, *, statistic: float, p: float) -> dict[str, Any]:
    return {
        "name": name,
        "null": null,
        "statistic": statistic,
        "distribution": distribution,
        "p": p,
        "refused": None,
    }


DIAGNOSTICS: dict[str, Any] = {
    "object": "diagnostics",
    "model_id": "mdl_0193b3a49c7d7c3e8a5b1d2e3f405162",
    "n_samples": 400,
    "n_eval_samples": 100,
    "df_residual": 398,
    "rank": 2,
    "sampled": True,
    "targets": [
        {
            "target": "price",
            "residual_sd": 0.51,
            "mean_residual": 0.0,
            "max_abs_residual": 1.62,
            "max_leverage": 0.012,
            "max_cooks": 0.031,
            "high_leverage": 19,
            "outliers": 1,
            "rows": [
                {
                    "row": 17,
                    "actual": 2.1,
                    "predicted": 1.8,
                    "residual": 0.3,
                    "std_residual": 0.59,
                    "leverage": 0.004,
                    "cooks": 0.0007,
                    "split": "train",
                }
            ],
            "quantiles": {
                "rank": [1, 200, 400],
                "normal": [-2.95, -0.003, 2.95],
                "std_residual": [-3.18, 0.02, 2.9],
            },
            "tests": [
                _test(
                    "curvature",
                    "the target is a straight function of the columns",
                    "F(1, 397)",
                    statistic=0.4,
                    p=0.53,
                )
            ],
        }
    ],
    "warnings": [],
}
SUMMARY: dict[str, Any] = {
    "object": "summary",
    "model_id": "mdl_0193b3a49c7d7c3e8a5b1d2e3f405162",
    "refused": None,
    "covariance": "classical",
    "definition": "errors of one variance: sigma^2 (X'X)^-1",
    "level": 0.95,
    "n_samples": 400,
    "df_model": 1,
    "df_residual": 398,
    "rank": 2,
    "condition_number": 5.2,
    "targets": [
        {
            "target": "price",
            "coefficients": [
                {
                    "name": "hours",
                    "estimate": 1.97,
                    "std_error": 0.03,
                    "t": 65.7,
                    "p": 1e-200,
                    "low": 1.91,
                    "high": 2.03,
                    "vif": 1.0,
                }
            ],
            "residual_sd": 0.51,
            "r2": 0.92,
            "adjusted_r2": 0.92,
            "f": 4316.5,
            "f_p": 1e-200,
            "log_likelihood": -297.1,
            "aic": 598.2,
            "bic": 606.2,
        }
    ],
}

_JOB = "job_0193b3a49c7d7c3e8a5b1d2e3f405162"
_AT = "2026-11-23T14:00:00.080000Z"

EVENTS: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "id": "2-0-0",
            "type": "state",
            "job_id": _JOB,
            "at": _AT,
            "data": {
                "state": "running",
                "previous": "queued",
                "reason": "claimed",
                "attempt": 1,
                "kind": "train",
                "name": "prices",
            },
        },
        {
            "id": "2-0-3",
            "type": "history",
            "job_id": _JOB,
            "at": _AT,
            "data": {
                "start": 0,
                "stop": 3,
                "total": 3,
                "epoch": [0, 1, 2],
                "train_loss": [18.6667, 14.2, 11.1],
                "learning_rate": [0.01, 0.01, 0.01],
                "grad_norm": [20.3, 17.6, 15.4],
                "gap": [18.6667, 14.2, 11.1],
            },
        },
    ],
    "has_more": False,
    "last_id": "2-0-3",
    "ended": False,
}
