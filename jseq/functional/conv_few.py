"""Convolutions of few channels, for which XLA:CPU has no quick routine: of more channels, of rows, of columns."""

import itertools
from functools import partial

import jax
import numpy as np
from jax import lax

from jseq.functional.apart import apart
from jseq.functional.conv_lax import Options, lax_conv, output_sizes, pad_image
from jseq.functional.conv_rules import filled
from jseq.functional.linear import linear
from jseq.functional.terms import Form


def filled_unless_mapped(options: Options) -> Form:
    """Convolves with more channels of zeros, but where `jax.vmap` maps the weight.

    XLA's convolution then has the channels of all weights, or groups, for which zeros took 0.5 to 1.8 of the time.
    """
    form = jax.custom_batching.custom_vmap(partial(conv_filled, options=options))

    @form.def_vmap
    def mapped(size: int, batched: list[bool], x: jax.Array, weight: jax.Array) -> tuple[jax.Array, bool]:
        conv = partial(lax_conv if batched[1] else conv_filled, options=options)
        return jax.vmap(conv, tuple(0 if given else None for given in batched))(x, weight), True

    return form


def conv_filled(x: jax.Array, weight: jax.Array, options: Options, back: bool = False) -> jax.Array:
    """Convolves with more channels, those added of zeros, and one axis as a row of two.

    Args:
        x: (batch, *spatial, channels).
        weight: (*window, in, out).
        options: stride, padding, dilation.
        back: whether what is wanted is the transpose by x, to the channels that come in.
    """
    inside, outside = weight.shape[-2:]
    come, go = filled(weight, back)
    x, weight = _with_zeros(x, (come - inside,)), _with_zeros(weight, (come - inside, go - outside))
    y = _conv_of_rows(x, weight, options) if x.ndim == 3 else lax_conv(x, weight, options)
    return lax.slice_in_dim(y, 0, outside, axis=y.ndim - 1)


def _conv_of_rows(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    (strides, padding, dilations) = options
    row = ((1, *strides), ((0, 0), *padding), (1, *dilations))
    return lax.squeeze(lax_conv(lax.expand_dims(x, [1]), lax.expand_dims(weight, [0]), row), [1])


def _with_zeros(a: jax.Array, more: tuple[int, ...]) -> jax.Array:
    """Adds so many zeros at the end of each of the last axes."""
    if not any(more):
        return a
    widths = [(0, 0, 0)] * (a.ndim - len(more)) + [(0, count, 0) for count in more]
    return lax.pad(a, np.zeros((), a.dtype), widths)


def conv_of_columns(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Multiplies the window of each place, laid out as a column, by the weight, with a stride of one.

    Its transpose by x is one product, whose parts are added up at the places that they came from.
    """
    _, padding, dilations = options
    *window, inside, outside = weight.shape
    n, counts = len(window), output_sizes(x.shape[1:-1], weight.shape, options)
    x = pad_image(apart(x), padding)  # or XLA adds the parts up again for each that reads the gradient
    taps: list[jax.Array] = []
    for tap in itertools.product(*map(range, window)):
        starts = [i * d for i, d in zip(tap, dilations, strict=True)]
        ends = [start + count for start, count in zip(starts, counts, strict=True)]
        taps.append(lax.slice(x, (0, *starts, 0), (len(x), *ends, inside)))
    return linear(lax.concatenate(taps, n + 1), weight.reshape(-1, outside))
