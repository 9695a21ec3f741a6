"""Activations in ONNX, as layers and as plain functions of jax.nn, jax.numpy and jseq.functional."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jseq import functional as F
from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.registry import Call, onnx_emitter
from jseq._interop.onnx.value import Value
from jseq._layers import (
    activation,
    activation_gated,
    activation_pieces,
    activation_shrink,
    activation_smooth,
    activation_softmax,
)

Function = Callable[..., Value]


def node(kind: str, **attributes: Any) -> Function:
    """A function that is one node."""
    return lambda graph, x: graph.map(kind, x, **attributes)


def clip(low: float, high: float) -> Function:
    return lambda graph, x: graph.map("Clip", x, low, high)


def silu(graph: Graph, x: Value) -> Value:
    return x * graph.map("Sigmoid", x)


def logsigmoid(graph: Graph, x: Value) -> Value:
    return -graph.map("Softplus", -x)


def tanhshrink(graph: Graph, x: Value) -> Value:
    return x - graph.map("Tanh", x)


def leaky_relu(graph: Graph, x: Value, negative_slope: float = 0.01) -> Value:
    return graph.map("LeakyRelu", x, alpha=float(negative_slope))


def rrelu(graph: Graph, x: Value, lower: float = 1 / 8, upper: float = 1 / 3) -> Value:
    return leaky_relu(graph, x, (lower + upper) / 2)


def gelu(graph: Graph, x: Value, approximate: str = "none") -> Value:
    return graph.map("Gelu", x, approximate=approximate)


def elu(graph: Graph, x: Value, alpha: float = 1.0) -> Value:
    return graph.map("Elu", x, alpha=float(alpha))


def celu(graph: Graph, x: Value, alpha: float = 1.0) -> Value:
    """Celu divides by alpha and multiplies by it; a negative one bends the other way, as in torch."""
    negative = graph.map("Min", x, 0.0)
    bent = (graph.map("Exp", negative / alpha) - 1.0) * alpha
    return graph.map("Celu", x, alpha=float(alpha)) if alpha > 0 else graph.where(greater(graph, x, 0.0), x, bent)


def hardtanh(graph: Graph, x: Value, min_val: float = -1.0, max_val: float = 1.0) -> Value:
    return graph.map("Clip", x, min_val, max_val)


def greater(graph: Graph, x: Value, bound: Any) -> Value:
    return graph.map("Greater", x, bound, dtype=bool)


def hardshrink(graph: Graph, x: Value, lambd: float = 0.5) -> Value:
    return graph.map("Shrink", x, lambd=float(lambd), bias=0.0) if lambd >= 0 else x


def softshrink(graph: Graph, x: Value, lambd: float = 0.5) -> Value:
    return graph.map("Shrink", x, lambd=float(lambd), bias=float(lambd))


def threshold(graph: Graph, x: Value, threshold: float, value: float) -> Value:
    return graph.where(greater(graph, x, threshold), x, value)


def softplus(graph: Graph, x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    if beta == 1 and threshold >= 20:  # beyond it log(1 + exp(x)) is x
        return graph.map("Softplus", x)
    scaled = x * beta
    return graph.where(greater(graph, scaled, threshold), x, graph.map("Softplus", scaled) / beta)


def softmax(graph: Graph, x: Value, dim: int = -1) -> Value:
    return graph.along("Softmax", x, dim)


def log_softmax(graph: Graph, x: Value, dim: int = -1) -> Value:
    return graph.along("LogSoftmax", x, dim)


def softmin(graph: Graph, x: Value, dim: int = -1) -> Value:
    return graph.along("Softmax", -x, dim)


def gate(function: Function) -> Function:
    """The first half of an axis, gated by a function of the second."""

    def gated(graph: Graph, x: Value, dim: int = -1) -> Value:
        a, b = graph.split(x, 2, dim)
        return a * function(graph, b)

    return gated


def squareplus(graph: Graph, x: Value) -> Value:
    return (x + graph.map("Sqrt", x * x + 4.0)) * 0.5


def sparse_sigmoid(graph: Graph, x: Value) -> Value:
    return graph.map("Clip", x + 1.0, 0.0, 2.0) * 0.5


def sparse_plus(graph: Graph, x: Value) -> Value:
    """A parabola between -1 and 1, x beyond: `s^2 + max(x - 1, 0)`, s the sparse sigmoid."""
    return square(graph, sparse_sigmoid(graph, x)) + graph.map("Relu", x - 1.0)


def square(graph: Graph, x: Value) -> Value:
    return x * x


def standardize(graph: Graph, x: Value) -> Value:
    return graph.op("LayerNormalization", x, np.ones(x.shape[-1:], "float32"), axis=-1, epsilon=1e-5)


def itself(graph: Graph, x: Value) -> Value:
    return x


LAYERS: Mapping[Any, Function] = {
    activation.relu: node("Relu"), activation.leaky_relu: leaky_relu, activation.sigmoid: node("Sigmoid"),
    activation.tanh: node("Tanh"), activation.gelu: gelu, activation.silu: silu,
    activation_gated.glu: gate(node("Sigmoid")),
    activation_pieces.relu6: clip(0.0, 6.0), activation_pieces.hardtanh: hardtanh,
    activation_pieces.hardsigmoid: node("HardSigmoid", alpha=1 / 6, beta=0.5),
    activation_pieces.hardswish: node("HardSwish"), activation_pieces.rrelu: rrelu, activation_pieces.elu: elu,
    activation_pieces.celu: celu, activation_pieces.selu: node("Selu"),
    activation_shrink.hardshrink: hardshrink, activation_shrink.softshrink: softshrink,
    activation_shrink.tanhshrink: tanhshrink, activation_shrink.threshold: threshold,
    activation_smooth.logsigmoid: logsigmoid, activation_smooth.mish: node("Mish"),
    activation_smooth.softplus: softplus, activation_smooth.softsign: node("Softsign"),
    activation_softmax.softmax: softmax, activation_softmax.log_softmax: log_softmax,
    activation_softmax.softmin: softmin, activation_softmax.softmax2d: softmax,
}  # fmt: skip
FUNCTIONS: Mapping[Any, Function] = {
    **{getattr(F, constructor.__name__): function for constructor, function in LAYERS.items()
       if hasattr(F, constructor.__name__) and constructor is not activation_shrink.threshold},
    F.swiglu: gate(silu), F.geglu: gate(gelu), F.reglu: gate(node("Relu")),
    jax.nn.relu: node("Relu"), jax.nn.relu6: clip(0.0, 6.0), jax.nn.leaky_relu: leaky_relu,
    jax.nn.sigmoid: node("Sigmoid"), jax.nn.tanh: node("Tanh"), jax.nn.silu: silu, jax.nn.swish: silu,
    jax.nn.gelu: lambda graph, x: gelu(graph, x, "tanh"), jax.nn.elu: elu, jax.nn.celu: celu,
    jax.nn.selu: node("Selu"), jax.nn.softplus: node("Softplus"), jax.nn.soft_sign: node("Softsign"),
    jax.nn.log_sigmoid: logsigmoid, jax.nn.hard_tanh: clip(-1.0, 1.0), jax.nn.mish: node("Mish"),
    jax.nn.hard_sigmoid: node("HardSigmoid", alpha=1 / 6, beta=0.5), jax.nn.hard_silu: node("HardSwish"),
    jax.nn.hard_swish: node("HardSwish"), jax.nn.glu: gate(node("Sigmoid")), jax.nn.softmax: softmax,
    jax.nn.log_softmax: log_softmax, jax.nn.squareplus: squareplus, jax.nn.identity: itself,
    jax.nn.standardize: standardize, jax.nn.sparse_plus: sparse_plus, jax.nn.sparse_sigmoid: sparse_sigmoid,
    jnp.square: square,
    jnp.tanh: node("Tanh"), jnp.exp: node("Exp"), jnp.log: node("Log"), jnp.sin: node("Sin"), jnp.cos: node("Cos"),
    jnp.abs: node("Abs"), jnp.sqrt: node("Sqrt"), jnp.negative: node("Neg"), jnp.sign: node("Sign"),
}  # fmt: skip


def register(target: Any, function: Function, options: bool) -> None:
    """Registers a function of (graph, x), and of the layer's options."""

    @onnx_emitter(target)
    def _(graph: Graph, call: Call) -> Value:
        return function(graph, call.x, **call.options) if options else function(graph, call.x)


for each, written in LAYERS.items():
    register(each, written, True)
for each, written in FUNCTIONS.items():
    register(each, written, False)


@onnx_emitter(activation.prelu)
def prelu(graph: Graph, call: Call) -> Value:
    return graph.map("PRelu", call.x, call.params["weight"])
