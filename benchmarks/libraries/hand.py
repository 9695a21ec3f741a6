"""Hand-written JAX, straightforward: the yardstick that every ratio is to, 1.00.

`x @ w`, `lax.reduce_window`, `jax.random.bernoulli`, two-pass batch norm by autodiff, `jax.nn.gelu`, attention by
`einsum` over (batch, time, heads, features): what one writes from the equations. "hand scan" rolls equal blocks.
"""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks import jobs, workloads


def dense(p: Any, x: Any) -> Any:
    return x @ p["weight"] + p["bias"]


def layer_norm(p: Any, x: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5) * p["weight"] + p["bias"]


def batch_norm(p: Any, s: Any, x: Any, train: bool) -> tuple[Any, Any]:
    if train:
        mean = x.mean((0, 1, 2))
        var = ((x - mean) ** 2).mean((0, 1, 2))
        s = {"mean": 0.9 * s["mean"] + 0.1 * mean, "var": 0.9 * s["var"] + 0.1 * var}
    else:
        mean, var = s["mean"], s["var"]
    return ((x - mean) / jnp.sqrt(var + 1e-5) * p["weight"] + p["bias"]).astype(x.dtype), s  # statistics are float32


def dropout(key: Any, x: Any, p: float, train: bool) -> Any:
    return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0) if train else x


def conv(p: Any, x: Any) -> Any:
    y = lax.conv_general_dilated(x, p["weight"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + p["bias"]


def max_pool(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def avg_pool(x: Any) -> Any:
    return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4


def attend(p: Any, x: Any, heads: int) -> Any:
    batch, time, features = x.shape
    q, k, v = (dense(p[name], x).reshape(batch, time, heads, -1) for name in ("query", "key", "value"))
    scores = jnp.einsum("bthd,bshd->bhts", q, k) / math.sqrt(features // heads)
    weights = jax.nn.softmax(jnp.where(jnp.tri(time, dtype=bool), scores, -jnp.inf))
    return dense(p["out"], jnp.einsum("bhts,bshd->bthd", weights, v).reshape(batch, time, features))


def feed(p: Any, x: Any) -> Any:
    return dense(p["down"], jax.nn.gelu(dense(p["up"], x), approximate=False))


def mlp(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
    for p in params[:-1]:
        x = jax.nn.relu(dense(p, x))
    return dense(params[-1], x), state


def cnn(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
    new: list[Any] = []
    for i, (p, s) in enumerate(zip(params["convs"], state, strict=True)):
        x, s = batch_norm(p["norm"], s, conv(p["conv"], x), train)
        x = jax.nn.relu(x)
        new.append(s)
        if i == 0:
            x = max_pool(x)
    x = dropout(key, avg_pool(x), workloads.Cnn().p, train)
    return dense(params["head"], x.reshape(x.shape[0], -1)), new


def chain(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
    for p in params:
        x = x + feed(p, layer_norm(p["norm"], x))
    return x, state


def scanned_chain(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
    return lax.scan(lambda x, p: (x + feed(p, layer_norm(p["norm"], x)), None), x, params)[0], state


def gpt(size: workloads.Gpt) -> jobs.Apply:
    def apply(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        x = params["embed"][x] + params["place"][: x.shape[-1]]
        keys = jax.random.split(key, 2 * size.depth) if train else [None] * 2 * size.depth
        for i, p in enumerate(params["blocks"]):
            x = x + dropout(keys[2 * i], attend(p, layer_norm(p["norm1"], x), size.heads), size.p, train)
            x = x + dropout(keys[2 * i + 1], feed(p, layer_norm(p["norm2"], x)), size.p, train)
        return layer_norm(params["norm"], x) @ params["embed"].T, state

    return apply


def pair_of(workload: str) -> tuple[Any, Any, Any]:
    """apply, params and state of a workload, from the values that all start from."""
    size = workloads.size_of(workload)
    params = jax.tree.map(jnp.asarray, workloads.values_of(workload))
    if isinstance(size, workloads.Cnn):
        return cnn, params, [{"mean": jnp.zeros(c), "var": jnp.ones(c)} for c in size.channels[1:]]
    if isinstance(size, workloads.Gpt):
        return gpt(size), params, ()
    if workload == "ensemble":
        return jobs.over_members(mlp), jobs.stacked_members(params), ()
    return (chain if isinstance(size, workloads.Chain) else mlp), params, ()


def job(workload: str, variant: str) -> jobs.Job:
    apply, params, state = pair_of(workload)
    if variant == "hand scan":
        apply, params = scanned_chain, jobs.stacked_members(params)
    if variant == "hand bf16":
        return replace(jobs.functional(workload, jobs.narrow(apply), params, state, by_hand=True), note="bfloat16")
    return jobs.functional(workload, apply, params, state, by_hand=True)


def init(workload: str) -> Any:
    """A function from a key to fresh params: each array drawn in turn."""
    size = workloads.size_of(workload)

    def fresh(key: Any) -> Any:
        keys = iter(jax.random.split(key, 6 * size.depth + 2))
        d = size.features

        def dense(a: int, b: int) -> Any:
            return {"weight": 0.02 * jax.random.normal(next(keys), (a, b)), "bias": jnp.zeros(b)}

        def norm() -> Any:
            return {"weight": jnp.ones(d), "bias": jnp.zeros(d)}

        def feed() -> Any:
            return {"up": dense(d, 4 * d), "down": dense(4 * d, d)}

        if isinstance(size, workloads.Chain):
            return [{"norm": norm(), **feed()} for _ in range(size.depth)]
        attend = ("query", "key", "value", "out")
        tables = (("embed", size.vocabulary), ("place", size.length))
        return {
            **{name: 0.02 * jax.random.normal(next(keys), (n, d)) for name, n in tables},
            "blocks": [{"norm1": norm(), **{name: dense(d, d) for name in attend}, "norm2": norm(), **feed()}
                       for _ in range(size.depth)],
            "norm": norm(),
        }  # fmt: skip

    return fresh


VARIANTS = {"hand": ("*",), "hand scan": ("chain",), "hand bf16": workloads.NARROW}
