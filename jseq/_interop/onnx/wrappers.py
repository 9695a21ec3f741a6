"""Wrappers in ONNX: weights that are functions of the params are computed when the model is written."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jseq._combinators import (
    depth,
    ensemble,
    freezing,
    lora,
    packing,
    parametrize,
    paths,
    precision,
    quantized,
    sequence,
    spectral,
    streaming,
    tie,
)
from jseq._core import calls
from jseq._interop.onnx.combinators import Parts
from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.linear import cast_floats
from jseq._interop.onnx.loop import inside, scan
from jseq._interop.onnx.registry import Call, emit, onnx_emitter, struct
from jseq._interop.onnx.value import Value
from jseq.core import Layer, as_layer
from jseq.errors import OptionError


def wrapped(call: Call) -> Layer:
    """The one layer inside."""
    return next(iter(call.layer.children.values()))  # pyright: ignore[reportAttributeAccessIssue]


def through(graph: Graph, call: Call, params: Any) -> Any:
    """Writes the layer inside with these params."""
    return emit(graph, wrapped(call), params, call.state, call.x, call.context)


@onnx_emitter(freezing.freeze, depth.remat)
def same(graph: Graph, call: Call) -> Any:
    return through(graph, call, call.params)


@onnx_emitter(precision.in_dtype)
def in_dtype(graph: Graph, call: Call) -> Any:
    own = next((v.dtype for v in jax.tree.leaves(call.x) if v.floating), None)
    x = cast_floats(graph, call.x, call.options["dtype"])
    y = emit(graph, wrapped(call), call.params, call.state, x, call.context)
    return y if own is None else cast_floats(graph, y, own)


@onnx_emitter(parametrize.parametrize)
def parametrized(graph: Graph, call: Call) -> Any:
    params, fn = call.params, as_layer(call.options["fn"])
    for name in paths.as_paths(call.options["select"]):
        weight = calls.run_apply(fn, paths.declared(fn), None, paths.get(params, name), None, False, None)[0]
        params = paths.replace(params, name, weight)
    return through(graph, call, params)


@onnx_emitter(parametrize.weight_norm)
def weight_normed(graph: Graph, call: Call) -> Any:
    name = call.options["name"]
    g, v = (paths.get(call.params, f"{name}_{end}") for end in "gv")
    params = paths.remove(paths.remove(call.params, f"{name}_g"), f"{name}_v")
    return through(graph, call, paths.insert(params, name, v * (g / parametrize.lengths(v, call.options["dim"]))))


@onnx_emitter(spectral.spectral_norm)
def spectral_normed(graph: Graph, call: Call) -> Any:
    name, state = call.options["name"], call.state["spectral"]
    layer = call.layer.children["spectral"]  # pyright: ignore[reportArgumentType, reportCallIssue]
    weight = calls.run_apply(layer, (), state, paths.get(call.params["layer"], name), None, False, None)[0]
    params = paths.replace(call.params["layer"], name, weight)
    return emit(graph, wrapped(call), params, call.state["layer"], call.x, call.context, "layer")


@onnx_emitter(spectral.power_iteration)
def power_iteration(graph: Graph, call: Call) -> Value:
    """`x / (u^T W v)`."""
    front = graph.moveaxis(call.x, call.options["dim"], 0)
    v, u = (call.state[name][:, None] for name in "vu")
    matrix = graph.reshape(front, (front.shape[0], v.shape[0]))
    sigma = graph.linear(graph.transpose(graph.linear(matrix, v), (1, 0)), u)
    return call.x / graph.reshape(sigma, ())


@onnx_emitter(lora.lora)
def adapted(graph: Graph, call: Call) -> Any:
    plain, params = lora.merge_lora(call.layer, call.params)
    return emit(graph, plain, params, call.state["base"] if call.state else call.state, call.x, call.context, "base")


@onnx_emitter(tie.tie)
def tied(graph: Graph, call: Call) -> Any:
    shared = paths.get(call.params, call.options["source"])
    shared = jnp.swapaxes(shared, -1, -2) if call.options["transpose"] else shared
    return through(graph, call, paths.insert(call.params, call.options["target"], shared))


@onnx_emitter(packing.packed)
def unpacked(graph: Graph, call: Call) -> Any:
    x = jax.tree.map(struct, call.x)
    return through(graph, call, packing.unpack(call.params, calls.expected_trees(wrapped(call), x)[0]))


@onnx_emitter(quantized.quantized)
def dequantized(graph: Graph, call: Call) -> Any:
    return through(graph, call, quantized.plain_params(call.layer, call.params, jax.tree.map(struct, call.x)))


def copy(tree: Any, i: int, stacked: bool = True) -> Any:
    """The params or the state of one copy."""
    return jax.tree.map(lambda leaf: leaf[i], tree) if stacked or not tree else tree[i]


@onnx_emitter(depth.repeat)
def repeated(graph: Graph, call: Call) -> Any:
    x, stacked = call.x, call.options["stacked"]
    for i in range(call.options["n"]):
        params, state = (copy(tree, i, stacked) for tree in (call.params, call.state))
        x = emit(graph, wrapped(call), params, state, x, call.context, str(i))
    return x


@onnx_emitter(ensemble.ensemble)
def members(graph: Graph, call: Call) -> Any:
    """Each member by itself; their outputs are stacked on axis 0."""
    ys: list[Any] = []
    for i in range(call.options["n"]):
        x = call.x
        if not call.options["shared"]:
            x = jax.tree.map(lambda v, i=i: graph.reshape(graph.take(v, 0, i, i + 1), v.shape[1:]), x)
        ys.append(emit(graph, wrapped(call), copy(call.params, i), copy(call.state, i), x, call.context, str(i)))
    return jax.tree.map(lambda *v: graph.stack(list(v), 0), *ys)


@onnx_emitter(ensemble.over_batch)
def each_example(graph: Graph, call: Call) -> Any:
    """A loop over axis 0."""
    leaves, structure = jax.tree.flatten(call.x)
    shape = jax.tree.structure(call.y)

    def step(body: Graph, carry: Any, now: list[Value]) -> Any:
        context = {name: inside(body, v) for name, v in call.context.items()}
        y = emit(body, wrapped(call), call.params, call.state, jax.tree.unflatten(structure, now), context)
        return [], jax.tree.leaves(y)

    return jax.tree.unflatten(shape, scan(graph, step, [], leaves)[1])


@onnx_emitter(sequence.recurrent)
def recurrent(graph: Graph, call: Call) -> Any:
    """A loop over time around the cell."""
    rest = {name: v for name, v in call.context.items() if name not in ("initial_state", "lengths")}
    cell, params, state, last = wrapped(call), call.params, call.state, call.x.ndim - 2
    first = Call(cell, params, state, Value(graph, "", (*call.x.shape[:-2], call.x.shape[-1]), call.x.dtype), rest)
    shapes, structure = jax.tree.flatten(first.y)
    start = [graph.expand(graph.constant(np.zeros((1,) * len(a.shape)), a.dtype), a.shape) for a in shapes]
    if "initial_state" in call.context:
        given = jax.tree.leaves(call.context["initial_state"])
        start = [graph.cast(v, a.dtype) for v, a in zip(given, shapes, strict=True)]
    steps = [graph.moveaxis(call.x, -2, 0), *counted(graph, call)]

    def step(body: Graph, carry: list[Value], now: list[Value]) -> Any:
        context = {name: inside(body, v) for name, v in rest.items()}
        x = (now[0], jax.tree.unflatten(structure, carry))
        new = jax.tree.leaves(emit(body, cell, params, state, x, context))
        y = new[0]
        if len(now) > 1:
            valid = [body.reshape(now[1], now[1].shape + (1,) * (v.ndim - now[1].ndim)) for v in new]
            y = body.where(valid[0], new[0], 0.0)
            new = [body.where(keep, v, old) for keep, v, old in zip(valid, new, carry, strict=True)]
        return new, [y]

    carry, (y,) = scan(graph, step, start, steps, call.options["reverse"])
    y = graph.moveaxis(y, 0, last)
    return (y, jax.tree.unflatten(structure, carry)) if call.options["return_state"] else y


def counted(graph: Graph, call: Call) -> list[Value]:
    """Which steps count, time first, if context gives lengths."""
    lengths = call.context.get("lengths")
    if lengths is None:
        return []
    times = np.arange(call.x.shape[-2], dtype=lengths.dtype).reshape((-1,) + (1,) * lengths.ndim)
    return [graph.map("Less", times, graph.expand_dims(lengths, 0), dtype=bool)]


@onnx_emitter(sequence.bidirectional)
def bidirectional(graph: Graph, call: Call) -> Any:
    run, lengths, merge = Parts(graph, call), call.context.get("lengths"), call.options["merge"]
    ahead = run("forward", call.x)
    back = turned(graph, run("backward", turned(graph, call.x, lengths)), lengths)
    if merge == "concatenate":
        return graph.concat([ahead, back], -1)
    if merge == "none":
        return ahead, back
    if merge == "multiply":
        return ahead * back
    return (ahead + back) * 0.5 if merge == "average" else ahead + back


def turned(graph: Graph, x: Value, lengths: Value | None) -> Value:
    """Time reversed, each sequence within its length."""
    if lengths is None:
        return graph.flip(x, -2)
    times = np.arange(x.shape[-2], dtype=lengths.dtype).reshape((1,) * lengths.ndim + (-1,))
    ends = graph.expand_dims(lengths, -1)
    before = graph.map("Less", times, ends, dtype=bool)
    places = graph.where(before, ends - 1 - times, times)
    at = graph.expand(graph.expand_dims(graph.cast(places, np.int64), -1), x.shape)
    return graph.op("GatherElements", x, at, shape=x.shape, axis=x.ndim - 2)


@onnx_emitter(streaming.streaming)
def streamed(graph: Graph, call: Call) -> Any:
    raise OptionError("has no ONNX form: a graph remembers nothing between calls. Write the layer inside.")
