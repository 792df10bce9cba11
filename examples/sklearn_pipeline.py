"""A pipeline of scikit-learn whose last step trains on a Descend server, tuned by a grid search.

python examples/sklearn_pipeline.py http://127.0.0.1:8000
"""

import sys

from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from descend import DescendRegressor

X, y = load_diabetes(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

url = sys.argv[1] if len(sys.argv) > 1 else None
pipeline = make_pipeline(
    PolynomialFeatures(2, include_bias=False), StandardScaler(), DescendRegressor(url=url)
)
grid = {
    "polynomialfeatures__degree": [1, 2],
    "descendregressor__l2": [0.01, 0.1, 1.0],
}
search = GridSearchCV(pipeline, grid, cv=5).fit(X_train, y_train)

print(f"best l2 {search.best_params_['descendregressor__l2']}, R² {search.best_score_:.3f}")
print(f"R² of rows it has not seen: {search.score(X_test, y_test):.3f}")
