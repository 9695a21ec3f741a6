"""Adaptive pooling, windows as rows and resizing, in ONNX: what picks its elements by tables."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jseq import functional as F
from jseq._interop.onnx.convolution import padded
from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.pooling import dims, max_windows, mean_windows
from jseq._interop.onnx.registry import Call, onnx_emitter
from jseq._interop.onnx.shape import channels_first, channels_last
from jseq._interop.onnx.value import Value
from jseq._layers import adaptive_pooling, fractional_pooling, upsample, vision
from jseq.errors import OptionError
from jseq.functional.adaptive_pooling import adaptive_windows, output_sizes
from jseq.functional.interpolate import Resize, resize_options
from jseq.functional.pool_windows import pool_options
from jseq.functional.windows import per_axis, window_sizes

LINEAR = ("linear", "bilinear", "trilinear")


def wanted(call: Call, n: int) -> tuple[int, ...]:
    """The sizes after adaptive pooling."""
    sizes = call.x.shape[-1 - n : -1]
    given = output_sizes(call.options["output_size"], n)
    return tuple(size if count is None else count for size, count in zip(sizes, given, strict=True))


def even(sizes: tuple[int, ...], counts: tuple[int, ...]) -> bool:
    return all(size % count == 0 for size, count in zip(sizes, counts, strict=True))


def adaptive_mean(graph: Graph, x: Value, counts: tuple[int, ...]) -> Value:
    """Means over windows that cover the axes evenly: a pool, or a product with a matrix for each axis."""
    n = len(counts)
    sizes, lead = x.shape[-1 - n : -1], x.ndim - 1 - n
    if all(count == 1 for count in counts):
        return graph.reduce("ReduceMean", x, range(lead, x.ndim - 1))
    if even(sizes, counts):
        return mean_windows(graph, x, pool_options(n, [a // b for a, b in zip(sizes, counts, strict=True)]))
    for axis, (size, count) in enumerate(zip(sizes, counts, strict=True), lead):
        start, end = (v[:, None] for v in adaptive_windows(size, count))
        inside = (np.arange(size) >= start) & (np.arange(size) < end)
        x = x if size == count else graph.along_matrix(x, axis, inside / (end - start))
    return x


@onnx_emitter(*(getattr(adaptive_pooling, f"adaptive_avg_pool{n}d") for n in (1, 2, 3)))
def adaptive_avg_pool(graph: Graph, call: Call) -> Value:
    return adaptive_mean(graph, call.x, wanted(call, dims(call)))


@onnx_emitter(*(getattr(adaptive_pooling, f"adaptive_max_pool{n}d") for n in (1, 2, 3)))
def adaptive_max_pool(graph: Graph, call: Call) -> Any:
    """A pool where the windows are even; else the windows as rows, short ones filled up with their last element."""
    x, n, indices = call.x, dims(call), call.options["return_indices"]
    sizes, counts = x.shape[-1 - n : -1], wanted(call, n)
    if even(sizes, counts):
        kernel = [a // b for a, b in zip(sizes, counts, strict=True)]
        return max_windows(graph, x, pool_options(n, kernel), indices)
    tables: list[np.ndarray] = []
    for size, count in zip(sizes, counts, strict=True):
        start, end = adaptive_windows(size, count)
        tables.append(np.minimum(start[:, None] + np.arange(max(end - start)), end[:, None] - 1))
    rows = windows(graph, x, tables)  # (..., *counts, C, taps)
    y = graph.reduce("ReduceMax", rows, (-1,), keepdims=False)
    if not indices:
        return y
    best = graph.op("ArgMax", rows, shape=(*rows.shape[:-1], 1), dtype=np.int64, axis=-1, keepdims=1)
    places = graph.constant(flat_places(sizes, tables).reshape(*(1,) * (x.ndim - 1 - n), *counts, 1, -1))
    at = graph.op("GatherElements", graph.expand(places, rows.shape), best, shape=best.shape, axis=-1)
    return y, graph.cast(graph.reshape(at, y.shape), np.int32)


def flat_places(sizes: tuple[int, ...], tables: list[np.ndarray]) -> np.ndarray:
    """Where each tap of each window lies in the flattened axes: (*counts, taps)."""
    n = len(sizes)
    total: Any = 0
    for i, (size, table) in enumerate(zip(sizes, tables, strict=True)):
        shape = [1] * (2 * n)
        shape[i], shape[n + i] = table.shape
        total = total * size + table.reshape(shape)
    return np.ascontiguousarray(total).reshape(*(len(table) for table in tables), -1)


def windows(graph: Graph, x: Value, tables: list[np.ndarray]) -> Value:
    """Windows as rows: x (..., *spatial, C) to (..., *counts, C, taps); a table (count, taps) for each axis."""
    n = len(tables)
    lead = x.ndim - 1 - n
    for i, table in enumerate(tables):
        x = graph.gather(x, table, lead + 2 * i)
    counts, taps = range(lead, lead + 2 * n, 2), range(lead + 1, lead + 2 * n, 2)
    x = graph.transpose(x, (*range(lead), *counts, lead + 2 * n, *taps))
    return graph.reshape(x, (*x.shape[: lead + n + 1], math.prod(x.shape[lead + n + 1 :])))


@onnx_emitter(vision.unfold)
def unfolded(graph: Graph, call: Call) -> Value:
    names = ("kernel_size", "dilation", "padding", "stride")
    kernel, dilation, padding, stride = (per_axis(call.options[name], 2, name, 0) for name in names)
    x = padded(graph, call.x, tuple((p, p) for p in padding), "zeros")
    counts = window_sizes(x.shape[-3:-1], kernel, stride, dilation, [(0, 0)] * 2)
    tables = [np.arange(c)[:, None] * s + np.arange(k) * d
              for c, s, k, d in zip(counts, stride, kernel, dilation, strict=True)]  # fmt: skip
    return graph.reshape(windows(graph, x, tables), call.y.shape)


@onnx_emitter(upsample.upsample, upsample.upsampling_nearest2d, upsample.upsampling_bilinear2d)
def resized(graph: Graph, call: Call) -> Value:
    given = dict(call.options)
    n = given.pop("spatial_dims", 2) or upsample.AXES.get(given["mode"], 2)
    if call.layer.constructor is upsample.upsampling_bilinear2d:
        given |= {"mode": "bilinear", "align_corners": True}
    made = resize_options(n, **given)
    sizes = call.x.shape[-1 - n : -1]
    counts = call.y.shape[-1 - n : -1]
    if made.mode == "area":
        return adaptive_mean(graph, call.x, counts)
    factors = made.factors if made.factors is not None and not made.recompute else None
    if sizes == counts and (factors is None or set(factors) == {1.0}):
        return call.x
    if made.mode == "bicubic" and any(count < size for size, count in zip(sizes, counts, strict=True)):
        return by_matrices(graph, call.x, made, factors, counts)  # onnxruntime refuses to shrink bicubically
    first = channels_first(graph, call.x, n)
    y = resize(graph, first, made.mode, made.align_corners, factors, counts)
    return channels_last(graph, y, call.x, n)


def by_matrices(graph: Graph, x: Value, made: Resize, factors: Any, counts: Any) -> Value:
    """Bicubic resizing as a product for each axis: the matrix is the resized identity."""
    for axis, count in zip((-3, -2), counts, strict=True):
        identity = jnp.eye(x.shape[axis])[:, :, None, None]
        size, factor = ((count, 1), None) if factors is None else (None, (factors[axis + 3], 1.0))
        matrix = F.interpolate(identity, 2, size, factor, made.mode, made.align_corners)[:, :, 0, 0]
        x = graph.along_matrix(x, axis, np.asarray(matrix).T)
    return x


def resize(graph: Graph, x: Value, mode: str, align_corners: bool, factors: Any, counts: Any) -> Value:
    """Resize of (N, C, *spatial), with torch's source positions: by the factors, or else by the sizes."""
    options: dict[str, Any] = {"mode": "linear" if mode in LINEAR else "cubic" if mode == "bicubic" else "nearest"}
    options["coordinate_transformation_mode"] = "align_corners" if align_corners else "half_pixel"
    if mode.startswith("nearest"):
        options["nearest_mode"] = "floor" if mode == "nearest" else "round_prefer_ceil"
        if mode == "nearest":
            options["coordinate_transformation_mode"] = "asymmetric"
    if mode == "bicubic":
        options["cubic_coeff_a"] = -0.75
    shape = (*x.shape[:2], *counts)
    if factors is None:
        return graph.op("Resize", x, None, None, graph.sizes(shape), shape=shape, **options)
    return graph.op("Resize", x, None, graph.constant(np.array([1, 1, *factors], np.float32)), shape=shape, **options)


@onnx_emitter(fractional_pooling.fractional_max_pool2d, fractional_pooling.fractional_max_pool3d)
def fractional(graph: Graph, call: Call) -> Any:
    raise OptionError("has no ONNX form: it draws its windows at random, in evaluation too. "
                      "adaptive_max_pool2d(output_size) pools to the same size.")  # fmt: skip
