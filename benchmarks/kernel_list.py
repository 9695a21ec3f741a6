"""The kernels that `kernels.py` measures: shapes, the two formulations, and the largest ratio allowed."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks import naive
from jseq import functional as F

Shapes = tuple[tuple[int, ...], ...]


class Kernel(NamedTuple):
    """One line of the table.

    Args:
        goal: largest ratio allowed, forward and gradient together; None where none was set.
        shapes: of the arguments that have gradients, drawn from a normal distribution.
        fixed: further arguments that have none (keys, ids), made by a function.
        random: whether the two draw different numbers, so that outputs cannot be compared.
    """

    name: str
    goal: float | None
    shapes: Shapes
    naive: Callable[..., jax.Array]
    jseq: Callable[..., jax.Array]
    fixed: Callable[[], tuple[jax.Array, ...]] = tuple
    random: bool = False


def kernels(times: int = 1) -> list[Kernel]:
    """Every kernel and shape of the table, with batches so many times as large."""
    families = (pooling, normalisation, elementwise, attention, convolution, recurrence, products)
    return [kernel for family in families for kernel in family(times)]


def pooling(times: int) -> list[Kernel]:
    image = ((64 * times, 32, 32, 32),)
    return [
        Kernel("max pool 2x2", 0.25, image, lambda x: naive.max_pool(x, 2, 2), lambda x: F.max_pool2d(x, 2)),
        Kernel(
            "max pool 3x3, stride 2", 0.4, image, lambda x: naive.max_pool(x, 3, 2), lambda x: F.max_pool2d(x, 3, 2)
        ),
        Kernel("average pool 2x2", 0.95, image, lambda x: naive.avg_pool(x, 2), lambda x: F.avg_pool2d(x, 2)),
    ]


def normalisation(times: int) -> list[Kernel]:
    image, row, wide = (64 * times, 32, 32, 32), (8 * times, 128, 256), (8 * times, 128, 768)

    def batch_norm(x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
        return F.batch_norm(x, None, None, weight, bias, train=True)[0]

    def layer_norm(width: int) -> Callable[..., jax.Array]:
        return lambda x, weight, bias: F.layer_norm(x, width, weight, bias)

    return [
        Kernel("batch norm, training", 0.65, (image, (32,), (32,)), naive.batch_norm, batch_norm),
        Kernel("layer norm, width 256", 1.0, (row, (256,), (256,)), naive.layer_norm, layer_norm(256)),
        Kernel("layer norm, width 768", 1.0, (wide, (768,), (768,)), naive.layer_norm, layer_norm(768)),
        Kernel("RMS norm, width 256", 1.0, (row, (256,)), naive.rms_norm, lambda x, w: F.rms_norm(x, 256, w, 1e-5)),
        Kernel(
            "group norm, 8 groups",
            1.0,
            (image, (32,), (32,)),
            lambda x, w, b: naive.group_norm(x, w, b, 8),
            lambda x, w, b: F.group_norm(x, 8, 2, w, b),
        ),
        Kernel("instance norm", 1.0, (image,), naive.instance_norm, lambda x: F.instance_norm(x, 2)[0]),
    ]


def elementwise(times: int) -> list[Kernel]:
    def key() -> tuple[jax.Array]:
        return (jax.random.key(1),)

    def dropout(p: float) -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
        return (lambda x, key: naive.dropout(x, key, p)), (lambda x, key: F.dropout(x, p, key=key))

    wide = ((8 * times, 128, 1024),)
    return [
        Kernel("dropout, p = 0.5", 0.4, wide, *dropout(0.5), key, random=True),
        Kernel("dropout, p = 0.1", 0.6, wide, *dropout(0.1), key, random=True),
        Kernel("exact GELU", 0.75, wide, naive.gelu, F.gelu),
    ]


def attention(times: int) -> list[Kernel]:
    def causal(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    found: list[Kernel] = []
    for length, batch, goal in ((128, 8, None), (1024, 2, 0.4)):
        heads = ((batch * times, length, 4, 64),) * 3
        found.append(Kernel(f"causal attention, {length} tokens", goal, heads, naive.causal_attention, causal))
    return found


def convolution(times: int) -> list[Kernel]:
    def against(
        name: str,
        x: tuple[int, ...],
        weight: tuple[int, ...],
        goal: float,
        padding: int,
        groups: int = 1,
        stride: int = 1,
    ) -> Kernel:
        conv = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[len(x)]
        return Kernel(
            f"conv {name}",
            goal,
            ((x[0] * times, *x[1:]), weight),
            lambda x, w: naive.conv(x, w, padding, groups, stride),
            lambda x, w: conv(x, w, None, stride, padding, groups=groups),
        )

    def transposed(name: str, x: tuple[int, ...], weight: tuple[int, ...], stride: int, padding: int) -> Kernel:
        conv = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}[len(x)]
        return Kernel(
            f"conv transposed, {name}",
            1.0,
            ((x[0] * times, *x[1:]), weight),
            lambda x, w: naive.conv_transpose(x, w, stride, padding),
            lambda x, w: conv(x, w, None, stride, padding),
        )

    return [
        against("3x3, 32 to 64", (64, 16, 16, 32), (3, 3, 32, 64), 1.0, 1),
        against("3x3, 64 to 128", (64, 16, 16, 64), (3, 3, 64, 128), 1.0, 1),
        against("3x3, 3 to 32", (64, 32, 32, 3), (3, 3, 3, 32), 1.0, 1),
        against("5x5, 1 to 6", (64, 28, 28, 1), (5, 5, 1, 6), 1.0, 2),
        against("3x3, 3 to 16", (64, 28, 28, 3), (3, 3, 3, 16), 1.0, 1),
        against("9, 1 to 32", (4, 8192, 1), (9, 1, 32), 1.0, 4),
        against("3x3x3, 1 to 16", (2, 16, 32, 32, 1), (3, 3, 3, 1, 16), 1.0, 1),
        against("3x3, 64 to 64, batch 8", (8, 16, 16, 64), (3, 3, 64, 64), 1.0, 1),
        against("3x3, 64 to 3, batch 4", (4, 64, 64, 64), (3, 3, 64, 3), 1.0, 1),
        against("16x16 of stride 16, 3 to 192", (8, 224, 224, 3), (16, 16, 3, 192), 1.0, 0, stride=16),
        against("4x4 of stride 4, 3 to 96", (8, 112, 112, 3), (4, 4, 3, 96), 1.0, 0, stride=4),
        against("1x1, 64 to 128", (64, 16, 16, 64), (1, 1, 64, 128), 1.0, 0),
        against("3x3, 256 to 256", (32, 14, 14, 256), (3, 3, 256, 256), 1.0, 1),
        against("3x3 depthwise, 64", (16, 16, 16, 64), (3, 3, 1, 64), 1.0, 1, 64),
        against("7x7 depthwise, 384", (4, 14, 14, 384), (7, 7, 1, 384), 1.0, 3, 384),
        against("3x3, 64 in 8 groups", (4, 14, 14, 64), (3, 3, 8, 64), 1.0, 1, 8),
        against("3x3x3, 32 to 64", (4, 16, 16, 16, 32), (3, 3, 3, 32, 64), 1.0, 1),
        against("3x3 of stride 2 on 4x4, 256 to 256", (64, 4, 4, 256), (3, 3, 256, 256), 1.0, 1, stride=2),
        against("4x4 on 4x4, 256 to 100", (64, 4, 4, 256), (4, 4, 256, 100), 1.0, 0),
        against("5x5 on 4x4, 128 to 128", (32, 4, 4, 128), (5, 5, 128, 128), 1.0, 2),
        against("2x2 padded, 64 to 128", (32, 16, 16, 64), (2, 2, 64, 128), 1.0, 1),
        transposed("2x2 of stride 2, 128 to 64", (16, 16, 16, 128), (2, 2, 128, 64), 2, 0),
        transposed("4x4 of stride 2, 256 to 128", (32, 8, 8, 256), (4, 4, 256, 128), 2, 1),
        transposed("3x3, 64 to 64", (16, 16, 16, 64), (3, 3, 64, 64), 1, 1),
        transposed("16 of stride 8, 128 to 64", (16, 64, 128), (16, 128, 64), 8, 4),
        transposed("2x2x2 of stride 2, 32 to 16", (4, 8, 8, 8, 32), (2, 2, 2, 32, 16), 2, 0),
    ]


def recurrence(times: int) -> list[Kernel]:
    def weights(gates: int) -> Shapes:
        return (16 * times, 128, 128), (128, gates * 128), (128, gates * 128), (gates * 128,)

    def lstm(x: jax.Array, ih: jax.Array, hh: jax.Array, bias: jax.Array) -> jax.Array:
        return F.lstm(x, None, ih, hh, bias)[0]

    def gru(x: jax.Array, ih: jax.Array, hh: jax.Array, bias: jax.Array, bias_hh: jax.Array) -> jax.Array:
        return F.gru(x, None, ih, hh, bias, bias_hh)[0]

    def rnn(x: jax.Array, ih: jax.Array, hh: jax.Array, bias: jax.Array) -> jax.Array:
        return F.rnn(x, None, ih, hh, bias)[0]

    return [
        Kernel("LSTM, 128 steps", 0.85, weights(4), naive.lstm, lstm),
        Kernel("GRU, 128 steps", 0.85, (*weights(3), (384,)), naive.gru, gru),
        Kernel("RNN, 128 steps", 0.85, weights(1), naive.rnn, rnn),
    ]


def products(times: int) -> list[Kernel]:
    def ids() -> tuple[jax.Array]:
        return (jax.random.randint(jax.random.key(2), (8 * times, 128), 0, 8192, jnp.int32),)

    rows = (8 * times, 128, 256)
    return [
        Kernel(
            "linear on (8, 128, 256) to 1024",
            0.8,
            (rows, (256, 1024), (1024,)),
            naive.linear,
            F.linear,
        ),
        Kernel("linear on (64, 784) to 512", 1.0, ((64 * times, 784), (784, 512), (512,)), naive.linear, F.linear),
        Kernel("linear on (256, 2048) to 10", 1.0, ((256 * times, 2048), (2048, 10), (10,)), naive.linear, F.linear),
        Kernel(
            "embedding of 8192 x 256",
            1.0,
            ((8192, 256),),
            lambda weight, ids: naive.embedding(ids, weight),
            lambda weight, ids: F.embedding(ids, weight),
            ids,
        ),
    ]
