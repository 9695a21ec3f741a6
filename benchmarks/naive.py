"""The straightforward JAX formulations that jseq's kernels are held against: what one writes by hand first."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def linear(x: Array, weight: Array, bias: Array) -> Array:
    return x @ weight + bias


def max_pool(x: Array, kernel: int, stride: int) -> Array:
    window, strides = (1, kernel, kernel, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "VALID")


def avg_pool(x: Array, kernel: int) -> Array:
    window = (1, kernel, kernel, 1)
    return lax.reduce_window(x, 0.0, lax.add, window, window, "VALID") / kernel**2


def batch_norm(x: Array, weight: Array, bias: Array) -> Array:
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / jnp.sqrt(x.var(axes) + 1e-5) * weight + bias


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(var + 1e-5) * weight + bias


def rms_norm(x: Array, weight: Array) -> Array:
    return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight


def group_norm(x: Array, weight: Array, bias: Array, groups: int) -> Array:
    parts = x.reshape(*x.shape[:-1], groups, -1)
    mean, var = parts.mean((1, 2, 4), keepdims=True), parts.var((1, 2, 4), keepdims=True)
    return ((parts - mean) / jnp.sqrt(var + 1e-5)).reshape(x.shape) * weight + bias


def instance_norm(x: Array) -> Array:
    return (x - x.mean((1, 2), keepdims=True)) / jnp.sqrt(x.var((1, 2), keepdims=True) + 1e-5)


def dropout(x: Array, key: Array, p: float) -> Array:
    return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)


def gelu(x: Array) -> Array:
    return jax.nn.gelu(x, approximate=False)


def causal_attention(q: Array, k: Array, v: Array) -> Array:
    scores = jnp.einsum("bthd,bshd->bhts", q, k) / math.sqrt(q.shape[-1])
    seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    return jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)), v)


def conv(x: Array, weight: Array, padding: int = 0, groups: int = 1, stride: int = 1) -> Array:
    n = x.ndim - 2
    return lax.conv_general_dilated(
        x,
        weight,
        (stride,) * n,
        [(padding, padding)] * n,
        dimension_numbers=_numbers(n),
        feature_group_count=groups,
    )


def conv_transpose(x: Array, weight: Array, stride: int, padding: int) -> Array:
    n = x.ndim - 2
    pairs = [(k - 1 - padding, k - 1 - padding) for k in weight.shape[:n]]
    flipped = weight[(slice(None, None, -1),) * n]
    return lax.conv_general_dilated(
        x, flipped, (1,) * n, pairs, lhs_dilation=(stride,) * n, dimension_numbers=_numbers(n)
    )


def _numbers(n: int) -> tuple[str, str, str]:
    spatial = "DHW"[3 - n :]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"


def lstm(x: Array, ih: Array, hh: Array, bias: Array) -> Array:
    def step(state: Any, x: Array) -> Any:
        h, c = state
        i, f, g, o = jnp.split(x @ ih + h @ hh + bias, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[0], hh.shape[0]), x.dtype)
    return lax.scan(step, (zeros, zeros), x.swapaxes(0, 1))[1].swapaxes(0, 1)


def gru(x: Array, ih: Array, hh: Array, bias: Array, bias_hh: Array) -> Array:
    def step(h: Array, x: Array) -> Any:
        xr, xz, xn = jnp.split(x @ ih + bias, 3, axis=-1)
        hr, hz, hn = jnp.split(h @ hh + bias_hh, 3, axis=-1)
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        h = (1 - z) * jnp.tanh(xn + r * hn) + z * h
        return h, h

    return lax.scan(step, jnp.zeros((x.shape[0], hh.shape[0]), x.dtype), x.swapaxes(0, 1))[1].swapaxes(0, 1)


def rnn(x: Array, ih: Array, hh: Array, bias: Array) -> Array:
    def step(h: Array, x: Array) -> Any:
        h = jnp.tanh(x @ ih + h @ hh + bias)
        return h, h

    return lax.scan(step, jnp.zeros((x.shape[0], hh.shape[0]), x.dtype), x.swapaxes(0, 1))[1].swapaxes(0, 1)


def embedding(ids: Array, weight: Array) -> Array:
    return weight[ids]
