"""Depthwise convolutions as sums of products: windows of one channel each."""

import itertools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jseq.functional.conv_lax import Options, batch_parts, output_sizes, pad_image

# Elements of the shifted images, one for each tap, that the gradient of a weight needs at once. XLA:CPU writes them all
# before it sums, and glibc hands more than 32 MB back after each call. So output and gradients take 0.24 to 0.91 of the
# time of a whole batch's in one thread, 0.26 to 0.99 in two, and 0.1 to 0.8 of the memory (nine shapes from 16 MB on,
# jax 0.10, in two threads 0.12 too).
AT_ONCE = 2**20


def conv_by_taps(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Sums the taps of windows of one channel each, which XLA makes one loop of.

    XLA:CPU's own takes 26 ns an element for windows of 3x3, 60 to 160 with its gradients, and 9 us with them where more
    channels go out than come in.
    """
    strides, pairs, dilations = options
    n, window, channels = len(strides), weight.shape[: len(strides)], weight.shape[-1]
    sizes = output_sizes(x.shape[1:-1], window, options)
    x = pad_image(jnp.repeat(x, channels // groups, -1), pairs)
    weights = lax.split(weight.reshape(-1, *(1,) * n, channels), (1,) * math.prod(window))
    terms: list[jax.Array] = []
    for tap, own in zip(itertools.product(*map(range, window)), weights, strict=True):
        starts = [i * d for i, d in zip(tap, dilations, strict=True)]
        ends = [start + s * (size - 1) + 1 for start, s, size in zip(starts, strides, sizes, strict=True)]
        terms.append(lax.slice(x, (0, *starts, 0), (len(x), *ends, channels), (1, *strides, 1)) * own)
    return sum(terms[1:], terms[0])


def count_parts(x: jax.Array, weight: jax.Array, options: Options) -> int:
    """Into how many parts a batch is cut for the gradient of the weight."""
    each = math.prod(output_sizes(x.shape[1:-1], weight.shape, options)) * weight.size
    few = len(x) * each <= 4 * AT_ONCE
    return 1 if few else -(-len(x) // max(AT_ONCE // each, 1))


def conv_by_taps_in_parts(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Does so for parts of the batch in turn; the transpose by the weight adds up what each of them gives."""
    parts = batch_parts(x, count_parts(x, weight, options))
    y = lax.map(jax.checkpoint(lambda part: conv_by_taps(part, weight, options, groups)), parts)
    return lax.slice_in_dim(y.reshape(-1, *y.shape[2:]), 0, len(x))
