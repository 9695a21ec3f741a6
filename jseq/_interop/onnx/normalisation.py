"""Normalisation in ONNX."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.registry import Call, onnx_emitter
from jseq._interop.onnx.shape import channels_first, channels_last
from jseq._interop.onnx.value import Value
from jseq._layers import batch_norm, instance_norm, local_response, normalisation

INSTANCE = (instance_norm.instance_norm1d, instance_norm.instance_norm2d, instance_norm.instance_norm3d)


def affine(graph: Graph, y: Value, params: Any) -> Value:
    """`y * weight + bias`, with what there is of it."""
    y = y * params["weight"] if params else y
    return y + params["bias"] if params and "bias" in params else y


def by_statistics(graph: Graph, x: Value, params: Any, state: Any, eps: float) -> Value:
    """Normalises channels by running statistics: BatchNormalization where the channels are stored second."""
    mean, var = (np.asarray(state[name], np.float64) for name in ("running_mean", "running_var"))
    weight = np.asarray(params["weight"], np.float64) if params else np.ones_like(mean)
    bias = np.asarray(params["bias"], np.float64) if params and "bias" in params else np.zeros_like(mean)
    if x.ndim > 1 and x.place(-1) == 1:
        named = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var}
        parts = [graph.value(array, (x,), name).name for name, array in named.items()]
        (name,) = graph.emit("BatchNormalization", [x.name, *parts], epsilon=eps)
        return Value(graph, name, x.stored, x.dtype, x.perm)
    scale = weight / np.sqrt(var + eps)
    return x * scale + (bias - mean * scale)


def standardised(graph: Graph, x: Value, axes: Sequence[int], eps: float) -> Value:
    """`(x - mean) / sqrt(var + eps)` over some axes."""
    centred = x - graph.reduce("ReduceMean", x, axes)
    var = graph.reduce("ReduceMean", centred * centred, axes)
    return centred / graph.map("Sqrt", var + eps)


@onnx_emitter(batch_norm.batch_norm)
def batch_normalised(graph: Graph, call: Call) -> Value:
    eps = call.options["eps"]
    if call.state:
        return by_statistics(graph, call.x, call.params, call.state, eps)
    return affine(graph, standardised(graph, call.x, range(call.x.ndim - 1), eps), call.params)


@onnx_emitter(*INSTANCE)
def instance_normalised(graph: Graph, call: Call) -> Value:
    n, eps = INSTANCE.index(call.layer.constructor) + 1, call.options["eps"]
    if call.state:
        return by_statistics(graph, call.x, call.params, call.state, eps)
    return affine(graph, by_instance(graph, call.x, n, eps), call.params)


def by_instance(graph: Graph, x: Value, n: int, eps: float) -> Value:
    """Normalises each channel of each example over the `n` axes before it."""
    first = channels_first(graph, x, n)
    ones, zeros = np.ones(x.shape[-1:], "float32"), np.zeros(x.shape[-1:], "float32")
    return channels_last(graph, graph.op("InstanceNormalization", first, ones, zeros, epsilon=eps), x, n)


@onnx_emitter(normalisation.group_norm)
def group_normalised(graph: Graph, call: Call) -> Value:
    """Groups are the channels of an instance norm over all that is in them."""
    x, n, groups = call.x, call.options["spatial_dims"], call.options["num_groups"]
    first = graph.plain(channels_first(graph, x, n))
    inside = first.shape[1] // groups * math.prod(first.shape[2:])
    rows = graph.moveaxis(graph.reshape(first, (first.shape[0], groups, inside)), 1, -1)
    y = graph.reshape(graph.moveaxis(by_instance(graph, rows, 1, call.options["eps"]), -1, 1), first.shape)
    return affine(graph, channels_last(graph, y, x, n), call.params)


@onnx_emitter(normalisation.layer_norm)
def layer_normalised(graph: Graph, call: Call) -> Value:
    x, params = call.x, call.params or {}
    count = len(normalisation.sizes_of(call.options["normalized_shape"])) or 1
    weight = params.get("weight", np.ones(x.shape[-count:], "float32"))
    bias = graph.value(params["bias"], (x,), "bias") if "bias" in params else None
    inputs = (x, graph.value(weight, (x,), "weight"), *(() if bias is None else (bias,)))
    return graph.op("LayerNormalization", *inputs, axis=-count, epsilon=call.options["eps"])


@onnx_emitter(normalisation.rms_norm)
def rms_normalised(graph: Graph, call: Call) -> Value:
    x, eps = call.x, call.options["eps"]
    count = len(normalisation.sizes_of(call.options["normalized_shape"])) or 1
    added = float(jnp.finfo(jnp.promote_types(x.dtype, "float32")).eps) if eps is None else eps
    square = graph.reduce("ReduceMean", x * x, range(-count, 0))
    return affine(graph, x / graph.map("Sqrt", square + added), call.params)


@onnx_emitter(local_response.local_response_norm, local_response.cross_map_lrn2d)
def locally_normalised(graph: Graph, call: Call) -> Value:
    """LRN where its window is ours; else the energy of the neighbours as a product with a band of ones."""
    x, size = call.x, call.options["size"]
    alpha, beta, k = (float(call.options[name]) for name in ("alpha", "beta", "k"))
    channels = x.shape[-1]
    crossing = call.layer.constructor is local_response.cross_map_lrn2d
    if size % 2 and x.ndim == 4 and not crossing:
        y = graph.op("LRN", channels_first(graph, x, 2), size=size, alpha=alpha, beta=beta, bias=k)
        return channels_last(graph, y, x, 2)
    distance = np.arange(channels)[:, None] - np.arange(channels)[None, :]  # input minus output channel
    before, after = (size // 2, (size - 1) // 2)
    if crossing:
        before = after = (size + 1) // 2 - 1
    band = ((distance >= -before) & (distance <= after)).astype(np.float64)
    if crossing:
        band[0] += np.arange(channels) >= (size + 1) // 2  # torch's sum keeps the first channel
    energy = graph.linear(x * x, band)
    return x / graph.map("Pow", energy * (alpha / size) + k, beta)
