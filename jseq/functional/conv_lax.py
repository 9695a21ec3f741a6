"""XLA's own convolution, and what all of its forms need: the options, the sizes, the padding."""

from collections.abc import Sequence

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
