"""Convolutions as products of matrices and moves of places, for shapes at which XLA:CPU's own are slow."""

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax import lax

from jseq.functional.apart import apart, turn
from jseq.functional.conv_lax import Options, output_sizes, pad_image, spans_of
from jseq.functional.linear import linear


def conv_of_points(x: jax.Array, weight: jax.Array, stride: tuple[int, ...]) -> jax.Array:
    """Convolves by windows of one place."""
    kept = lax.slice(x, (0,) * x.ndim, x.shape, (1, *stride, 1))
    return linear(kept, weight.reshape(weight.shape[-2:]))


@jax.checkpoint  # so that x as it is given is what a gradient keeps
def conv_of_whole_images(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Convolves by a window as large as the image."""
    *window, outside = weight.shape
    y = linear(x.reshape(len(x), math.prod(window)), weight.reshape(math.prod(window), outside))
    return y.reshape(len(x), *(1,) * (x.ndim - 2), outside)


def conv_by_shifts(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Multiplies each place by all taps and adds up what they give to the places around, with a stride of one.

    The gradient of the weight is one product as well, of few columns: see `turn`.
    """
    _, padding, dilations = options
    *window, inside, outside = weight.shape
    n, taps = len(window), math.prod(window)
    counts = output_sizes(x.shape[1:-1], weight.shape, options)
    columns = linear(x, turn(weight.transpose(n, *range(n), n + 1).reshape(inside, taps * outside)))
    parts = list(lax.split(columns, (outside,) * taps, n + 1))
    for axis in reversed(range(n)):  # one after the other, or XLA takes seconds to compile the sum
        rows = (parts[i : i + window[axis]] for i in range(0, len(parts), window[axis]))
        parts = [_sum_along(axis, row, counts[axis], padding[axis][0], dilations[axis]) for row in rows]
        parts = [apart(part) for part in parts] if axis else parts
    return parts[0]


def conv_by_layers(x: jax.Array, weight: jax.Array, options: Options, conv: Callable[..., jax.Array]) -> jax.Array:
    """Convolves each layer by all taps of the first axis, and adds up what they give to the layers around.

    With a stride of one. `conv` is what convolves the layers.
    """
    (_, *strides), (pair, *pairs), (dilation, *dilations) = options
    taps, *window, inside, outside = weight.shape
    together = lax.transpose(weight, (*range(1, weight.ndim - 1), 0, weight.ndim - 1))
    together = together.reshape(*window, inside, taps * outside)
    y = conv(x.reshape(-1, *x.shape[2:]), together, (tuple(strides), tuple(pairs), tuple(dilations)))
    y = y.reshape(*x.shape[:2], *y.shape[1:])
    count, *_ = output_sizes(x.shape[1:-1], weight.shape, options)
    return apart(_sum_along(0, lax.split(y, (outside,) * taps, y.ndim - 1), count, pair[0], dilation))


def _sum_along(axis: int, row: Sequence[jax.Array], count: int, low: int, dilation: int) -> jax.Array:
    """Sums what the taps along one axis give to so many places, of which `low` are before the first."""
    around = [(0, 0)] * (row[0].ndim - 2)
    size, terms = row[0].shape[1 + axis], list[jax.Array]()
    for tap, part in enumerate(row):
        first = low - tap * dilation
        terms.append(pad_image(part, (*around[:axis], (first, count - size - first), *around[axis + 1 :])))
    return sum(terms[1:], terms[0])


def conv_in_blocks(x: jax.Array, weight: jax.Array, options: Options, conv: Callable[..., jax.Array]) -> jax.Array:
    """Convolves blocks of places as large as the stride, whose places are channels, with a stride of one.

    So the gradient of x has no zeros between its places: where windows do not overlap it is a product of matrices.
    `conv` is what convolves the blocks if they do.
    """
    strides, padding, dilations = options
    n, spans = len(strides), spans_of(weight.shape, dilations)
    taps = [span // s + 1 for span, s in zip(spans, strides, strict=True)]
    counts = output_sizes(x.shape[1:-1], weight.shape, options)
    each = zip(counts, taps, strides, padding, x.shape[1:-1], strict=True)
    x = pad_image(x, tuple((low, (count + t - 1) * s - low - size) for count, t, s, (low, _), size in each))
    widths = [(0, t * s - 1 - span, d - 1) for t, s, span, d in zip(taps, strides, spans, dilations, strict=True)]
    weight = lax.pad(weight, np.zeros((), weight.dtype), [*widths, (0, 0, 0), (0, 0, 0)])
    x, weight, ones = _in_blocks(x, strides), _in_blocks(weight[None], strides)[0], (1,) * n
    return conv_of_points(x, weight, ones) if set(taps) == {1} else conv(x, weight, (ones, ((0, 0),) * n, ones))


def _in_blocks(a: jax.Array, sizes: Sequence[int]) -> jax.Array:
    """Moves the places within each block into the channels: (lead, *places, channels, ...)."""
    n = len(sizes)
    lead, *places = a.shape[: n + 1]
    channels, *rest = a.shape[n + 1 :]
    a = a.reshape(lead, *itertools.chain(*((p // s, s) for p, s in zip(places, sizes, strict=True))), channels, *rest)
    a = a.transpose(0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2), *range(2 * n + 1, a.ndim))
    return a.reshape(*a.shape[: n + 1], math.prod(sizes) * channels, *rest)
