"""XLA's own convolution, as it is, spread, padded or cut, and what all of its forms need: options, sizes, padding."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax import lax

from jseq.functional.windows import Pairs

# stride, padding, dilation
Options = tuple[tuple[int, ...], Pairs, tuple[int, ...]]


def dimension_numbers(n: int) -> lax.ConvDimensionNumbers:
    """Returns lax's description of (batch, *spatial, channels) with (*window, in, out)."""
    image = (0, n + 1, *range(1, n + 1))
    return lax.ConvDimensionNumbers(image, (n + 1, n, *range(n)), image)


def spans_of(window: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """How far the last tap of a window is from the first, along each axis."""
    return [d * (k - 1) for d, k in zip(dilations, window, strict=False)]


def output_sizes(sizes: Sequence[int], window: Sequence[int], options: Options) -> list[int]:
    """How many places the output has along each axis."""
    strides, padding, dilations = options
    each = zip(sizes, spans_of(window, dilations), strides, padding, strict=True)
    return [(size + low + high - span - 1) // s + 1 for size, span, s, (low, high) in each]


def lax_conv(
    x: jax.Array, weight: jax.Array, options: Options, groups: int = 1, apart: tuple[int, ...] | None = None
) -> jax.Array:
    """Calls lax; the places of x are `apart` from each other, zeros between them."""
    strides, padding, dilations = options
    return lax.conv_general_dilated(
        x,
        weight,
        strides,
        padding,
        lhs_dilation=apart,
        rhs_dilation=dilations,
        dimension_numbers=dimension_numbers(len(strides)),
        feature_group_count=groups,
    )


def pad_image(x: jax.Array, padding: Pairs) -> jax.Array:
    """Pads the spatial axes by zeros; by less than nothing, cuts them."""
    return lax.pad(x, np.zeros((), x.dtype), [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)])


def spread_conv(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """The same sum, with the last axis of both operands and the stride spread by two."""
    (*strides, stride), (*pairs, (low, high)), (*dilations, dilation) = options
    apart = ((*strides, 2 * stride), (*pairs, (2 * low, 2 * high)), (*dilations, 2 * dilation))
    return lax_conv(x, weight, apart, apart=(*(1,) * len(strides), 2))


def padded_conv(x: jax.Array, weight: jax.Array, conv: Callable[..., jax.Array], options: Options) -> jax.Array:
    """Convolves x that is padded before."""
    stride, padding, dilation = options
    x = lax.optimization_barrier(pad_image(x, padding))  # or XLA takes the padding back
    return conv(x, weight, (stride, ((0, 0),) * len(stride), dilation))


def cut_conv(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Cuts the output, of a stride of one, from that of all places where a window meets x.

    So the transpose by x pads what it is given.
    """
    strides, padding, dilations = options
    spans = spans_of(weight.shape, dilations)
    y = lax.optimization_barrier(lax_conv(x, weight, (strides, tuple((span, span) for span in spans), dilations)))
    firsts = [span - low for span, (low, _) in zip(spans, padding, strict=True)]
    each = zip(firsts, output_sizes(x.shape[1:-1], weight.shape, options), y.shape[1:-1], strict=True)
    return pad_image(y, tuple((-first, first + count - size) for first, count, size in each))


def batch_parts(a: jax.Array, count: int) -> jax.Array:
    """Cuts a batch into equal parts, images of zeros after it: (parts, images of a part, *spatial, channels)."""
    images = -(-len(a) // count)
    widths = [(0, count * images - len(a), 0), *((0, 0, 0),) * (a.ndim - 1)]
    return lax.pad(a, np.zeros((), a.dtype), widths).reshape(count, images, *a.shape[1:])
