"""Convolutions of all groups and axes, cut into those that XLA:CPU is quick at."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jseq.functional.conv_forms import Options, convolve_dense, has_forms, lax_conv
from jseq.functional.sharded import on_mesh

# Multiplications from which on a convolution is cut: below, it takes less than 0.1 ms, and pieces longer to compile.
LEAST = 2**16


def convolve(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Convolves x (batch, *spatial, channels) in the form that is fast for its shape."""
    form = _form(x, weight, groups)
    plain = partial(lax_conv, options=options, groups=groups)
    if form is None:
        return convolve_dense(x, weight, options) if groups == 1 else plain(x, weight)
    # Checkpointed, so that x is what a gradient keeps, and not the pieces that it is cut into.
    cut = jax.checkpoint(partial(form, options=options, groups=groups))
    return lax.platform_dependent(x, weight, cpu=cut, default=plain)


def _form(x: jax.Array, weight: jax.Array, groups: int) -> Callable[..., jax.Array] | None:
    """Finds how to cut a convolution, but for what is on a mesh."""
    if not has_forms(x) or on_mesh(x) or on_mesh(weight):
        return None
    if math.prod(x.shape[:-1]) * weight.size < LEAST:
        return None
    taps = math.prod(weight.shape[:-2])
    if 1 < groups == x.shape[-1] and taps <= 64:
        return _by_taps
    if weight.ndim == 5 and taps > 1:
        return _in_planes
    return _in_parts if groups > 1 and _parts_of(groups) <= 16 else None


def _parts_of(groups: int) -> int:
    """Into how many equal parts to cut them: at most eight, where that is not one."""
    divisors = [n for n in range(2, groups + 1) if groups % n == 0]
    return max((n for n in divisors if n <= 8), default=divisors[0])


def _by_taps(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Sums the taps of windows of one channel each, which XLA makes one loop of.

    XLA:CPU's own takes 26 ns an element for windows of 3x3, 60 to 160 with its gradients, and 9 us with them where more
    channels go out than come in.
    """
    strides, pairs, dilations = options
    n, window, channels = len(strides), weight.shape[: len(strides)], weight.shape[-1]
    x = _padded(jnp.repeat(x, channels // groups, -1), pairs)
    shape = zip(x.shape[1:-1], window, strides, dilations, strict=True)
    sizes = [(size - dilation * (k - 1) - 1) // stride + 1 for size, k, stride, dilation in shape]
    weight = weight.reshape(*window, *(1,) * (n + 1), channels)
    terms: list[jax.Array] = []
    for tap in itertools.product(*map(range, window)):
        starts = [i * d for i, d in zip(tap, dilations, strict=True)]
        ends = [start + s * (size - 1) + 1 for start, s, size in zip(starts, strides, sizes, strict=True)]
        terms.append(lax.slice(x, (0, *starts, 0), (len(x), *ends, channels), (1, *strides, 1)) * weight[tap])
    return sum(terms[1:], terms[0])


def _in_planes(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Sums convolutions over the last two of three axes, one for each tap along the first."""
    (stride, *strides), (pair, *pairs), (dilation, *dilations) = options
    n, _, *plane = x.shape
    x = _padded(x, (pair, (0, 0), (0, 0)))
    places = (x.shape[1] - dilation * (len(weight) - 1) - 1) // stride + 1
    terms: list[jax.Array] = []
    for start, window in zip(range(0, dilation * len(weight), dilation), weight, strict=True):
        part = lax.slice_in_dim(x, start, start + stride * (places - 1) + 1, stride, 1).reshape(n * places, *plane)
        terms.append(convolve(part, window, (tuple(strides), tuple(pairs), tuple(dilations)), groups))
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


def _padded(x: jax.Array, pairs: tuple[tuple[int, int], ...]) -> jax.Array:
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((low, high, 0) for low, high in pairs), (0, 0, 0)])
