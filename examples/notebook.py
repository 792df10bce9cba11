"""The lesson that Descend grew from, over HTTP: y = 2x, a thousand epochs of gradient descent.

python examples/notebook.py http://127.0.0.1:8000
"""

import sys

from descend import Client

with Client(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000") as client:
    run = client.train(
        [[1.0], [2.0], [3.0]],
        [[2.0], [4.0], [6.0]],
        optimizer="sgd",
        learning_rate=0.01,
        max_epochs=1000,
        standardize=False,
        init="torch",
        dtype="float32",
        seed=0,
        tol=0,
    ).wait()
    for epoch in range(0, 1000, 100):
        print(f"epoch {epoch:4d}  loss {run.history.train_loss[epoch]:.6f}")
    print(f"weight {run.model.coef[0][0]:.4f}  bias {run.model.intercept[0]:.4f}")
    print(f"prediction at x = 4: {run.model.predict([[4.0]])[0, 0]:.4f}")
