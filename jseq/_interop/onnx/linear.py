"""Linear layers, tables and distances in ONNX, and the layers that do nothing in evaluation."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jseq._combinators.precision import cast
from jseq._interop.onnx.activation import gelu, silu
from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.registry import Call, onnx_emitter
from jseq._interop.onnx.value import Value
from jseq._layers import arithmetic, distance, dropout, dropout_alpha, feed_forward, linear, noise, parameter

NOTHING = (linear.identity, dropout.dropout, dropout.dropout1d, dropout.dropout2d, dropout.dropout3d,
           dropout_alpha.alpha_dropout, dropout_alpha.feature_alpha_dropout, noise.drop_path,
           noise.gaussian_noise)  # fmt: skip


@onnx_emitter(*NOTHING)
def nothing(graph: Graph, call: Call) -> Any:
    return call.x


@onnx_emitter(linear.linear)
def dense(graph: Graph, call: Call) -> Value:
    return graph.linear(call.x, call.params["weight"], call.params.get("bias"))


@onnx_emitter(linear.scale)
def scaled(graph: Graph, call: Call) -> Value:
    return call.x * call.params["weight"]


@onnx_emitter(linear.bias)
def shifted(graph: Graph, call: Call) -> Value:
    return call.x + call.params["bias"]


@onnx_emitter(parameter.parameter, parameter.buffer)
def own_array(graph: Graph, call: Call) -> Value:
    """The array itself: its numbers are those of the graph."""
    (array,) = jax.tree.leaves((call.params, call.state))
    return graph.constant(array, call.y.dtype)


OPERATIONS = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow"}


@onnx_emitter(arithmetic.arithmetic)
def with_number(graph: Graph, call: Call) -> Value:
    number = np.asarray(call.options["value"], call.x.dtype)
    operands = (number, call.x) if call.options["reverse"] else (call.x, number)
    return graph.map(OPERATIONS[call.options["operation"]], *operands)


@onnx_emitter(linear.bilinear)
def bilinear(graph: Graph, call: Call) -> Value:
    """One product with the weight as a matrix, one product of vectors and matrices."""
    (x1, x2), weight = call.x, call.params["weight"]
    first, second, out = weight.shape
    maps = graph.linear(x1, np.asarray(weight).reshape(first, second * out))
    maps = graph.reshape(maps, (*maps.shape[:-1], second, out))
    y = graph.matmul(graph.expand_dims(x2, -2), maps)
    y = graph.reshape(y, (*y.shape[:-2], out))
    return y if "bias" not in call.params else y + call.params["bias"]


@onnx_emitter(feed_forward.swiglu, feed_forward.geglu)
def gated(graph: Graph, call: Call) -> Value:
    def product(x: Value, name: str) -> Value:
        return graph.linear(x, call.params[name]["weight"], call.params[name].get("bias"))

    opening = product(call.x, "w1")
    geglu = "approximate" in call.options
    opened = gelu(graph, opening, call.options["approximate"]) if geglu else silu(graph, opening)
    return product(product(call.x, "w3") * opened, "w2")


@onnx_emitter(cast)
def casted(graph: Graph, call: Call) -> Any:
    return cast_floats(graph, call.x, call.options["dtype"])


def cast_floats(graph: Graph, x: Any, dtype: Any) -> Any:
    """Casts the floating values of a tuple."""
    if isinstance(x, tuple):
        return tuple(cast_floats(graph, v, dtype) for v in x)
    return graph.cast(x, jnp.dtype(dtype)) if x.floating else x


@onnx_emitter(distance.cosine_similarity)
def cosine_similarity(graph: Graph, call: Call) -> Value:
    dim, eps = call.options["dim"], call.options["eps"]
    rank = max(v.ndim for v in call.x)
    full = [graph.reshape(v, (1,) * (rank - v.ndim) + v.shape) for v in call.x]

    def unit(v: Value) -> Value:
        length = graph.map("Sqrt", graph.reduce("ReduceSum", v * v, (dim,)))
        return v / graph.map("Max", length, eps)

    return graph.reduce("ReduceSum", unit(full[0]) * unit(full[1]), (dim,), keepdims=False)


@onnx_emitter(distance.pairwise_distance)
def pairwise_distance(graph: Graph, call: Call) -> Value:
    p, keep = call.options["p"], call.options["keepdim"]
    size = graph.map("Abs", call.x[0] - call.x[1] + call.options["eps"])
    if math.isinf(p):
        return graph.reduce("ReduceMax" if p > 0 else "ReduceMin", size, (-1,), keep)
    if p == 0:
        nonzero = graph.cast(graph.map("Greater", size, 0.0, dtype=bool), size.dtype)
        return graph.reduce("ReduceSum", nonzero, (-1,), keep)
    if p in (1, 2):
        return graph.reduce(f"ReduceL{p:.0f}", size, (-1,), keep)
    return graph.map("Pow", graph.reduce("ReduceSum", graph.map("Pow", size, p), (-1,), keep), 1 / p)
