"""Embeddings and positions in ONNX."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jseq import functional as F
from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.registry import Call, onnx_emitter
from jseq._interop.onnx.value import Value
from jseq._layers import embedding, positions


def rows(call: Call) -> np.ndarray:
    """The table, its rows shortened where max_norm asks for it."""
    weight = jnp.asarray(call.params["weight"])
    every = jnp.arange(weight.shape[0])
    return np.asarray(F.embedding(every, weight, None, call.options["max_norm"], call.options["norm_type"]))


def look_up(graph: Graph, table: Any, ids: Value) -> Value:
    """Rows of a table."""
    table = graph.constant(np.asarray(table), name="weight")
    return graph.op("Gather", table, ids, shape=(*ids.shape, *table.shape[1:]), axis=0)


@onnx_emitter(embedding.embedding)
def embedded(graph: Graph, call: Call) -> Value:
    return look_up(graph, rows(call), call.x)


@onnx_emitter(embedding.embedding_bag)
def embedding_bag(graph: Graph, call: Call) -> Value:
    """Rows that do not count are made neutral; bags of offsets are a matrix of bags and ids."""
    ids, mode, padding = call.x, call.options["mode"], call.options["padding_idx"]
    values = look_up(graph, rows(call), ids)
    weights = call.context.get("per_sample_weights")
    if weights is not None:
        values = values * graph.expand_dims(graph.cast(weights, values.dtype), -1)
    counts = None
    if padding is not None:
        counts = graph.map("Equal", ids, padding % call.options["num_embeddings"], dtype=bool)
        counts = graph.map("Not", counts, dtype=bool)
    if "offsets" in call.context:
        inside = bags(graph, call, ids.shape[0])
        counts = inside if counts is None else graph.map("And", inside, counts, dtype=bool)
        values = graph.expand_dims(values, 0)
    return reduced(graph, values, counts, mode, ids.shape[-1])


def bags(graph: Graph, call: Call, size: Any) -> Value:
    """Which id (column) is in which bag (row)."""
    offsets, places = call.context["offsets"], np.arange(size, dtype=call.context["offsets"].dtype)
    if call.options["include_last_offset"]:
        offsets = graph.take(offsets, 0, 0, offsets.shape[0] - 1)
    count = offsets.shape[0]
    last = graph.constant(np.array([size], offsets.dtype))
    ends = graph.concat([graph.take(offsets, 0, 1, count), last], 0) if count > 1 else last
    after = graph.map("GreaterOrEqual", places[None], graph.expand_dims(offsets, 1), dtype=bool)
    return graph.map("And", after, graph.map("Less", places[None], graph.expand_dims(ends, 1), dtype=bool), dtype=bool)


def reduced(graph: Graph, values: Value, counts: Value | None, mode: str, size: Any) -> Value:
    """The sum, mean or maximum of the rows that count."""
    if counts is None:
        kind = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}[mode]
        return graph.reduce(kind, values, (-2,), keepdims=False)
    column = graph.expand_dims(counts, -1)
    number = graph.reduce("ReduceSum", graph.cast(column, values.dtype), (-2,), keepdims=False)
    if mode == "max":
        lowest = float(jnp.finfo(values.dtype).min)
        largest = graph.reduce("ReduceMax", graph.where(column, values, lowest), (-2,), keepdims=False)
        return graph.where(graph.map("Greater", number, 0.0, dtype=bool), largest, 0.0)
    total = graph.reduce("ReduceSum", graph.where(column, values, 0.0), (-2,), keepdims=False)
    return total if mode == "sum" else total / graph.map("Max", number, 1.0)


@onnx_emitter(positions.learned_positions)
def learned_positions(graph: Graph, call: Call) -> Value:
    return call.x + call.params["weight"][: call.x.shape[-2]]


@onnx_emitter(positions.sinusoidal_positions)
def sinusoidal_positions(graph: Graph, call: Call) -> Value:
    return call.x + F.sinusoidal_positions(call.x.shape[-2], call.x.shape[-1], call.options["base"])


@onnx_emitter(positions.rotary_embedding)
def rotary_embedding(graph: Graph, call: Call) -> Value:
    return rotated(graph, call.x, call.context.get("positions"), call.options["base"], call.options["interleaved"])


def rotated(graph: Graph, x: Value, places: Value | None, base: float, interleaved: bool) -> Value:
    """Rotates pairs of features; x (..., T, heads, d)."""
    half = x.shape[-1] // 2
    rates = np.exp(-math.log(base) * np.arange(half) / half)
    cos, sin = turns(graph, x, places, rates)
    if interleaved:
        pairs = graph.reshape(x, (*x.shape[:-1], half, 2))
        a, b = (graph.reshape(v, (*x.shape[:-1], half)) for v in graph.split(pairs, 2))
        return graph.reshape(graph.stack([a * cos - b * sin, b * cos + a * sin], -1), x.shape)
    a, b = graph.split(x, 2)
    return graph.concat([a * cos - b * sin, b * cos + a * sin], -1)


def turns(graph: Graph, x: Value, places: Value | None, rates: np.ndarray) -> tuple[Any, Any]:
    """Cosines and sines (..., T, 1, d / 2): constants, unless context gives the positions."""
    if places is None:
        steps = np.arange(x.shape[-3]).astype("float32" if x.dtype.itemsize < 8 else x.dtype)
        angles = steps[:, None, None] * rates.astype(steps.dtype)
        return np.cos(angles), np.sin(angles)
    angles = graph.expand_dims(graph.cast(places, x.dtype), -1, -2) * rates
    return graph.map("Cos", angles), graph.map("Sin", angles)
