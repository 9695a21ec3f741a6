"""Convolutions of all groups and axes, cut into those that XLA:CPU is quick at."""

import math
from collections.abc import Callable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
from jax import lax

from jseq.functional.conv_depthwise import conv_by_taps, conv_by_taps_in_parts, count_parts
from jseq.functional.conv_forms import convolve_dense, input_term, weight_term
from jseq.functional.conv_lax import Options, lax_conv, output_sizes, pad_image
from jseq.functional.conv_products import conv_by_layers
from jseq.functional.conv_rules import has_layered_gradient, is_large, is_layered
from jseq.functional.terms import Form, Terms, in_terms


def convolve(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Convolves x (batch, *spatial, channels) in the form that is fast for its shape."""
    form = _form(x, weight, options, groups)
    if form is None:
        return convolve_dense(x, weight, options) if groups == 1 else lax_conv(x, weight, options, groups)
    if form is _in_planes and groups == 1 and is_layered(weight, options):
        return in_terms(x, weight, _layered(options, has_layered_gradient(x, weight)))
    if form is conv_by_taps and count_parts(x, weight, options) > 1:
        return in_terms(x, weight, _depthwise(options, groups))
    return _cut(form, options, groups)(x, weight)


@lru_cache(1024)  # one set for each, so that calls without jax.jit compile once
def _layered(options: Options, gradient: bool) -> Terms:
    """The terms of a convolution over three axes to few channels, by layers; also the `gradient` of x, or by planes."""
    output = partial(conv_by_layers, conv=partial(convolve, groups=1))
    by_input = partial(conv_by_layers if gradient else _in_planes, conv=input_term)
    by_weight = partial(_in_planes, conv=weight_term)
    return Terms(*(_on_cpu(form, options) for form in (output, by_input, by_weight)))


@lru_cache(1024)  # one set for each, so that calls without jax.jit compile once
def _depthwise(options: Options, groups: int) -> Terms:
    """The terms of a depthwise convolution of a large batch."""
    whole, parts = (_cut(form, options, groups) for form in (conv_by_taps, conv_by_taps_in_parts))
    return Terms(whole, whole, parts)


@lru_cache(1024)  # one function for each, so that calls without jax.jit compile once
def _cut(form: Callable[..., jax.Array], options: Options, groups: int) -> Form:
    return _on_cpu(partial(form, groups=groups), options, groups)


def _on_cpu(form: Callable[..., jax.Array], options: Options, groups: int = 1) -> Form:
    """Checkpoints a form, so that x is what a gradient keeps, and not the pieces that it is cut into."""
    fast = jax.checkpoint(partial(form, options=options))
    plain = partial(lax_conv, options=options, groups=groups)

    def chosen(x: jax.Array, weight: jax.Array) -> jax.Array:
        return lax.platform_dependent(x, weight, cpu=fast, default=plain)

    return chosen


def _form(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> Callable[..., jax.Array] | None:
    """Finds how to cut a convolution."""
    if not is_large(x, weight):
        return None
    if _met_taps(x, weight, options) != [(0, k) for k in weight.shape[:-2]]:
        return _by_met_taps
    taps = math.prod(weight.shape[:-2])
    if 1 < groups == x.shape[-1] and taps <= 64:
        return conv_by_taps
    if weight.ndim == 5 and taps > 1:
        return _in_planes
    return _in_parts if groups > 1 and _parts_of(groups) <= 16 else None


def _met_taps(x: jax.Array, weight: jax.Array, options: Options) -> list[tuple[int, int]]:
    """From which tap to which more than padding is met, along each axis: one of nine where the image is one place."""
    outputs, found = output_sizes(x.shape[1:-1], weight.shape, options), list[tuple[int, int]]()
    for size, count, k, s, (low, _), d in zip(x.shape[1:-1], outputs, weight.shape, *options, strict=False):
        first, last = max(-((s * (count - 1) - low) // d), 0), min((low + size - 1) // d, k - 1)
        found.append((first, last + 1) if first <= last else (0, k))
    return found


def _by_met_taps(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    strides, padding, dilations = options
    met = _met_taps(x, weight, options)
    starts, ends = zip(*met, (0, weight.shape[-2]), (0, weight.shape[-1]), strict=True)
    each = zip(padding, dilations, met, weight.shape, strict=False)
    left = tuple((low - d * first, high - d * (k - end)) for (low, high), d, (first, end), k in each)
    return convolve(x, lax.slice(weight, starts, ends), (strides, left, dilations), groups)


def _parts_of(groups: int) -> int:
    """Into how many equal parts to cut them: at most eight, where that is not one."""
    divisors = [n for n in range(2, groups + 1) if groups % n == 0]
    return max((n for n in divisors if n <= 8), default=divisors[0])


def _in_planes(
    x: jax.Array, weight: jax.Array, options: Options, groups: int = 1, conv: Callable[..., jax.Array] | None = None
) -> jax.Array:
    """Sums convolutions over the last two of three axes, one for each tap along the first."""
    conv = conv or partial(convolve, groups=groups)
    (stride, *strides), (pair, *pairs), (dilation, *dilations) = options
    n, _, *plane = x.shape
    places, *_ = output_sizes(x.shape[1:-1], weight.shape, options)
    x = pad_image(x, (pair, (0, 0), (0, 0)))
    terms: list[jax.Array] = []
    for start, window in zip(range(0, dilation * len(weight), dilation), weight, strict=True):
        part = lax.slice_in_dim(x, start, start + stride * (places - 1) + 1, stride, 1).reshape(n * places, *plane)
        terms.append(conv(part, window, (tuple(strides), tuple(pairs), tuple(dilations))))
    y = sum(terms[1:], terms[0])
    return y.reshape(n, places, *y.shape[1:])


def _in_parts(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Convolves parts of the groups, each by a weight that is 0 between the groups of the part.

    XLA:CPU's gradient of the weight takes seconds where there are many groups. What is not finite in one group reaches
    the others of its part, where there are more than eight groups.
    """
    parts = _parts_of(groups)
    inputs = lax.split(x, (x.shape[-1] // parts,) * parts, x.ndim - 1)
    weights = lax.split(weight, (weight.shape[-1] // parts,) * parts, weight.ndim - 1)
    dense = (_spread(part, groups // parts) for part in weights)
    return jnp.concatenate([convolve(a, w, options, 1) for a, w in zip(inputs, dense, strict=True)], -1)


def _spread(weight: jax.Array, groups: int) -> jax.Array:
    """The weight of one group that does what that of several does."""
    if groups == 1:
        return weight
    *window, inside, outside = weight.shape
    blocks = weight.reshape(*window, inside, groups, outside // groups)
    own = jnp.eye(groups, dtype=bool).reshape(*(1,) * len(window), groups, 1, groups, 1)
    dense = jnp.where(own, jnp.expand_dims(blocks, -4), jnp.zeros((), weight.dtype))
    return dense.reshape(*window, groups * inside, outside)
