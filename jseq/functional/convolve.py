"""The forms of a convolution: which one XLA compiles to something fast depends on shapes and platform."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from jseq.functional.linear import linear
from jseq.functional.windows import Pairs

# stride, padding, dilation
Options = tuple[tuple[int, ...], Pairs, tuple[int, ...]]

# Whether XLA:CPU's convolutions from an odd number of channels to 17 to 32 are the slow ones.
SLOW_IF_ODD = jax.__version_info__ < (0, 12)


def dimension_numbers(n: int) -> lax.ConvDimensionNumbers:
    """Returns lax's description of (batch, *spatial, channels) with (*window, in, out)."""
    image = (0, n + 1, *range(1, n + 1))
    return lax.ConvDimensionNumbers(image, (n + 1, n, *range(n)), image)


def convolve(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Convolves x (batch, *spatial, channels) in the form that is fast for its shape."""
    stride, padding, dilation = options
    n = len(stride)
    in_channels, out_channels = weight.shape[-2:]
    if weight.shape[:n] == (1,) * n and groups == 1 and not any(map(any, padding)) and in_channels >= 4:
        # A product of matrices: forward in 0.67 to 1.2 of the convolution's time, with gradients in 0.39
        # to 0.79 (ten shapes, one to three axes); with 3 channels the forward takes 3 times as long.
        plain = partial(_lax_conv, options=options)
        product = partial(_pointwise, stride=stride)
        return lax.platform_dependent(x, weight, cpu=product, default=plain)
    # The weight gradient in another form: in float32 0.32 to 0.79 of the time, 0.73 to 0.98 of forward
    # and gradients together (seven shapes). But 1.1 to 7 times as long for batches below 16, for 8 output
    # channels, for one and three axes; no gain with a stride. A symbolic batch (jax.export) is not
    # compared and goes the plain way.
    many = isinstance(x.shape[0], int) and x.shape[0] >= 32 and out_channels >= 16  # pyright: ignore
    plain_step = stride == dilation == (1, 1) and groups == 1
    if n == 2 and plain_step and many and x.dtype == jnp.float32:
        return _conv_wide_gradient(x, weight, options)
    return _in_fours(x, weight, options) if n == 2 and groups == 1 else _lax_conv(x, weight, options, groups)


def _in_fours(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Convolves over two axes; with odd numbers of channels that XLA:CPU is slow at, pads them by zeros.

    In 0.1 to 0.81 of the time of jax 0.10 and 0.11 (13 sizes from 3, 9 and 31 channels, among them strides, dilations
    and a batch of one). Jax 0.12 would take 1.1 to 1.42 with the zeros, up to 11 channels.
    """
    in_channels, out_channels = weight.shape[-2:]
    if not (in_channels % 2 and in_channels > 1 and 16 < out_channels <= 32 and x.dtype == jnp.float32 and SLOW_IF_ODD):
        return _lax_conv(x, weight, options)

    def widened(a: jax.Array, axis: int) -> jax.Array:
        return lax.pad(a, jnp.zeros((), a.dtype), [(0, -in_channels % 4 * (i == axis), 0) for i in range(4)])

    def padded(x: jax.Array, weight: jax.Array) -> jax.Array:
        return _lax_conv(widened(x, 3), widened(weight, 2), options)

    return lax.platform_dependent(x, weight, cpu=padded, default=partial(_lax_conv, options=options))


def _lax_conv(x: jax.Array, weight: jax.Array, options: Options, groups: int = 1, wide: int = 1) -> jax.Array:
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


def _pointwise(x: jax.Array, weight: jax.Array, stride: tuple[int, ...]) -> jax.Array:
    kept = lax.slice(x, (0,) * x.ndim, x.shape, (1, *stride, 1))
    return linear(kept, weight.reshape(weight.shape[-2:]))


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _conv_wide_gradient(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    return _in_fours(x, weight, options)


def _conv_jvp(
    options: Options, primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array]:
    """Is the product rule; only the form of the term in the weight's tangent differs, for its transpose.

    The transpose of a plain convolution has the channels as batch, which XLA:CPU gives to YNNPACK; with
    the width of both operands and the stride doubled it goes to Eigen, which is faster there.
    """
    (x, weight), (dx, dw) = primals, tangents
    y = _conv_wide_gradient(x, weight, options)
    dy = None if isinstance(dx, SymbolicZero) else _lax_conv(dx, weight, options)
    if not isinstance(dw, SymbolicZero):
        cpu, default = partial(_lax_conv, options=options, wide=2), partial(_lax_conv, options=options)
        term = lax.platform_dependent(x, dw, cpu=cpu, default=default)
        dy = term if dy is None else dy + term
    return y, jnp.zeros_like(y) if dy is None else dy


_conv_wide_gradient.defjvp(_conv_jvp, symbolic_zeros=True)
