"""Winograd's arithmetic for convolutions by windows of 3x3: 16 products where the sum itself has 36.

A tile of 2x2 places of the output needs 4x4 of the input. Along one axis, with places x0 to x3 and taps w0 to w2,

    y0 = (x0 - x2) w0 + (x1 + x2) (w0 + w1 + w2) / 2 + (x2 - x1) (w0 - w1 + w2) / 2
    y1 = (x1 + x2) (w0 + w1 + w2) / 2 - (x2 - x1) (w0 - w1 + w2) / 2 - (x1 - x3) w2

are four products in place of six, and along both axes 4 * 4 in place of 6 * 6. Each is a product of matrices: all tiles
by the channels that come in, times those by the channels that go out. As y0 never meets x3, nor y1 x0, no place sees
what lies outside its window, not even by rounding.

S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural
Networks, CVPR 2016: F(2x2, 3x3).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jseq.functional.apart import MERGES
from jseq.functional.conv_lax import batch_parts
from jseq.functional.windows import Pairs

# How the four factors along an axis come from three taps; along both axes.
_TAPS = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
_WINDOW = np.kron(_TAPS, _TAPS)
# Tiles that are worked on at once, so that factors and products, four times the images, stay in the cache: in one
# thread 0.92 to 1.02 of the time of 256, 0.63 to 0.97 of that of 2048 (nine shapes); no more in two threads.
AT_ONCE = 512
# Sixteen times so many numbers stay there, 25 MB. With the weights of many channels those are fewer tiles, but for the
# least at which weights are read, or their gradient is added to. From 512 to 512 channels on images of 7x7 an output
# takes 0.55 to 0.64 of the time of 512 tiles, from 256 to 512 0.47 to 0.85 (one and two threads).
CACHED = 3 * 2**17
LEAST_OF_OUTPUT, LEAST_OF_GRADIENT = 128, 256


def tiles_of(shape: tuple[int, ...], padding: Pairs) -> int:
    """Counts the tiles that cover the output of one image, of a batch of this shape."""
    return math.prod((size + sum(pair) - 1) // 2 for size, pair in zip(shape[1:3], padding, strict=True))


def output_shape(x: tuple[int, ...], weight: tuple[int, ...], padding: Pairs) -> tuple[int, ...]:
    """The shape of the output, from those of x and the weight."""
    return (x[0], *(size + sum(pair) - 2 for size, pair in zip(x[1:3], padding, strict=True)), weight[3])


def output(x: jax.Array, weight: jax.Array, padding: Pairs) -> jax.Array:
    """Convolves x (batch, height, width, in) by weight (3, 3, in, out)."""
    n, height, width, channels = shape = output_shape(x.shape, weight.shape, padding)
    if 0 in (*shape, *x.shape):
        return jnp.zeros(shape, x.dtype)
    weights = lax.dot(np.asarray(_WINDOW, x.dtype), weight.reshape(9, -1)).reshape(16, *weight.shape[2:])

    def convolved(x: jax.Array) -> jax.Array:
        factors = _factors(x, padding)
        products = _products(factors.reshape(16, -1, factors.shape[-1]), weights, 2)
        y = _summed(products.reshape(*factors.shape[:-1], channels))
        return lax.slice(y, (0, 0, 0, 0), (len(y), height, width, channels))

    count = _count_parts(x, weight.shape, padding, LEAST_OF_OUTPUT)
    y = lax.map(convolved, batch_parts(x, count)) if count > 1 else convolved(x)
    return lax.slice_in_dim(y.reshape(-1, height, width, channels), 0, n)


def weight_gradient(x: jax.Array, g: jax.Array, padding: Pairs) -> jax.Array:
    """The gradient of the sum of `g * output(x, weight, padding)` by the weight."""
    channels = (x.shape[-1], g.shape[-1])
    if 0 in (*x.shape, *g.shape):
        return jnp.zeros((3, 3, *channels), x.dtype)
    fewer_go_out = channels[1] < channels[0]
    first = lax.squeeze(lax.slice(g, (0,) * 4, (1,) * 4), range(4))
    usual = lax.eq(first, first)

    def summed(x: jax.Array, g: jax.Array) -> jax.Array:
        factors, spread = (a.reshape(16, -1, a.shape[-1]) for a in (_factors(x, padding), _spread(g)))
        few, many = (spread, factors) if fewer_go_out else (factors, spread)
        return _over_tiles(few, many, usual)

    count = _count_parts(x, (3, 3, *channels), padding, LEAST_OF_GRADIENT)
    if count > 1:
        given = batch_parts(x, count), batch_parts(g, count)
        zeros = jnp.zeros((16, min(channels), max(channels)), x.dtype)
        total, _ = lax.scan(lambda total, part: (lax.add(total, summed(*part)), None), zeros, given)
    else:
        total = summed(x, g)
    gradient = lax.dot(np.asarray(_WINDOW.T, x.dtype), total.reshape(16, -1)).reshape(3, 3, *total.shape[1:])
    return lax.transpose(gradient, (0, 1, 3, 2)) if fewer_go_out else gradient


def _over_tiles(few: jax.Array, many: jax.Array, usual: jax.Array) -> jax.Array:
    """The products over all tiles, of fewer channels and of more.

    XLA:CPU multiplies rows by columns at 220 GFLOP/s, rows by rows at 120, and turns the first in less than that takes,
    if it turns them by themselves. Where it merges, a conditional keeps the two apart, as long as XLA does not know how
    it ends: `usual` is whether one of the numbers is not nan. The products are the same either way.
    """

    def turned(few: jax.Array, many: jax.Array) -> jax.Array:
        return _products(lax.optimization_barrier(lax.transpose(few, (0, 2, 1))), many, 2)

    def as_they_are(few: jax.Array, many: jax.Array) -> jax.Array:
        return _products(few, many, 1)

    return lax.cond(usual, turned, as_they_are, few, many) if MERGES else turned(few, many)


def _products(a: jax.Array, b: jax.Array, axis: int) -> jax.Array:
    """The products of sixteen pairs of matrices, over this axis of the first and the rows of the second."""
    return lax.dot_general(a, b, (((axis,), (1,)), ((0,), (0,))))


def _count_parts(x: jax.Array, weight: tuple[int, ...], padding: Pairs, least: int) -> int:
    inside, outside = weight[2:]
    tiles = min(AT_ONCE, max(least, (CACHED - inside * outside) // (inside + outside)))
    return -(-len(x) // max(tiles // tiles_of(x.shape, padding), 1))


def _factors(x: jax.Array, padding: Pairs) -> jax.Array:
    """The factors of all tiles: (4, 4, batch, tiles down, tiles across, channels)."""
    odd = [(size + sum(pair)) % 2 for size, pair in zip(x.shape[1:3], padding, strict=True)]
    x = _padded(x, [(low, high + more) for (low, high), more in zip(padding, odd, strict=True)])
    return _stacked(_from_places(_stacked(_from_places(x, 1), 0), 3), 1)


def _from_places(x: jax.Array, axis: int) -> list[jax.Array]:
    even, odd = _split(x, axis)
    last = even.shape[axis] - 1
    (x0, x2), (x1, x3) = ([lax.slice_in_dim(part, i, last + i, axis=axis) for i in (0, 1)] for part in (even, odd))
    return [lax.sub(x0, x2), lax.add(x1, x2), lax.sub(x2, x1), lax.sub(x1, x3)]


def _summed(products: jax.Array) -> jax.Array:
    """The output (batch, height, width, channels) from the products of all tiles."""

    def sums(products: jax.Array) -> list[jax.Array]:
        a, b, c, d = (lax.squeeze(part, (0,)) for part in lax.split(products, (1,) * 4))
        return [lax.add(lax.add(a, b), c), lax.sub(lax.sub(b, c), d)]

    # Apart: as one loop they have four bodies of nine terms. Of 64 to 128 channels an output compiles in 0.19 s so, and
    # in 0.32 as one; of 64 to 64 in the same time.
    rows = lax.optimization_barrier(_stacked(sums(products), 3))
    y = _stacked(sums(rows), 4)
    n, down, _, across, _, channels = y.shape
    return y.reshape(n, 2 * down, 2 * across, channels)


def _spread(g: jax.Array) -> jax.Array:
    """The transpose of `_summed`: the gradients of all products."""
    g = _padded(g, [(0, size % 2) for size in g.shape[1:3]])

    def along(g: jax.Array, axis: int) -> list[jax.Array]:
        y0, y1 = _split(g, axis)
        return [y0, lax.add(y0, y1), lax.sub(y0, y1), lax.neg(y1)]

    return _stacked(along(_stacked(along(g, 1), 0), 3), 1)


def _stacked(arrays: list[jax.Array], axis: int) -> jax.Array:
    """`jnp.stack` without the tracing of its own, as tiles are traced at each lowering."""
    return lax.concatenate([lax.expand_dims(a, (axis,)) for a in arrays], axis)


def _padded(x: jax.Array, pairs: list[tuple[int, int]]) -> jax.Array:
    """Pads both axes; as rows of numbers, which compiles in a quarter of the time and runs in half."""
    n, height, width, channels = x.shape
    (top, bottom), (left, right) = pairs
    widths = [(0, 0, 0), (top, bottom, 0), (left * channels, right * channels, 0)]
    rows = lax.pad(x.reshape(n, height, -1), np.zeros((), x.dtype), widths)
    return rows.reshape(n, height + top + bottom, width + left + right, channels)


def _split(x: jax.Array, axis: int) -> list[jax.Array]:
    """The even and the odd places along an axis."""
    pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    return [lax.squeeze(part, (axis + 1,)) for part in lax.split(pairs, (1, 1), axis + 1)]
