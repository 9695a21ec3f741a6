"""XLA's own convolution, and what all of its forms need: the options, the sizes, the padding."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jseq.functional.windows import Pairs

# stride, padding, dilation
Options = tuple[tuple[int, ...], Pairs, tuple[int, ...]]


def dimension_numbers(n: int) -> lax.ConvDimensionNumbers:
    """Returns lax's description of (batch, *spatial, channels) with (*window, in, out)."""
    image = (0, n + 1, *range(1, n + 1))
    return lax.ConvDimensionNumbers(image, (n + 1, n, *range(n)), image)


def output_sizes(sizes: Sequence[int], window: Sequence[int], *options: Sequence[Any]) -> list[int]:
    """How many places the output has along each axis; options are stride, padding and dilation."""
    each = zip(sizes, window, *options, strict=False)
    return [(size + low + high - d * (k - 1) - 1) // s + 1 for size, k, s, (low, high), d in each]


def lax_conv(x: jax.Array, weight: jax.Array, options: Options, groups: int = 1, wide: int = 1) -> jax.Array:
    """Calls lax; `wide` spreads the last spatial axis of both operands and the stride, to the same sum."""
    stride, padding, dilation = options
    n = len(stride)
    factors = (1,) * (n - 1) + (wide,)
    return lax.conv_general_dilated(
        x,
        weight,
        [s * f for s, f in zip(stride, factors, strict=True)],
        [(low * f, high * f) for (low, high), f in zip(padding, factors, strict=True)],
        lhs_dilation=factors,
        rhs_dilation=[d * f for d, f in zip(dilation, factors, strict=True)],
        dimension_numbers=dimension_numbers(n),
        feature_group_count=groups,
    )


def pad_image(x: jax.Array, padding: Pairs) -> jax.Array:
    """Pads the spatial axes by zeros; by less than nothing, cuts them."""
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)])
