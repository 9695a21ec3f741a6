"""Attention in ONNX: products and a softmax, with masks of either kind."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.registry import Call, onnx_emitter
from jseq._interop.onnx.table import rotated
from jseq._interop.onnx.value import Value
from jseq._layers import attention, grouped_attention
from jseq.functional.dense_attention import visible


@onnx_emitter(attention.multihead_attention)
def multihead(graph: Graph, call: Call) -> Value:
    xs = call.x if isinstance(call.x, tuple) else (call.x,) * 3
    heads = call.options["num_heads"]
    mask = joined(graph, call.context.get("mask"), call.context.get("key_padding_mask"))
    q, k, v = project(graph, xs, call.params)
    steps, causal = k.shape[-2], call.options["is_causal"]
    k, v = with_added_keys(graph, call, k, v)
    if k.shape[-2] > steps:
        mask = widened(graph, mask, q.shape[-2], steps, k.shape[-2] - steps, causal)
        causal = False
    y = attend(graph, q, k, v, (heads, heads), mask, visible(q.shape[-2], k.shape[-2], None) if causal else None)
    return graph.linear(y, call.params["out_proj"]["weight"], call.params["out_proj"].get("bias"))


def project(graph: Graph, xs: tuple[Value, ...], params: Any) -> list[Value]:
    """Queries, keys and values; by one product where they are of one input."""
    bias = params.get("in_proj_bias")
    packed = params.get("in_proj_weight")
    if packed is not None and xs[0] is xs[1] and xs[1] is xs[2]:
        return graph.split(graph.linear(xs[0], packed, bias), 3)
    weights = (
        [params[f"{name}_proj_weight"] for name in "qkv"] if packed is None else np.split(np.asarray(packed), 3, -1)
    )
    biases = [None] * 3 if bias is None else np.split(np.asarray(bias), 3)
    return [graph.linear(x, w, b) for x, w, b in zip(xs, weights, biases, strict=True)]


def with_added_keys(graph: Graph, call: Call, k: Value, v: Value) -> tuple[Value, Value]:
    """The learned key and value behind the others, then those of zeros."""
    made: list[Value] = []
    for a, name in ((k, "bias_k"), (v, "bias_v")):
        rows = [call.params[name]] if name in call.params else []
        rows += [np.zeros(a.shape[-1:], "float32")] if call.options["add_zero_attn"] else []
        shape = (*a.shape[:-2], 1, a.shape[-1])
        more = [graph.value(np.asarray(row).reshape((1,) * (a.ndim - 1) + (-1,)), (a,), name) for row in rows]
        made.append(graph.concat([a, *(graph.expand(row, shape) for row in more)], -2))
    return made[0], made[1]


def joined(graph: Graph, mask: Value | None, over_keys: Value | None) -> Value | None:
    """A mask over scores and one over keys as one: both must allow a key, numbers add up."""
    if over_keys is None:
        return mask
    over_keys = graph.expand_dims(over_keys, -2, -2 - 1)
    return over_keys if mask is None else both(graph, mask, over_keys)


def both(graph: Graph, mask: Value, other: Value) -> Value:
    if mask.dtype == other.dtype == np.bool_:
        return graph.map("And", mask, other, dtype=bool)
    dtype = other.dtype if mask.dtype == np.bool_ else mask.dtype
    return added(graph, mask, dtype) + added(graph, other, dtype)


def added(graph: Graph, mask: Value, dtype: Any) -> Value:
    """A mask as numbers to add: 0 for True and -inf for False."""
    if mask.dtype != np.bool_:
        return graph.cast(mask, dtype)
    return graph.map("Where", mask, np.zeros((), dtype), np.full((), -np.inf, dtype), dtype=dtype)


def widened(graph: Graph, mask: Value | None, length: int, keys: int, more: int, causal: bool) -> Value | None:
    """The mask, under which every query sees the added keys."""
    if causal:
        seen = graph.constant(visible(length, keys, None))
        mask = seen if mask is None else both(graph, mask, seen)
    if mask is None:
        return None
    lead = mask.shape[:-1]
    column = graph.expand(graph.constant(np.full((1,) * mask.ndim, mask.dtype == np.bool_), mask.dtype), (*lead, more))
    return graph.concat([graph.expand(mask, (*lead, keys)), column], -1)


def attend(graph: Graph, q: Value, k: Value, v: Value, heads: tuple[int, int], mask: Value | None, seen: Any) -> Value:
    """Attention of (..., T, heads * d); `heads` of queries and of keys, `seen` is what causality allows."""
    lead, length, keys = q.shape[:-2], q.shape[-2], k.shape[-2]
    q, k, v = (by_head(graph, a, n) for a, n in zip((q, k, v), (heads[0], heads[1], heads[1]), strict=True))
    size, groups = q.shape[-1], heads[0] // heads[1]
    if groups > 1:
        q = graph.reshape(q, (*lead, heads[1], groups * length, size))
    scores = graph.matmul(q * (1.0 / math.sqrt(size)), graph.transpose(k, (*range(k.ndim - 2), -1, -2)))
    weights = softmax(graph, graph.reshape(scores, (*lead, heads[0], length, keys)), mask, seen)
    y = graph.matmul(graph.reshape(weights, (*lead, heads[1], groups * length, keys)), v)
    y = graph.moveaxis(graph.reshape(y, (*lead, heads[0], length, v.shape[-1])), -3, -2)
    return graph.reshape(y, (*lead, length, heads[0] * v.shape[-1]))


def by_head(graph: Graph, x: Value, heads: int) -> Value:
    """(..., T, heads * d) to (..., heads, T, d)."""
    split = graph.reshape(x, (*x.shape[:-1], heads, x.shape[-1] // heads)) if x.ndim else x
    return graph.moveaxis(split, -2, -3)


def softmax(graph: Graph, scores: Value, mask: Value | None, seen: Any) -> Value:
    """The weights; a row that sees nothing is all zeros."""
    lowest = float(jnp.finfo(scores.dtype).min)
    if mask is None:
        return graph.along("Softmax", scores if seen is None else graph.where(np.asarray(seen), scores, lowest), -1)
    if mask.dtype != np.bool_:
        finite = graph.map("Greater", mask, -np.inf, dtype=bool)
        scores = scores + graph.cast(graph.where(finite, mask, 0.0), scores.dtype)
        mask = finite
    if seen is not None:
        mask = graph.map("And", mask, np.asarray(seen), dtype=bool)
    return graph.where(mask, graph.along("Softmax", graph.where(mask, scores, lowest), -1), 0.0)


@onnx_emitter(grouped_attention.grouped_query_attention)
def grouped_query(graph: Graph, call: Call) -> Value:
    options, params = call.options, call.params
    heads = (options["num_heads"], options["num_kv_heads"])
    q, k, v = (graph.linear(call.x, params[f"{n}_proj"]["weight"], params[f"{n}_proj"].get("bias")) for n in "qkv")
    if options["rotary"]:
        q, k = (turned(graph, a, n, call) for a, n in zip((q, k), heads, strict=True))
    mask = joined(graph, call.context.get("mask"), call.context.get("key_padding_mask"))
    length = call.x.shape[-2]
    seen = visible(length, length, options["window"]) if options["is_causal"] else None
    y = attend(graph, q, k, v, heads, mask, seen)
    return graph.linear(y, params["o_proj"]["weight"], params["o_proj"].get("bias"))


def turned(graph: Graph, x: Value, heads: int, call: Call) -> Value:
    """Rotary positions on (..., T, heads * d)."""
    split = graph.reshape(x, (*x.shape[:-1], heads, x.shape[-1] // heads))
    places = call.context.get("positions")
    return graph.reshape(rotated(graph, split, places, call.options["base"], call.options["interleaved"]), x.shape)
