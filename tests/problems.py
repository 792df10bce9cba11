"""Regression problems that tests and benchmarks train on, by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

__all__ = [
    "CATALOGUE",
    "CERTIFIED",
    "Certified",
    "RegressionProblem",
    "longley",
    "norris",
    "notebook",
    "outliers",
    "random_problem",
]


@dataclass(frozen=True, eq=False)
class RegressionProblem:
    """Rows and names. `full_rank`: whether the optimum is unique, an intercept included."""

    name: str
    X: Floats
    Y: Floats
    sample_weight: Floats | None = None
    features: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    full_rank: bool = True

    def __post_init__(self) -> None:
        names = self.features or tuple(f"x{i}" for i in range(self.X.shape[1]))
        targets = self.targets or tuple(f"y{i}" for i in range(self.Y.shape[1]))
        object.__setattr__(self, "features", names)
        object.__setattr__(self, "targets", targets)


def notebook() -> RegressionProblem:
    """The lesson: three points on y = 2x."""
    X = np.array([[1.0], [2.0], [3.0]])
    return RegressionProblem("notebook", X, 2 * X, features=("x",), targets=("y",))


# J. W. Longley, An Appraisal of Least Squares Programs for the Electronic Computer from the Point
# of View of the User, JASA 62 (1967), as certified by NIST StRD.
# Columns: GNP deflator, GNP, unemployed, armed forces, population, year; then total employment.
_LONGLEY = """
 83.0 234289 2356 1590 107608 1947 60323
 88.5 259426 2325 1456 108632 1948 61122
 88.2 258054 3682 1616 109773 1949 60171
 89.5 284599 3351 1650 110929 1950 61187
 96.2 328975 2099 3099 112075 1951 63221
 98.1 346999 1932 3594 113270 1952 63639
 99.0 365385 1870 3547 115094 1953 64989
100.0 363112 3578 3350 116219 1954 63761
101.2 397469 2904 3048 117388 1955 66019
104.6 419180 2822 2857 118734 1956 67857
108.4 442769 2936 2798 120445 1957 68169
110.8 444546 4681 2637 121950 1958 66513
112.6 482704 3813 2552 123366 1959 68655
114.2 502601 3931 2514 125368 1960 69564
115.7 518173 4806 2572 127852 1961 69331
116.9 554894 4007 2827 130081 1962 70551
"""


def longley() -> RegressionProblem:
    """Sixteen years of the United States, nearly collinear: condition number 4.9e9."""
    table = np.array([line.split() for line in _LONGLEY.split("\n") if line], dtype=np.float64)
    features = ("deflator", "gnp", "unemployed", "armed_forces", "population", "year")
    return RegressionProblem(
        "longley", table[:, :6].copy(), table[:, 6:].copy(), None, features, ("employed",)
    )


# J. Norris, calibration of ozone monitors, NIST; as certified by NIST StRD. Pairs y, x.
_NORRIS = """
0.1 0.2 338.8 337.4 118.1 118.2 888.0 884.6 9.2 10.1 228.1 226.5 668.5 666.3 998.5 996.3
449.1 448.6 778.9 777.0 559.2 558.2 0.3 0.4 0.1 0.6 778.1 775.5 668.8 666.9 339.3 338.0
448.9 447.5 10.8 11.6 557.7 556.0 228.3 228.1 998.0 995.8 888.8 887.6 119.6 120.2 0.3 0.3
0.6 0.3 557.6 556.8 339.3 339.1 888.0 887.2 998.5 999.0 778.9 779.0 10.2 11.1 117.6 118.3
228.9 229.2 668.4 669.1 449.2 448.9 0.2 0.5
"""


def norris() -> RegressionProblem:
    """Thirty-six readings of two monitors, nearly on the line y = x."""
    pairs = np.array(_NORRIS.split(), dtype=np.float64).reshape(-1, 2)
    return RegressionProblem(
        "norris", pairs[:, 1:].copy(), pairs[:, :1].copy(), features=("x",), targets=("y",)
    )


@dataclass(frozen=True)
class Certified:
    """What NIST certifies: of the intercept first, then the features in order."""

    params: tuple[float, ...]
    standard_errors: tuple[float, ...]
    residual_sd: float
    r2: float


CERTIFIED = {
    "norris": Certified(
        params=(-0.262323073774029, 1.00211681802045),
        standard_errors=(0.232818234301152, 0.429796848199937e-03),
        residual_sd=0.884796396144373,
        r2=0.999993745883712,
    ),
    "longley": Certified(
        params=(
            -3482258.63459582,
            15.0618722713733,
            -0.358191792925910e-01,
            -2.02022980381683,
            -1.03322686717359,
            -0.511041056535807e-01,
            1829.15146461355,
        ),
        standard_errors=(
            890420.383607373,
            84.9149257747669,
            0.334910077722432e-01,
            0.488399681651699,
            0.214274163161675,
            0.226073200069370,
            455.478499142212,
        ),
        residual_sd=304.854073561965,
        r2=0.995479004577296,
    ),
}


def random_problem(
    name: str,
    *,
    n_samples: int = 40,
    n_features: int = 4,
    n_targets: int = 1,
    condition: float = 5.0,
    seed: int = 0,
) -> RegressionProblem:
    """Draw Y = X W + b + noise with singular values of X from 1 down to 1 / condition."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.normal(size=(n_samples, n_features)))
    right, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
    values = np.geomspace(1, 1 / condition, n_features) * np.sqrt(n_samples)
    X = (left * values) @ right.T
    W = rng.normal(size=(n_features, n_targets))
    Y = X @ W + rng.normal(size=n_targets) + 0.3 * rng.normal(size=(n_samples, n_targets))
    return RegressionProblem(name, X, Y)


def outliers() -> RegressionProblem:
    """A plane of which one row in ten was read off a hundredfold: what other losses are for."""
    problem = random_problem("outliers", n_samples=120, n_features=3, seed=10)
    Y = problem.Y.copy()
    Y[::10] *= 100
    return replace(problem, Y=Y)


def _weighted() -> RegressionProblem:
    problem = random_problem("weighted", seed=3)
    omega = np.random.default_rng(3).uniform(0, 4, size=len(problem.X))
    omega[::7] = 0
    return replace(problem, sample_weight=omega)


def _shifted_and_scaled() -> RegressionProblem:
    problem = random_problem("shifted and scaled", seed=4)
    return replace(problem, X=problem.X * [1, 1e3, 1e-3, 10] + [5, 1e4, 0, -300])


def _constant_column() -> RegressionProblem:
    problem = random_problem("constant column", seed=5)
    X = problem.X.copy()
    X[:, 2] = 0.1
    return replace(problem, X=X, full_rank=False)


def _rank_deficient() -> RegressionProblem:
    problem = random_problem("rank deficient", seed=6)
    X = problem.X.copy()
    X[:, 3] = X[:, 0] - 2 * X[:, 1]
    return replace(problem, X=X, full_rank=False)


def _wide() -> RegressionProblem:
    rng = np.random.default_rng(7)
    return RegressionProblem(
        "fewer rows than features",
        rng.normal(size=(6, 11)),
        rng.normal(size=(6, 1)),
        full_rank=False,
    )


def _one_row() -> RegressionProblem:
    return RegressionProblem("one row", np.array([[2.0]]), np.array([[3.0]]), full_rank=False)


CATALOGUE: dict[str, Callable[[], RegressionProblem]] = {
    "notebook": notebook,
    "longley": longley,
    "well conditioned": lambda: random_problem("well conditioned"),
    "ill conditioned": lambda: random_problem("ill conditioned", condition=1e4, seed=1),
    "several targets": lambda: random_problem("several targets", n_targets=3, seed=2),
    "weighted": _weighted,
    "shifted and scaled": _shifted_and_scaled,
    "constant column": _constant_column,
    "rank deficient": _rank_deficient,
    "fewer rows than features": _wide,
    "one row": _one_row,
    "larger": lambda: random_problem("larger", n_samples=700, n_features=20, seed=8),
}
