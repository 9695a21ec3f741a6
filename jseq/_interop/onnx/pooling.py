"""Pooling over windows, in ONNX."""

import math
from typing import Any

import numpy as np

from jseq._interop.onnx.convolution import pad, sides
from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.registry import Call, onnx_emitter
from jseq._interop.onnx.shape import channels_first, channels_last
from jseq._interop.onnx.value import Value
from jseq._layers import average_pooling, global_pooling, lp_pooling, max_pooling, unpooling
from jseq.functional.lp_pooling import norm_exponent
from jseq.functional.pool_windows import Pool, pool_options, pool_sizes
from jseq.functional.unpooling import unpooled_size


def dims(call: Call) -> int:
    """The spatial axes that the name of a layer says: 2 for max_pool2d."""
    return int(call.layer.name[-2])


def options(call: Call) -> Pool:
    """The options of a pooling layer, one number an axis."""
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    return pool_options(dims(call), **{name: call.options[name] for name in names if name in call.options})


def overhang(sizes: tuple[int, ...], pool: Pool, counts: tuple[int, ...]) -> list[tuple[int, int]]:
    """Padding that makes room for all windows, those of ceil_mode too."""
    axes = zip(sizes, pool.padding, counts, pool.stride, pool.span, strict=True)
    return [(low, max((count - 1) * s + span - size - low, 0)) for size, low, count, s, span in axes]


def max_windows(graph: Graph, x: Value, pool: Pool, indices: bool = False) -> Any:
    """Largest elements; with their places in the flattened spatial axes."""
    n = len(pool.kernel)
    sizes = x.shape[-1 - n : -1]
    counts = pool_sizes(sizes, pool)
    pairs = overhang(sizes, pool, counts)
    if not indices and any(max(pair) >= k for pair, k in zip(pairs, pool.kernel, strict=True)):
        x = pad(graph, x, x.ndim - 1 - n, pairs, "constant", -math.inf)  # ONNX wants pads below the kernel
        pairs = [(0, 0)] * n
    first = channels_first(graph, x, n)
    shape = (*first.shape[:2], *counts)
    attributes: dict[str, Any] = {"kernel_shape": pool.kernel, "strides": pool.stride, "dilations": pool.dilation,
                                  "pads": sides(pairs)}  # fmt: skip
    if not indices:
        return channels_last(graph, graph.op("MaxPool", first, shape=shape, **attributes), x, n)
    y, at = graph.op("MaxPool", first, shape=[shape] * 2, outputs=2, dtype=[x.dtype, np.int64], **attributes)
    at = graph.cast(graph.map("Mod", at, math.prod(sizes)), np.int32)  # ONNX counts through batch and channels
    return channels_last(graph, y, x, n), channels_last(graph, at, x, n)


@onnx_emitter(max_pooling.max_pool1d, max_pooling.max_pool2d, max_pooling.max_pool3d)
def max_pool(graph: Graph, call: Call) -> Any:
    return max_windows(graph, call.x, options(call), call.options["return_indices"])


def mean_windows(
    graph: Graph, x: Value, pool: Pool, count_include_pad: bool = True, divisor: int | None = None
) -> Value:
    """Means of windows; zeros are added in front where ONNX would count otherwise, and the means corrected."""
    n = len(pool.kernel)
    sizes = x.shape[-1 - n : -1]
    counts = pool_sizes(sizes, pool)
    pairs = overhang(sizes, pool, counts)
    numbers = divisors(sizes, counts, pool, count_include_pad, divisor)
    native = divisor is None and all(low == high for low, high in pairs)
    if not native:
        x = pad(graph, x, x.ndim - 1 - n, pairs, "constant", 0.0)
        pairs = [(0, 0)] * n
    first = channels_first(graph, x, n)
    y = graph.op("AveragePool", first, shape=(*first.shape[:2], *counts), kernel_shape=pool.kernel, strides=pool.stride,
                 pads=sides(pairs), count_include_pad=int(count_include_pad))  # fmt: skip
    y = channels_last(graph, y, x, n)
    factor = math.prod(pool.kernel) / numbers
    return y if native or np.all(factor == 1) else y * factor


def divisors(sizes: Any, counts: Any, pool: Pool, include_pad: bool, divisor: int | None) -> np.ndarray:
    """How many elements each window averages over: (*windows, 1)."""
    total = np.ones(())
    for size, count, kernel, stride, padding in zip(sizes, counts, pool.kernel, pool.stride, pool.padding, strict=True):
        start = np.arange(count) * stride - padding
        end = np.minimum(start + kernel, size + padding)
        width = end - start if include_pad else np.minimum(end, size) - np.maximum(start, 0)
        total = total[..., None] * width
    return total[..., None] if divisor is None else np.full((*total.shape, 1), float(divisor))


@onnx_emitter(average_pooling.avg_pool1d, average_pooling.avg_pool2d, average_pooling.avg_pool3d)
def avg_pool(graph: Graph, call: Call) -> Value:
    include, divisor = call.options["count_include_pad"], call.options.get("divisor_override")
    return mean_windows(graph, call.x, options(call), include, divisor)


@onnx_emitter(lp_pooling.lp_pool1d, lp_pooling.lp_pool2d, lp_pooling.lp_pool3d)
def lp_pool(graph: Graph, call: Call) -> Value:
    pool, exponent = options(call), norm_exponent(call.options["norm_type"])
    if math.isinf(exponent):
        size = graph.map("Abs", call.x)
        return max_windows(graph, size, pool) if exponent > 0 else -max_windows(graph, -size, pool)
    total = mean_windows(graph, graph.map("Pow", call.x, float(exponent)), pool) * float(math.prod(pool.kernel))
    return graph.map("Pow", total, 1.0 / exponent)  # 0 and infinity come out right by themselves


GLOBAL_MEANS = (global_pooling.global_avg_pool1d, global_pooling.global_avg_pool2d, global_pooling.global_avg_pool3d)
GLOBAL_MAXIMA = (global_pooling.global_max_pool1d, global_pooling.global_max_pool2d, global_pooling.global_max_pool3d)


@onnx_emitter(*GLOBAL_MEANS, *GLOBAL_MAXIMA)
def global_pool(graph: Graph, call: Call) -> Value:
    kind = "ReduceMean" if call.layer.constructor in GLOBAL_MEANS else "ReduceMax"
    return graph.reduce(kind, call.x, range(-1 - dims(call), -1), keepdims=False)


@onnx_emitter(unpooling.max_unpool1d, unpooling.max_unpool2d, unpooling.max_unpool3d)
def max_unpool(graph: Graph, call: Call) -> Value:
    """Scatters into zeros of (N, C, area)."""
    (x, indices), n = call.x, dims(call)
    sizes = unpooled_size(x.shape[-1 - n : -1], options(call), call.options["output_size"])
    first, at = channels_first(graph, x, n), channels_first(graph, graph.cast(indices, np.int64), n)
    lead, count = first.shape[:2], math.prod(first.shape[2:])
    zeros = graph.expand(graph.constant(np.zeros((1, 1, 1)), x.dtype), (*lead, math.prod(sizes)))
    y = graph.op("ScatterElements", zeros, graph.reshape(at, (*lead, count)), graph.reshape(first, (*lead, count)),
                 axis=2)  # fmt: skip
    return channels_last(graph, graph.reshape(y, (*lead, *sizes)), x, n)
