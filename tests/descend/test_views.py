"""One number is written one way: in a notebook's cell, a chart and on a terminal."""

import numpy as np
import pytest

from descend.charts import chart, number
from descend.history import History
from descend.models import LinearModel
from descend.views import curve_svg, model_html

LOW, HIGH = 0.00123456789, 98765.4321


@pytest.fixture
def history() -> History:
    losses = np.geomspace(HIGH, LOW, 30)
    none = np.full(30, np.nan)
    return History(np.arange(30), losses, none, none, none, none, total=30)


def test_the_ends_of_a_curve_are_written_as_its_legend_and_its_chart(history: History) -> None:
    svg = curve_svg(history)
    text = "\n".join(str(line) for line in chart(history, width=72, height=10))

    for end in (LOW, HIGH):
        assert f">{number(end)}<" in svg
        assert number(end) in text


def test_weights_are_written_as_on_a_terminal() -> None:
    model = LinearModel(features=["a"], targets=["y"], coef=[[1 / 3]], intercept=[2 / 3])

    html = model_html(model)

    assert f">{number(1 / 3)}<" in html
    assert f">{number(2 / 3)}<" in html
