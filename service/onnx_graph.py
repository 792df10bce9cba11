"""A model as an ONNX graph, its encoding included. onnx itself is imported when one is written.

Numbers alone are one input X, as wide as the model; with text among them every column is an input
of its own, [N, 1], as skl2onnx has it. A graph cannot refuse a row: where Encoding.encode would
raise, the row's predictions are NaN.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from descend.encoding import CategoricalInput, NumericInput, Unseen
from descend.models import LinearModel

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto

__all__ = ["onnx_model"]

IR_VERSION = 10
OPSETS = {"": 17, "ai.onnx.ml": 3}
Array = NDArray[Any]


def onnx_model(
    model: LinearModel,
    coef: Array,
    intercept: Array,
    *,
    unseen: Unseen,
    metadata: dict[str, str],
) -> bytes:
    """Write the graph y = encode(columns) coef' + intercept.

    Args:
        model: names and encoding.
        coef: its weights, shape (n_targets, n_features); their dtype is the graph's.
        intercept: shape (n_targets,).
        unseen: whether a level that was not in the training data predicts NaN or as the base.
        metadata: text kept with the graph.
    """
    from onnx import helper

    graph = _Graph(model, coef.dtype)
    graph.write(coef, intercept, unseen=unseen)
    output = graph.described(graph.output, len(intercept))
    name = model.id or "model"
    written = helper.make_model(
        helper.make_graph(graph.nodes, name, graph.inputs, [output], graph.tensors),
        opset_imports=[helper.make_opsetid(domain, number) for domain, number in OPSETS.items()],
        ir_version=IR_VERSION,
        producer_name="descend",
        producer_version=version("descend"),
    )
    helper.set_model_props(written, metadata)
    return bytes(written.SerializeToString())


class _Graph:
    """Inputs, nodes and tensors as they are added, under names that no input has."""

    def __init__(self, model: LinearModel, dtype: np.dtype[Any]) -> None:
        self._columns = model.inputs
        self._dtype = dtype
        self._apart = any(isinstance(one, CategoricalInput) for one in self._columns)
        self._names = {one.name for one in self._columns} if self._apart else {"X"}
        self.inputs = self._inputs()
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.output = self._name("y")

    def write(self, coef: Array, intercept: Array, *, unseen: Unseen) -> None:
        """Add everything: the product of the numbers, and a table of effects for each text."""
        terms, numbers, numbers_coef, place = [], [], [], 0
        for column in self._columns:
            weights = coef[:, place : place + len(column.features)]
            place += len(column.features)
            if isinstance(column, CategoricalInput):
                terms.append(self._effect(column, weights, unseen=unseen))
            else:
                numbers.append(column)
                numbers_coef.append(weights)
        bias = self._tensor("intercept", intercept)
        if numbers:
            W = self._tensor("coef", np.concatenate(numbers_coef, axis=1))
            bias = self._node("Gemm", [self._filled(numbers), W, bias], "product", transB=1)
        self.nodes.append(self._made("Sum", [*terms, bias], self.output))

    def described(self, name: str, width: int, *, text: bool = False) -> "ValueInfoProto":
        """Describe an input or output of any number of rows."""
        from onnx import TensorProto, helper

        kind = TensorProto.STRING if text else helper.np_dtype_to_tensor_dtype(self._dtype)
        return helper.make_tensor_value_info(name, kind, ["N", width])

    def _inputs(self) -> "list[ValueInfoProto]":
        if not self._apart:
            return [self.described("X", len(self._columns))]
        return [
            self.described(one.name, 1, text=isinstance(one, CategoricalInput))
            for one in self._columns
        ]

    def _filled(self, numbers: list[NumericInput]) -> str:
        """The numbers side by side; NaN, a missing cell, replaced where the model knows by what."""
        X = self._node("Concat", [n.name for n in numbers], "X", axis=1) if self._apart else "X"
        if all(one.fill is None for one in numbers):
            return X
        fills = np.array([[np.nan if n.fill is None else n.fill for n in numbers]], self._dtype)
        missing = self._node("IsNaN", [X], "missing")
        return self._node("Where", [missing, self._tensor("fills", fills), X], "X filled")

    def _effect(self, column: CategoricalInput, weights: Array, *, unseen: Unseen) -> str:
        """Look up what a level adds to each target; the last row of the table is NaN."""
        n_levels = len(column.levels)
        effects = np.full((n_levels + 1, len(weights)), np.nan, self._dtype)
        effects[0] = 0
        effects[1:n_levels] = weights.T
        places = dict(zip(column.levels, range(n_levels), strict=True))
        missing = n_levels if column.fill is None else places[column.fill]
        places.setdefault("", missing)  # the graph's text has no null
        level = self._node(
            "LabelEncoder",
            [column.name],
            f"level of {column.name}",
            domain="ai.onnx.ml",
            keys_strings=[*places],
            values_int64s=[*places.values()],
            default_int64=0 if unseen == "base" else n_levels,
        )
        table = self._tensor(f"effects of {column.name}", effects)
        looked_up = self._node("Gather", [table, level], f"effect of {column.name}", axis=0)
        return self._node("Squeeze", [looked_up, self._axis()], f"term of {column.name}")

    def _axis(self) -> str:
        return self._tensor("axis", np.array([1], np.int64))

    def _tensor(self, wanted: str, values: Array) -> str:
        from onnx import numpy_helper

        name = self._name(wanted)
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(self, kind: str, inputs: list[str], wanted: str, **attributes: Any) -> str:
        output = self._name(wanted)
        self.nodes.append(self._made(kind, inputs, output, **attributes))
        return output

    def _made(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> "NodeProto":
        from onnx import helper

        return helper.make_node(kind, inputs, [output], name=output, **attributes)

    def _name(self, wanted: str) -> str:
        name = wanted
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name
