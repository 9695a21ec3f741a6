"""Layers that move axes and change shapes in ONNX."""

import math
from typing import Any

from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.registry import Call, onnx_emitter
from jseq._interop.onnx.value import Value
from jseq._layers import shape, vision


@onnx_emitter(shape.flatten, shape.unflatten, shape.reshape)
def reshaped(graph: Graph, call: Call) -> Value:
    return graph.reshape(call.x, call.y.shape)


@onnx_emitter(shape.permute)
def permuted(graph: Graph, call: Call) -> Value:
    dims = call.options["dims"]
    lead = call.x.ndim - len(dims)
    return graph.transpose(call.x, (*range(lead), *(lead + dim % len(dims) for dim in dims)))


@onnx_emitter(shape.take)
def taken(graph: Graph, call: Call) -> Value:
    axis = call.options["axis"]
    index = call.options["index"] % call.x.shape[axis]
    return graph.reshape(graph.take(call.x, axis, index, index + 1), call.y.shape)


def regrouped(graph: Graph, x: Value, last: int, sizes: tuple[Any, ...], order: tuple[int, ...]) -> Value:
    """Splits the last axes into these sizes and puts those in this order."""
    lead = x.ndim - last
    split = graph.reshape(x, (*x.shape[:lead], *sizes))
    return graph.transpose(split, (*range(lead), *(lead + i for i in order)))


@onnx_emitter(vision.pixel_shuffle)
def pixel_shuffle(graph: Graph, call: Call) -> Value:
    x, r = call.x, call.options["upscale_factor"]
    height, width, channels = x.shape[-3:]
    if x.ndim == 4:
        first, out = graph.moveaxis(x, -1, 1), channels // (r * r)
        y = graph.op("DepthToSpace", first, shape=(x.shape[0], out, height * r, width * r), blocksize=r, mode="CRD")
        return graph.moveaxis(y, 1, -1)
    moved = regrouped(graph, x, 3, (height, width, channels // (r * r), r, r), (0, 3, 1, 4, 2))
    return graph.reshape(moved, call.y.shape)


@onnx_emitter(vision.pixel_unshuffle)
def pixel_unshuffle(graph: Graph, call: Call) -> Value:
    r = call.options["downscale_factor"]
    height, width, channels = call.x.shape[-3:]
    moved = regrouped(graph, call.x, 3, (height // r, r, width // r, r, channels), (0, 2, 4, 1, 3))
    return graph.reshape(moved, call.y.shape)


@onnx_emitter(vision.channel_shuffle)
def channel_shuffle(graph: Graph, call: Call) -> Value:
    groups, channels = call.options["groups"], call.x.shape[-1]
    return graph.reshape(regrouped(graph, call.x, 1, (groups, channels // groups), (1, 0)), call.x.shape)


def channels_first(graph: Graph, x: Value, n: int) -> Value:
    """(..., *spatial, C) as (N, C, *spatial)."""
    lead = x.ndim - 1 - n
    flat = x if lead == 1 else graph.reshape(x, (math.prod(x.shape[:lead]), *x.shape[lead:]))
    return graph.moveaxis(flat, -1, 1)


def channels_last(graph: Graph, y: Value, like: Value, n: int) -> Value:
    """Undoes `channels_first`, for a result whose leading axes are those of `like`."""
    last, lead = graph.moveaxis(y, 1, -1), like.shape[: like.ndim - 1 - n]
    return last if len(lead) == 1 else graph.reshape(last, (*lead, *last.shape[1:]))
