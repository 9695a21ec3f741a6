"""Transposed convolutions, in the forms that XLA:CPU is quick at."""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
from jax import lax

from jseq.functional.conv_forms import weight_term
from jseq.functional.conv_lax import Options, lax_conv, output_sizes, pad_image, spans_of
from jseq.functional.conv_rules import is_large
from jseq.functional.convolve import convolve
from jseq.functional.terms import Form, Terms, in_terms


def convolve_transposed(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Adds a window for each input place, `stride` apart, in the form that is fast for its shape.

    Its options are those of the convolution that does so where zeros lie between the places of x: the padding is that
    of x with its zeros.
    """
    strides, pairs, dilations = options
    n, spans = len(strides), spans_of(weight.shape, dilations)
    plain = partial(lax_conv, options=((1,) * n, pairs, dilations), groups=groups, apart=strides)
    # The window of a place that has no neighbour meets none, whatever the stride.
    places = zip(x.shape[1:-1], spans, strides, strict=True)
    strides = tuple(span + 1 if size == 1 else s for size, span, s in places)
    weight = lax.rev(weight, tuple(range(n)))
    if set(strides) == {1}:
        return convolve(x, weight, (strides, pairs, dilations), groups)
    if not is_large(x, weight):
        return plain(x, weight)

    def cut(x: jax.Array, weight: jax.Array, for_weights: bool = False) -> jax.Array:
        phases = _phased((strides, pairs, dilations), groups, for_weights)
        return lax.platform_dependent(x, weight, cpu=phases, default=plain)

    if groups > 1 or n == 3 or all(span < s for span, s in zip(spans, strides, strict=True)):
        return cut(x, weight)
    exchanged = math.prod(weight.shape[:n]) > math.prod(x.shape[1:-1])  # by XLA: see conv_rules.py
    return in_terms(x, weight, Terms(cut if exchanged else plain, plain, partial(cut, for_weights=True)))


@lru_cache(1024)  # one function for each, so that calls without jax.jit compile once
def _phased(options: Options, groups: int, for_weights: bool) -> Form:
    """Checkpoints the phases, so that x is what a gradient keeps."""
    return jax.checkpoint(partial(_by_phases, options=options, groups=groups, for_weights=for_weights))


def _by_phases(x: jax.Array, weight: jax.Array, options: Options, groups: int, for_weights: bool) -> jax.Array:
    """Convolves x once for all phases of the output, and lays them side by side.

    The places `stride q + r` of the output, of phase r, sum the taps r, r + stride, and so on: a convolution of x by
    those, without zeros. Where windows do not overlap it is a product of matrices.
    """
    strides, pairs, dilations = options
    n, spans = len(strides), spans_of(weight.shape, dilations)
    taps = [span // s + 1 for span, s in zip(spans, strides, strict=True)]
    inside = ((1,) * n, tuple((t - 1, t - 1) for t in taps), (1,) * n)
    phases = _phases(weight, spans, taps, options, groups)
    y = weight_term(x, phases, inside) if for_weights else convolve(x, phases, inside, groups)
    batch, *counts, _ = y.shape
    y = y.reshape(batch, *counts, groups, *strides, weight.shape[-1] // groups)
    in_order = itertools.chain(*((1 + axis, n + 2 + axis) for axis in range(n)))
    y = y.transpose(0, *in_order, n + 1, 2 * n + 2)
    y = y.reshape(batch, *(count * s for count, s in zip(counts, strides, strict=True)), weight.shape[-1])
    firsts = [span - low for span, (low, _) in zip(spans, pairs, strict=True)]
    outputs = transposed_sizes(x.shape[1:-1], weight.shape, options)
    widths = zip(firsts, outputs, y.shape[1:-1], strict=True)
    return pad_image(y, tuple((-first, first + output - size) for first, output, size in widths))


def transposed_sizes(sizes: Sequence[int], window: Sequence[int], options: Options) -> list[int]:
    """How many places the output has along each axis: those of a convolution over x with its zeros."""
    strides, pairs, dilations = options
    stretched = [(size - 1) * s + 1 for size, s in zip(sizes, strides, strict=True)]
    return output_sizes(stretched, window, ((1,) * len(strides), pairs, dilations))


def _phases(weight: jax.Array, spans: list[int], taps: list[int], options: Options, groups: int) -> jax.Array:
    """The weight by which x is convolved, (*taps, in, groups * phases * out / groups), from the reversed one."""
    strides, _, dilations = options
    n = len(strides)
    widths = [(t * s - 1 - span, 0, d - 1) for t, s, span, d in zip(taps, strides, spans, dilations, strict=True)]
    weight = lax.pad(weight, jnp.zeros((), weight.dtype), [*widths, (0, 0, 0), (0, 0, 0)])
    *_, inside, outside = weight.shape
    in_pairs = itertools.chain(*zip(taps, strides, strict=True))
    weight = weight.reshape(*in_pairs, inside, groups, outside // groups)
    weight = lax.rev(weight, range(1, 2 * n, 2))
    weight = weight.transpose(*range(0, 2 * n, 2), 2 * n, 2 * n + 1, *range(1, 2 * n, 2), 2 * n + 2)
    return weight.reshape(*taps, inside, outside * math.prod(strides))
